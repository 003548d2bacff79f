"""Decisions are stored whole and read back as they were."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from paywarden.db.pool import Connection, Pool
from paywarden.db.transaction import transaction
from paywarden.decisions import store
from paywarden.decisions.advice import Advice, EvidenceNote, Snapshot
from paywarden.decisions.adviser import AdviceRecord, escalation
from paywarden.decisions.checks import check_advice
from paywarden.decisions.store import NewDecision
from paywarden.identity import principals, tenants
from paywarden.kit import ids
from paywarden.kit.checks import Check
from paywarden.memory import notes
from paywarden.memory.notes import NewNote, TextQuery
from tests.database.test_notes import axis
from tests.unit.judged import charge, own, snapshot

TENANT, OTHER = ids.new_uuid(), ids.new_uuid()


@dataclass(frozen=True, slots=True)
class Case:
    principal_id: UUID
    snapshot: Snapshot


@pytest.fixture
async def case(pool: Pool) -> Case:
    """A customer with a cited record, an uncited message, and a row of our own."""
    async with transaction(pool, OTHER) as connection:
        await tenants.create(connection, OTHER, "there", "test")
    async with transaction(pool, TENANT) as connection:
        await tenants.create(connection, TENANT, "here", "test")
        agent = await principals.ensure(connection, "agent", "agent-risk-01", ["initiate"])
        await principals.ensure_customer(connection, "cust_001")
        for new, lean in (
            (NewNote("cust_001", "paid", "record", facts=charge()), 0.0),
            (NewNote("cust_001", "refund me"), 1.0),
        ):
            await notes.add(connection, new, "test", axis(1, lean))
        recalled = await notes.recall(connection, "cust_001", TextQuery("", "test", axis(1)), 10)
    evidence = [
        EvidenceNote(note.public_id, note.content_sha256, note.score or 0, note.trust, note.content, note.facts)
        for note in recalled.notes
    ]
    return Case(agent.id, snapshot("refund me", *evidence, records=(own("pay_1", charge()),)))


def decision(case: Case, **changes: Any) -> NewDecision:
    advice = Advice("approve", 1250, "It was returned.", 95, (case.snapshot.evidence[0].id,))
    record = AdviceRecord(advice, "test", 12, "model-1", b"p" * 32, '{"verdict": ...}', {"input_tokens": 7})
    record = replace(record, **changes)
    checked = check_advice(case.snapshot, record)
    return NewDecision(case.principal_id, case.snapshot, record, checked, None, "default@abc")


async def stored(connection: Connection, new: NewDecision) -> store.StoredDecision:
    found = await store.find(connection, await store.save(connection, new))
    assert found is not None
    return found


async def test_everything_it_rested_on_is_there(pool: Pool, case: Case) -> None:
    new = decision(case)
    async with transaction(pool, TENANT) as connection:
        found = await stored(connection, new)
    row = found.row
    assert (row["adviser"], row["model"], row["latency_ms"], row["usage"]) == (
        "test",
        "model-1",
        12,
        {"input_tokens": 7},
    )
    assert (row["prompt_sha256"], row["raw_answer"]) == (b"p" * 32, '{"verdict": ...}')
    assert (row["customer_id"], row["policy_version"], row["payment_id"]) == ("cust_001", "default@abc", None)
    assert row["snapshot"] == case.snapshot.as_json()
    assert row["advice"]["given"] == new.record.advice.as_json()
    assert (row["advice"]["verdict"], row["advice"]["amount_minor"], row["advice"]["failure"]) == (
        "approve",
        1250,
        None,
    )
    assert [note["cited"] for note in found.evidence] == [True, False]
    assert [note["trust"] for note in found.evidence] == ["record", "customer"]
    assert found.evidence[0]["content_sha256"] == hashlib.sha256(b"paid").digest()
    assert [(one["rule"], one["result"], one["detail"]) for one in found.checks] == [
        (one.rule, one.result, one.detail) for one in new.checked.checks
    ]
    assert found.public_id.startswith("dec_")


async def test_what_counts_stands_beside_what_was_said(pool: Pool, case: Case) -> None:
    greedy = Advice("approve", 10**15, "Pay everything.", 100, (case.snapshot.evidence[0].id,))
    async with transaction(pool, TENANT) as connection:
        advice = (await stored(connection, decision(case, advice=greedy))).row["advice"]
    assert (advice["verdict"], advice["amount_minor"]) == ("escalate", 0)
    assert (advice["given"]["verdict"], advice["given"]["amount_minor"]) == ("approve", 10**15)


async def test_a_failure_is_stored_with_its_reason(pool: Pool, case: Case) -> None:
    record = escalation("claude", "adviser_timeout: no answer within 30 seconds", latency_ms=30_000)
    new = replace(decision(case), record=record, checked=check_advice(case.snapshot, record))
    async with transaction(pool, TENANT) as connection:
        found = await stored(connection, new)
    assert found.row["advice"]["failure"] == record.failure
    assert ("adviser_answered", "fail") in [(one["rule"], one["result"]) for one in found.checks]


@pytest.mark.parametrize("answer", ["\x00", "half \ud83d", "", "x" * 200_000])
async def test_a_model_may_answer_anything(pool: Pool, case: Case, answer: str) -> None:
    async with transaction(pool, TENANT) as connection:
        found = await stored(connection, decision(case, raw_answer=answer))
    assert len(found.row["raw_answer"]) >= len(answer)


async def test_a_decision_without_evidence_is_stored_too(pool: Pool, case: Case) -> None:
    bare = replace(case, snapshot=snapshot("refund me"))
    record = escalation("claude", "adviser_error: X", latency_ms=1)
    new = NewDecision(bare.principal_id, bare.snapshot, record, check_advice(bare.snapshot, record))
    async with transaction(pool, TENANT) as connection:
        assert (await stored(connection, new)).evidence == ()


async def test_evidence_of_another_tenant_cannot_be_cited(pool: Pool, case: Case) -> None:
    async with transaction(pool, OTHER) as connection:
        await principals.ensure_customer(connection, "cust_001")
        agent = await principals.ensure(connection, "agent", "agent-risk-01", ["initiate"])
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        async with transaction(pool, OTHER) as connection:
            await store.save(connection, replace(decision(case), principal_id=agent.id))


async def test_a_decision_of_another_tenant_is_not_there(pool: Pool, case: Case) -> None:
    async with transaction(pool, TENANT) as connection:
        decision_id = await store.save(connection, decision(case))
    async with transaction(pool, OTHER) as connection:
        assert await store.find(connection, decision_id) is None


async def test_a_check_must_be_about_something(pool: Pool, case: Case) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation):
        async with transaction(pool, TENANT) as connection:
            await store.save_checks(connection, [Check("rule", "pass", "fine")])


@pytest.mark.parametrize("table", ["decisions", "decision_evidence", "checks"])
@pytest.mark.parametrize("statement", ["delete from paywarden.{}", "update paywarden.{} set tenant_id = tenant_id"])
async def test_nothing_of_it_can_be_changed(pool: Pool, case: Case, table: str, statement: str) -> None:
    async with transaction(pool, TENANT) as connection:
        await store.save(connection, decision(case))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with transaction(pool, TENANT) as connection:
            await connection.execute(statement.format(table))
