"""``paywarden credit`` and ``paywarden hold``: what a finance person types, and what it becomes on the wire."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paywarden.cli.application import build

from .scripted_service import Say, ScriptedService, scripted

TOP_UP: dict[str, Any] = {
    "object": "credit_top_up", "id": "top_01h455vb4pex5vsknk084sn02q", "principal": "per_01h455vb4pex5vsknk084sn02q",
    "customer": "cust_1", "funding": "prepaid",
    "amount_minor": 5_000, "currency": "usd", "display": "$50.00", "reference": "statement 7", "reason": None,
    "created_at": "2026-11-21T08:00:00.000Z", "reversal": None,
}  # fmt: skip
REVERSED: dict[str, Any] = {**TOP_UP, "reversal": {
    "principal": "per_01h455vb4pex5vsknk084sn03q", "reason": "misdirected", "created_at": "2026-11-21T08:05:00.000Z",
}}  # fmt: skip
CREDIT: dict[str, Any] = {
    "object": "credit", "customer": "cust_1",
    "balances": [{"funding": "prepaid", "currency": "usd", "balance_minor": 5_000, "held_minor": 1_200,
                  "available_minor": 3_800, "available": "$38.00", "blocked": False}],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYWARDEN_API_KEY", "pw_test_key")
    monkeypatch.setenv("PAYWARDEN_DATA_DIR", str(tmp_path / "data"))


def _run(service: ScriptedService, *arguments: str) -> Result:
    return CliRunner().invoke(build(), [*arguments, "--url", service.url])


def test_a_top_up_sends_minor_units_and_the_callers_key() -> None:
    with scripted(Say(201, TOP_UP)) as service:
        done = _run(
            service, "credit", "top-up", "cust_1", "50.00", "--funding", "prepaid", "--reference", "statement 7",
            "--idempotency-key", "statement-7",
        )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    (asked,) = service.asked
    assert (asked.method, asked.path) == ("POST", "/v1/credits/top-ups")
    assert asked.headers["idempotency-key"] == "statement-7"
    assert asked.body == {
        "customer": "cust_1", "amount_minor": 5_000, "currency": "usd", "funding": "prepaid",
        "reference": "statement 7",
    }  # fmt: skip
    assert "$50.00" in done.stdout


def test_top_ups_are_listed_with_who_made_them_and_where_the_cash_is() -> None:
    page = {"object": "list", "data": [TOP_UP], "has_more": True, "next_cursor": TOP_UP["id"]}
    with scripted(Say(200, page)) as service:
        done = _run(service, "credit", "list", "--customer", "cust_1", "--limit", "1")
    assert done.exit_code == 0, done.stderr
    (asked,) = service.asked
    assert (asked.method, asked.path) == ("GET", "/v1/credits/top-ups?customer=cust_1&limit=1")
    shown = ["$50.00", "statement 7", TOP_UP["principal"], "2026-11-21 08:00:00", f"more: --cursor {TOP_UP['id']}"]
    assert all(part in done.stdout for part in shown)


def test_a_wrong_top_up_is_reversed_with_a_reason_and_shown_as_such() -> None:
    page = {"object": "list", "data": [REVERSED, TOP_UP], "has_more": False}
    with scripted(Say(200, REVERSED), Say(200, page)) as service:
        done = _run(
            service, "credit", "reverse", TOP_UP["id"], "--reason", "misdirected", "--idempotency-key", "undo-7"
        )
        listed = _run(service, "credit", "list")
    assert done.exit_code == 0, done.stderr
    asked = service.asked[0]
    assert (asked.method, asked.path) == ("POST", f"/v1/credits/top-ups/{TOP_UP['id']}/reverse")
    assert (asked.headers["idempotency-key"], asked.body) == ("undo-7", {"reason": "misdirected"})
    for shown in (done.stdout, listed.stdout):
        assert all(part in shown for part in ("2026-11-21 08:05:00", "per_01h455vb4pex5vsknk084sn03q", "misdirected"))


def test_transfers_are_listed_of_one_payment_or_on_one_customers_credit() -> None:
    with scripted(*[Say(200, {"object": "list", "data": [], "has_more": False})] * 2) as service:
        assert _run(service, "ledger", "transfers", "--payment", "pay_1").exit_code == 0
        assert _run(service, "ledger", "transfers", "--customer", "cust_1", "--limit", "5").exit_code == 0
    assert [asked.path for asked in service.asked] == [
        "/v1/ledger/transfers?payment=pay_1&limit=20", "/v1/ledger/transfers?customer=cust_1&limit=5",
    ]  # fmt: skip


def test_payments_are_listed_of_one_kind() -> None:
    with scripted(Say(200, {"object": "list", "data": [], "has_more": False})) as service:
        assert _run(service, "payment", "list", "--kind", "refund", "--status", "failed").exit_code == 0
        assert _run(service, "payment", "list", "--kind", "gift").exit_code == 2
    assert [asked.path for asked in service.asked] == ["/v1/payments?status=failed&kind=refund&limit=20"]


def test_a_reversal_without_a_reason_never_leaves() -> None:
    with scripted() as service:
        done = _run(service, "credit", "reverse", TOP_UP["id"])
    assert (done.exit_code, service.asked) == (2, [])
    assert "--reason" in done.stderr


def test_credit_is_shown_as_there_held_and_left() -> None:
    with scripted(Say(200, CREDIT)) as service:
        shown = _run(service, "credit", "show", "cust_1").stdout
        as_json = _run(service, "credit", "show", "cust_1", "--json").stdout
    assert all(part in shown for part in ("prepaid", "$50.00", "$12.00", "$38.00"))
    assert json.loads(as_json) == CREDIT
    assert service.asked[0].path == "/v1/credits/cust_1"


def test_an_amount_that_is_none_never_leaves() -> None:
    with scripted() as service:
        done = _run(service, "credit", "top-up", "cust_1", "50.001")
    assert (done.exit_code, service.asked) == (2, [])
    assert "must be an amount of usd" in done.stderr


HOLD: dict[str, Any] = {
    "object": "hold", "id": "hold_01h455vb4pex5vsknk084sn02q", "status": "pending", "amount_minor": 500,
    "captured_minor": 0, "currency": "usd", "display": "$5.00", "customer": "cust_1", "mandate": None,
    "feature": "summary", "expires_at": "2026-11-21T09:00:00.000Z", "created_at": "2026-11-21T08:00:00.000Z",
}  # fmt: skip


def test_holds_are_listed_by_customer_and_status_and_the_list_goes_on() -> None:
    page = {"object": "list", "data": [HOLD], "has_more": True, "next_cursor": HOLD["id"]}
    with scripted(Say(200, page)) as service:
        done = _run(service, "hold", "list", "--customer", "cust_1", "--status", "pending")
    assert done.exit_code == 0, done.stderr
    assert service.asked[0].path == "/v1/holds?customer=cust_1&status=pending&limit=20"
    for part in (HOLD["id"], "$5.00", "$0.00", "summary", "2026-11-21 09:00:00", f"more: --cursor {HOLD['id']}"):
        assert part in done.stdout


def test_a_hold_is_shown_and_released() -> None:
    with scripted(Say(200, HOLD), Say(200, {**HOLD, "status": "released"})) as service:
        assert "pending" in _run(service, "hold", "show", HOLD["id"]).stdout
        assert "released" in _run(service, "hold", "release", HOLD["id"]).stdout
    assert [(asked.method, asked.path) for asked in service.asked] == [
        ("GET", f"/v1/holds/{HOLD['id']}"), ("POST", f"/v1/holds/{HOLD['id']}/release"),
    ]  # fmt: skip
