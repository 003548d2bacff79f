"""The demo against a whole running service: every message ends with a reason, the books agree, again adds nothing."""

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paywarden.client import Paywarden
from tests.stack import Stack

pytestmark = pytest.mark.timeout(240)
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
    done = stack.command("demo", "--data", str(stack.data), *arguments, limit_seconds=120)
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
    lines = {(line["result"], line["oversight"]): line["count"] for line in report["refund_requests"]}
    assert sum(lines.values()) == report["messages"] == COUNT
    assert lines["refunded", "advised"] >= 8
    assert lines["refunded", "reviewed"] == 2
    assert lines["denied", "reviewed"] >= 1
    assert lines["denied", None] >= 4
    assert lines["in_review", None] >= 4
    assert lines["needs_facts", None] >= 2
    for result in ("refunded", "denied", "in_review", "needs_facts"):
        reasons = report["reasons"][result]
        assert all(reasons)
        assert sum(reasons.values()) == sum(count for (ended, _), count in lines.items() if ended == result)


def test_progress_is_told_beside_the_result(played: "subprocess.CompletedProcess[str]") -> None:
    told = played.stderr.splitlines()
    assert f"Customers pay and write: {COUNT}" in told
    assert f"The agent asks for refunds: {COUNT}" in told


def test_the_figures_are_those_of_the_service(report: dict[str, Any], admin: Paywarden) -> None:
    payments = _payments(admin, report["run"])
    paid = [each["amount_minor"] for each in payments if each["kind"] == "charge" and each["status"] == "succeeded"]
    assert report["charges"] == {"count": len(paid), "amount_minor": sum(paid)}
    refunds = [each for each in payments if each["kind"] == "refund"]
    told = Counter({line["result"]: 0 for line in report["refund_requests"]})
    for line in report["refund_requests"]:
        told[line["result"]] += line["amount_minor"]
    for result, status in {"refunded": "succeeded", "in_review": "in_review", "needs_facts": "needs_facts"}.items():
        assert told[result] == sum(each["amount_minor"] for each in refunds if each["status"] == status)


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
    refunded = sum(line["amount_minor"] for line in report["refund_requests"] if line["result"] == "refunded")
    assert usd["provider_minor"] == report["charges"]["amount_minor"] - refunded


def test_one_story_is_worth_reading(report: dict[str, Any], admin: Paywarden) -> None:
    dossier = admin.get_dossier(report["explained"])
    assert (dossier["payment"]["status"], dossier["payment"]["oversight"]) == ("succeeded", "advised")
    assert {note["trust"] for note in dossier["decisions"][-1]["evidence"]} >= {"customer", "record"}
    assert dossier["webhooks"]
    assert {transfer["book"] for transfer in dossier["transfers"]} == {"money", "authority"}


def test_only_the_agent_asked_and_its_key_ended_with_the_run(report: dict[str, Any], admin: Paywarden) -> None:
    assert {payment["agent"] for payment in _payments(admin, report["run"])} == {"support-agent"}
    agents = [agent for agent in admin.list_agents()["data"] if agent["name"] == "support-agent"]
    assert [agent["roles"] for agent in agents] == [["initiate"]]
    keys = [key for key in admin.list_keys()["data"] if key["principal"] == agents[0]["id"]]
    assert keys
    assert {key["status"] for key in keys} == {"revoked"}


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
    for part in ("charges", "policy alone", "policy, on advice", "held for a person", "refused", "a rule",
                 "Provider's book against the ledger", "payment explain pay_", "What the ledger booked"):  # fmt: skip
        assert part in shown, part


def test_the_invariants_hold_after_it(report: dict[str, Any], stack: Stack) -> None:
    done = stack.command("invariants", "--data", str(stack.data))
    assert done.returncode == 0, done.stdout + done.stderr
