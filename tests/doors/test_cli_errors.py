"""What goes wrong is one line on standard error and an exit status; standard output stays empty."""

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paywarden.cli.application import build

from .scripted_service import Say, problem, scripted


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No service, key or configuration of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYWARDEN_API_KEY", "pw_test_key")
    monkeypatch.setenv("PAYWARDEN_DATA_DIR", str(tmp_path / "data"))


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


def test_a_refusal_names_field_and_rule_and_ends_with_1() -> None:
    refused = problem(403, "denied", "At most $50.00 a payment.", payment="pay_9", rule="mandate_payment_limit")
    with scripted(Say(200, {"currency": "usd", "refundable_minor": 900}), refused) as service:
        done = _run("payment", "refund", "pay_1", "--request", "twice", "--url", service.url)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for part in ("At most $50.00 a payment.", "code denied", "payment pay_9", "rule mandate_payment_limit", "req_1"):
        assert part in done.stderr


def test_a_refusal_is_readable_by_machines() -> None:
    invalid = problem(400, "invalid_field", "roles must be among initiate, review", param="roles")
    with scripted(invalid) as service:
        done = _run("agent", "create", "bot", "--role", "boss", "--json", "--url", service.url)
    assert (done.exit_code, done.stdout) == (1, "")
    said = json.loads(done.stderr)
    assert (said["code"], said["status"], said["param"]) == ("invalid_field", 400, "roles")


def test_nobody_there_ends_with_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = _run("agent", "create", "bot", "--role", "initiate", "--url", url)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{url} could not be reached" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["payment", "list", "--url", "localhost"], "--url must start with http"),
        (["payment", "list", "--limit", "0"], "--limit"),
        (["payment", "shw"], "shw"),
        (["payment", "refund", "pay_1"], "--request"),
        (["payment", "refund", "pay_1", "--request", "r", "--amount", "1.005"], "--amount must be an amount of usd"),
        (["mandate", "create", "a", "--name", "n", "--kind", "refund", "--per-day", "1", "--currency", "x"], "curr"),
        (["memory", "add", "c", "text", "--trust", "record", "--facts", "[1]"], "--facts must be a JSON object"),
        (["memory", "add", "c", "text", "--trust", "record", "--facts", "{"], "--facts must be a JSON object"),
        (["demo", "--count", "0"], "--count"),
    ],
)  # fmt: skip
def test_wrong_usage_names_the_option_and_ends_with_2(arguments: list[str], named: str) -> None:
    with scripted(Say(200, {"currency": "usd", "refundable_minor": 900})) as service:
        where = [] if "--url" in arguments else ["--url", service.url]
        done = _run(*arguments, *where)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_half_a_configuration_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENT_API_URL", "http://127.0.0.1:1")
    monkeypatch.delenv("PAYMENT_API_KEY", raising=False)
    monkeypatch.delenv("PAYWARDEN_API_KEY")
    done = _run("payment", "list")
    assert done.exit_code == 2
    assert "PAYMENT_API_KEY must be set" in done.stderr


def test_a_charge_without_anything_left_is_not_refunded() -> None:
    with scripted(Say(200, {"currency": "usd", "refundable_minor": 0})) as service:
        done = _run("payment", "refund", "pay_1", "--request", "again", "--url", service.url)
    assert done.exit_code == 1
    assert "nothing of pay_1 is left to refund" in done.stderr
    assert [asked.method for asked in service.asked] == ["GET"]


def test_the_demo_needs_an_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAYWARDEN_API_KEY")
    done = _run("demo")
    assert done.exit_code == 2
    assert "PAYWARDEN_API_KEY must be set" in done.stderr


def test_a_trial_balance_that_is_off_ends_with_1() -> None:
    line = {"book": "money", "asset": "USD/2", "debits_minor": 5, "credits_minor": 4, "difference_minor": 1}
    with scripted(Say(200, {"object": "list", "data": [line]})) as service:
        done = _run("ledger", "trial-balance", "--url", service.url)
    assert done.exit_code == 1
    assert "$0.01" in done.stdout


def test_books_that_differ_end_with_1() -> None:
    book = {"currency": "usd", "ledger_display": "$1.00", "provider_display": "$2.00", "difference_minor": -100}
    finding = {"kind": "missing_here", "subject": "p_1", "ours_minor": None, "theirs_minor": 100, "currency": "usd"}
    period = {"since": "2026-11-20T08:00:00.000Z", "until": "2026-11-21T08:00:00.000Z", "has_statement": True}
    run = {"object": "reconciliation_run", **period, "matched": 3, "books": [book], "findings": [finding]}
    with scripted(Say(200, run)) as service:
        done = _run("reconcile", "--url", service.url)
    assert done.exit_code == 1
    for part in ("-$1.00", "missing_here", "p_1"):
        assert part in done.stdout


def test_a_verdict_is_about_the_action_that_was_looked_at() -> None:
    seen = {"id": "rev_1", "status": "open", "action_digest": "a" * 64, "payment": {"id": "pay_1"}}
    with scripted(Say(200, seen)) as service:
        done = _run("review", "approve", "rev_1", "--reason", "fine", "--url", service.url)
    assert done.exit_code == 0
    assert [asked.method for asked in service.asked] == ["GET", "POST"]
    assert service.asked[1].body == {"verdict": "approve", "reason": "fine", "action_digest": "a" * 64}
