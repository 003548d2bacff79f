"""Decisions in their tables: stored whole, never changed, read back as they were."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from paywarden.db import columns
from paywarden.db.sql import load
from paywarden.decisions.advice import Snapshot
from paywarden.decisions.adviser import AdviceRecord
from paywarden.decisions.checks import CheckedAdvice
from paywarden.kit import ids
from paywarden.kit.checks import Check

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]
_encode = msgspec.json.Encoder().encode
# As JSON writes it.
_NUL = "\\u0000"


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision to store. ``policy_version`` is that of the guard which will use it, None when nothing is guarded.

    ``replay_of`` is the decision whose snapshot this one was made from once more.
    """

    principal_id: UUID
    snapshot: Snapshot
    record: AdviceRecord
    checked: CheckedAdvice
    payment_id: UUID | None = None
    policy_version: str | None = None
    replay_of: UUID | None = None


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision as it was stored: its row, the evidence it was given (nearest first) and its checks, as rows."""

    row: dict[str, Any]
    evidence: tuple[dict[str, Any], ...]
    checks: tuple[dict[str, Any], ...]

    @property
    def public_id(self) -> str:
        """The id as answers show it."""
        return ids.to_text("dec", self.row["id"])


async def save(connection: Connection, new: NewDecision) -> UUID:
    """Store a decision with its evidence and checks; its id. The customer's notes must be of this tenant."""
    decision_id = ids.new_uuid()
    await connection.execute(SQL.insert_decision, {"id": decision_id, **_decision_values(new)})
    await connection.execute(SQL.insert_decision_evidence, {"decision_id": decision_id, **_evidence_values(new)})
    await save_checks(
        connection,
        new.checked.checks,
        payment_id=new.payment_id,
        decision_id=decision_id,
        policy_version=new.policy_version,
    )
    return decision_id


async def save_checks(
    connection: Connection,
    checks: Sequence[Check],
    *,
    payment_id: UUID | None = None,
    decision_id: UUID | None = None,
    policy_version: str | None = None,
) -> None:
    """Store what rules found of a payment, of a decision, or of both; one of the two must be named."""
    if not checks:
        return
    values = {
        "id": ids.new_uuid(),
        "payment_id": payment_id,
        "decision_id": decision_id,
        "policy_version": policy_version,
        "findings": _findings(checks),
    }
    await connection.execute(SQL.insert_checks, values)


async def save_checks_of_payments(connection: Connection, checks: Sequence[tuple[UUID, str, Sequence[Check]]]) -> None:
    """Store what the rules of a policy version found of many payments."""
    values = {
        "ids": columns.plain(ids.new_hex() for _ in checks),
        "payment_ids": columns.uuids(payment_id for payment_id, _, _ in checks),
        "policy_versions": columns.texts(policy_version for _, policy_version, _ in checks),
        "findings": columns.texts(_findings(found) for _, _, found in checks),
    }
    await connection.execute(SQL.insert_checks_of_payments, values)


def _findings(checks: Sequence[Check]) -> str:
    """As JSON, with what PostgreSQL's text cannot hold spelled out."""
    try:
        told = _encode(checks).decode()
    except UnicodeEncodeError:
        told = _NUL
    if _NUL not in told:
        return told
    return _encode([Check(check.rule, check.result, _storable(check.detail)) for check in checks]).decode()


async def find(connection: Connection, decision_id: UUID) -> StoredDecision | None:
    """A decision of this tenant by id."""
    row = await (await connection.execute(SQL.decision_by_id, {"id": decision_id})).fetchone()
    if row is None:
        return None
    evidence = await _rows(connection, SQL.evidence_of_decision, {"decision_id": decision_id})
    return StoredDecision(row, evidence, await _rows(connection, SQL.checks_of_decision, {"decision_id": decision_id}))


async def of_payment(connection: Connection, payment_id: UUID) -> tuple[StoredDecision, ...]:
    """Every decision made for a payment, oldest first. The last one is what it rests on, if it rests on any."""
    made = await _rows(connection, SQL.decisions_of_payment, {"payment_id": payment_id})
    found = [await find(connection, row["id"]) for row in made]
    return tuple(decision for decision in found if decision is not None)


async def labels_of_payment(connection: Connection, payment_id: UUID) -> tuple[dict[str, Any], ...]:
    """What people decided of a payment beside an adviser's opinion, oldest first."""
    return await _rows(connection, SQL.labels_of_payment, {"payment_id": payment_id})


async def checks_of_payment(connection: Connection, payment_id: UUID) -> tuple[dict[str, Any], ...]:
    """Every check of a payment, in the order they were made."""
    return await _rows(connection, SQL.checks_of_payment, {"payment_id": payment_id})


def _decision_values(new: NewDecision) -> dict[str, Any]:
    record, checked = new.record, new.checked
    advice = {
        "verdict": checked.verdict,
        "amount_minor": checked.amount_minor,
        "reason": checked.reason,
        "citations_verified": checked.citations_verified,
        "supported_by_trusted": checked.supported_by_trusted,
        "failure": record.failure,
        "given": checked.advice.as_json(),
    }
    return {
        "payment_id": new.payment_id,
        "customer_id": new.snapshot.customer,
        "principal_id": new.principal_id,
        "adviser": record.adviser,
        "model": record.model,
        "prompt_version": record.prompt_version,
        "prompt_sha256": record.prompt_sha256,
        "snapshot": json.dumps(new.snapshot.as_json()),
        "raw_answer": None if record.raw_answer is None else _storable(record.raw_answer),
        "advice": json.dumps(advice),
        "usage": json.dumps(dict(record.usage)),
        "request_ids": list(record.request_ids),
        "cost_micro_usd": record.cost_micro_usd,
        "latency_ms": record.latency_ms,
        "policy_version": new.policy_version,
        "replay_of": new.replay_of,
    }


def _evidence_values(new: NewDecision) -> dict[str, Any]:
    evidence = new.snapshot.evidence
    cited = set(new.checked.advice.evidence)
    return {
        "note_ids": [ids.parse("note", note.id) for note in evidence],
        "content_sha256s": [note.content_sha256 for note in evidence],
        "scores": [note.score for note in evidence],
        "trusts": [note.trust for note in evidence],
        "cited": [note.id in cited for note in evidence],
    }


def _storable(text: str) -> str:
    """A model may answer anything; PostgreSQL's text holds neither NUL nor lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


async def _rows(connection: Connection, statement: str, values: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return tuple(await (await connection.execute(statement, values)).fetchall())


async def label(
    connection: Connection, decision_id: UUID, payment_id: UUID, reviewer_id: UUID, decided: str, reason: str
) -> None:
    """Keep what a person decided where the adviser had given this advice: approve or reject, and why."""
    values = {
        "id": ids.new_uuid(),
        "decision_id": decision_id,
        "payment_id": payment_id,
        "reviewer_id": reviewer_id,
        "decided": decided,
        "reason": reason,
    }
    await connection.execute(SQL.insert_decision_label, values)
