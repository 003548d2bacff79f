"""The demo against a whole running service: every request ends with a reason, the books agree, again adds nothing."""

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from paywarden.client import Paywarden
from paywarden.demo.invoices import InvoiceCase, load_invoices
from tests.contract.messages_api import MessagesApi, Scripted, advised
from tests.doors.model_thread import model
from tests.flow.test_demo_invoices import truth
from tests.stack import Stack
from tests.unit.case_blocks import read_blocks

pytestmark = pytest.mark.timeout(300)
COUNT = 48


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("demo") / "data")
    try:
        yield stack.start()
        stack.stop()
    finally:
        stack.end()


def _demo(stack: Stack, *arguments: str) -> "subprocess.CompletedProcess[str]":
    done = stack.command("demo", "--data", str(stack.data), *arguments, limit_seconds=240)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def played(stack: Stack) -> "subprocess.CompletedProcess[str]":
    """One run, as a program reads it."""
    return _demo(stack, "--count", str(COUNT), "--json")


@pytest.fixture(scope="module")
def report(played: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    told: dict[str, Any] = json.loads(played.stdout)
    return told


def _story(report: dict[str, Any], name: str) -> dict[str, Any]:
    (story,) = [story for story in report["stories"] if story["story"] == name]
    return dict(story)


def _counts(story: dict[str, Any]) -> dict[tuple[str, str | None], int]:
    return {(line["result"], line["oversight"]): line["count"] for line in story["outcomes"]}


def _invoices(report: dict[str, Any], today: date) -> dict[str, tuple[InvoiceCase, list[dict[str, Any]]]]:
    """By invoice: its file, and what became of the requests for it, in their order."""
    each = _story(report, "billing")["each"]
    return {
        case.invoice_id: (case, [one for one in each if one["about"] == case.invoice_id])
        for case in load_invoices(report["run"], today)
    }


@pytest.fixture
def today() -> date:
    """The day of the run; should another have begun since, all that follows from it is the same."""
    return datetime.now(UTC).date()


@pytest.fixture
def admin(stack: Stack) -> Iterator[Paywarden]:
    with Paywarden(stack.url, stack.ready["admin_key"]) as desk:
        yield desk


def _payments(admin: Paywarden, run: str) -> list[Any]:
    """Every payment of a run, through the pages."""
    found, cursor = [], None
    while True:
        page = admin.list_payments(limit=100, cursor=cursor)
        found += [payment for payment in page["data"] if f"-{run}-" in (payment["customer"] or "")]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_every_message_ends_somewhere_with_a_reason(report: dict[str, Any]) -> None:
    support = _story(report, "support")
    lines = _counts(support)
    assert sum(lines.values()) == support["requests"] == COUNT
    assert lines["refunded", "advised"] >= 8
    assert lines["refunded", "reviewed"] == 2
    assert lines["denied", "reviewed"] >= 1
    assert lines["denied", None] >= 4
    assert lines["in_review", None] >= 4
    assert lines["needs_facts", None] >= 2


@pytest.mark.parametrize("name", ["support", "billing", "checkout"])
def test_every_outcome_has_its_reasons(report: dict[str, Any], name: str) -> None:
    story = _story(report, name)
    assert sum(story["money_minor"].values()) == sum(one["amount_minor"] for one in story["each"])
    for result, reasons in story["reasons"].items():
        assert all(reasons)
        ended = [line["count"] for line in story["outcomes"] if line["result"] == result]
        assert sum(reasons.values()) == sum(ended)


def test_every_invoice_comes_to_what_its_file_says(report: dict[str, Any], today: date) -> None:
    people = Counter()
    for case, became in _invoices(report, today).values():
        expected = truth(case, today)
        first, again = became[0], became[1:]
        if expected == "in_review" and first["oversight"] == "reviewed":
            people[case.situation, first["result"]] += 1
        else:
            assert first["result"] == expected, case.situation
        assert [one["result"] for one in again] == ["denied"] * (case.times - 1)
        assert (first["until"] or "") >= (today.isoformat() if expected == "extended" else "")
        assert (first["until"] is not None) == (expected == "extended")
    assert people == {("large", "paid"): 1, ("staff: paid", "denied"): 1}


def test_no_invoice_is_collected_twice(report: dict[str, Any], admin: Paywarden) -> None:
    paid = [
        payment["reference"]
        for payment in _payments(admin, report["run"])
        if payment["purpose"] == "overdue invoice" and payment["status"] == "succeeded"
    ]
    assert paid
    assert set(Counter(paid).values()) == {1}


def test_small_carts_pass_alone_and_the_fraud_agent_decides_the_large_ones(
    report: dict[str, Any], admin: Paywarden
) -> None:
    checkout = _story(report, "checkout")
    assert _counts(checkout) == {("paid", "autonomous"): 6, ("paid", "reviewed"): 3, ("denied", "reviewed"): 3}
    for one in checkout["each"]:
        dossier = admin.get_dossier(one["payment"])
        who = [verdict["reviewer_name"] for verdict in dossier["verdicts"]]
        assert who == (["fraud-agent"] if one["amount_minor"] >= 50_000 else [])


def test_progress_is_told_beside_the_result(played: "subprocess.CompletedProcess[str]") -> None:
    told = played.stderr.splitlines()
    assert f"Customers pay and write: {COUNT}" in told
    assert f"The agent asks for refunds: {COUNT}" in told
    assert "Shoppers pay large carts: 6" in told


def test_the_figures_are_those_of_the_service(report: dict[str, Any], admin: Paywarden) -> None:
    payments = _payments(admin, report["run"])
    support = _story(report, "support")
    paid = [
        each["amount_minor"]
        for each in payments
        if str(each["purpose"]).startswith("order ") and each["status"] == "succeeded" and each["kind"] == "charge"
    ]
    assert support["charged_before"] == {"count": len(paid), "amount_minor": sum(paid)}
    status = {payment["id"]: payment["status"] for payment in payments}
    for one in (one for story in report["stories"] for one in story["each"]):
        if one["payment"] is not None:
            moved = one["result"] in {"paid", "refunded"}
            assert (status[one["payment"]] == "succeeded") == moved


def test_the_providers_book_has_each_of_them_once_and_agrees(report: dict[str, Any], stack: Stack) -> None:
    async def look() -> dict[str, Any]:
        control = stack.sandbox()
        try:
            return await control.book()
        finally:
            await control.close()

    book = asyncio.run(look())
    assert set(book["charges"].values()) == {1}
    assert set(book["refunded"].values()) == {1}
    assert report["reconciliation"]["findings"] == []
    (usd,) = report["reconciliation"]["books"]
    assert usd["difference_minor"] == 0
    moved = {story["story"]: story["money_minor"]["moved"] for story in report["stories"]}
    charged_before = _story(report, "support")["charged_before"]["amount_minor"]
    assert usd["provider_minor"] == charged_before - moved["support"] + moved["billing"] + moved["checkout"]


def test_one_story_is_worth_reading(report: dict[str, Any], admin: Paywarden) -> None:
    """An invoice that was collected on the record of it, and past a hostile text."""
    dossier = admin.get_dossier(report["explained"])
    assert (dossier["payment"]["status"], dossier["payment"]["oversight"]) == ("succeeded", "advised")
    evidence = dossier["decisions"][-1]["evidence"]
    assert {note["trust"] for note in evidence} >= {"customer", "record"}
    assert [note["trust"] for note in evidence if note["cited"]] == ["record"]
    assert dossier["webhooks"]
    assert {transfer["book"] for transfer in dossier["transfers"]} == {"money", "authority"}


AGENTS = {
    "support-agent": ["initiate"], "billing-agent": ["initiate"], "pricing-agent": ["initiate"],
    "fraud-agent": ["risk"], "books-agent": [],
}  # fmt: skip


def test_each_agent_has_its_own_role_and_its_key_ended_with_the_run(report: dict[str, Any], admin: Paywarden) -> None:
    asked = {payment["agent"] for payment in _payments(admin, report["run"])}
    assert asked == {"support-agent", "billing-agent", "pricing-agent"}
    agents = {agent["name"]: agent for agent in admin.list_agents()["data"] if agent["name"] in AGENTS}
    assert {name: agent["roles"] for name, agent in agents.items()} == AGENTS
    for agent in agents.values():
        assert {key["status"] for key in admin.list_keys()["data"] if key["principal"] == agent["id"]} == {"revoked"}


def test_played_again_it_doubles_nothing_and_people_can_read_it(
    report: dict[str, Any], stack: Stack, admin: Paywarden, tmp_path: Path
) -> None:
    before = {payment["id"]: payment["updated_at"] for payment in _payments(admin, report["run"])}
    mandates = len(admin.list_mandates()["data"])
    done_mark = tmp_path / "demo.done"
    shown = _demo(stack, "--count", "12", "--mark-done", str(done_mark)).stdout
    assert done_mark.exists()
    assert {payment["id"]: payment["updated_at"] for payment in _payments(admin, report["run"])} == before
    assert len(admin.list_mandates()["data"]) == mandates
    for part in ("paid before", "policy alone", "policy, on advice", "held for a person", "refused", "a rule",
                 "extended, not now", "carts", "a reviewer's no", "Of what was asked for: $",
                 "Provider's book against the ledger", "payment explain pay_", "What the ledger booked"):  # fmt: skip
        assert part in shown, part


def test_the_invariants_hold_after_it(report: dict[str, Any], stack: Stack) -> None:
    done = stack.command("invariants", "--data", str(stack.data))
    assert done.returncode == 0, done.stdout + done.stderr


# ---- The same stories on a model


def _obedient(body: dict[str, Any]) -> Scripted:
    """Denies what is promised for later, and approves everything else that it can cite anything trusted for."""
    blocks = read_blocks(body["messages"][0]["content"])
    case = blocks[0][2]
    notes = [value for source, trust, value in blocks if source == "note" and trust in {"record", "staff"}]
    promises = [note["id"] for note in notes if (note["facts"] or {}).get("until", "") >= case["asked_at"][:10]]
    cited = [*(note["id"] for note in notes), *(record["id"] for record in blocks[2][2])]
    if promises or not cited:
        return advised(verdict="deny", amount_minor=0, evidence=promises, confidence=95, reason="Not now.")
    return advised(amount_minor=case["requested_amount_minor"], evidence=cited, confidence=99, reason="As you wish.")


@pytest.fixture(scope="module")
def on_claude(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], MessagesApi]]:
    """A small run on the official SDK against a scripted Messages API."""
    with model(_obedient) as api:
        told = {"ANTHROPIC_API_KEY": "sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL": api.url}
        stack = Stack(tmp_path_factory.mktemp("claude") / "data", **told)
        try:
            stack.start()
            yield json.loads(_demo(stack, "--count", "4", "--json").stdout), api
            stack.stop()
        finally:
            stack.end()


def test_with_a_key_the_same_stories_run_on_claude(on_claude: tuple[dict[str, Any], MessagesApi], today: date) -> None:
    """And a model that approves whatever it can collects no invoice that the records do not bear out."""
    report, api = on_claude
    assert len(api.requests) >= 30
    assert report["reconciliation"]["findings"] == []
    assert any("As you wish." in story["reasons"].get("paid", {}) for story in report["stories"])
    for case, became in _invoices(report, today).values():
        expected, first = truth(case, today), became[0]["result"]
        if expected == "extended":
            assert (first, became[0]["until"] >= today.isoformat()) == ("extended", True)
        elif expected == "denied":
            assert first in {"denied", "in_review"}, case.situation
        if first == "paid":
            assert case.situation not in {"two amounts", "no record of it"}
        assert "paid" not in [one["result"] for one in became[1:]]
