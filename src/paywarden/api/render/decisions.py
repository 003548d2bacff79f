"""A decision: what the adviser saw and said of a request, and what the code made of it. It never pays."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypedDict

from paywarden.api.render.values import plain, public_id
from paywarden.flow.words import Course, Replay, StoredDecision
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339
from paywarden.kit.money import display


class CheckLine(TypedDict):
    """What one rule found, of which version of the policies, in the light of which decision if of any."""

    rule: str
    result: Literal["pass", "fail", "note"]
    detail: str
    policy_version: str | None
    decision: str | None


class GivenAdvice(TypedDict):
    """What the adviser said, word for word. ``evidence`` are the ids it cites."""

    verdict: str
    amount_minor: int
    reason: str
    confidence: int
    evidence: list[str]
    missing_facts: list[str]


class EvidenceLine(TypedDict):
    """A note the adviser was given.

    ``score`` is its nearness in meaning to the request, ``facts`` what a note of our own systems states.
    """

    id: str
    score: float
    trust: str
    content: str | None
    content_sha256: str
    facts: dict[str, Any] | None
    cited: bool


class RecordLine(TypedDict):
    """A row of our own payments that the adviser was given."""

    id: str
    fact: dict[str, Any]
    cited: bool


class DecisionObject(TypedDict):
    """A checked opinion. ``amount_minor`` is what it approves, 0 unless approved; ``given`` is what the adviser said.

    ``evidence`` is what was retrieved, nearest first. ``failure`` says why the adviser gave no advice. ``usage`` counts
    calls and tokens; ``cost_micro_usd`` are millionths of a US dollar, null if unknown. ``request_ids`` are the model
    provider's names of the calls. A replay names in ``replay_of`` the decision that was made again.
    """

    object: Literal["decision"]
    id: str
    payment: str | None
    replay_of: str | None
    asked_by: str
    customer: str | None
    request: str
    requested_minor: int
    approve: bool
    verdict: str
    reason: str
    amount_minor: int
    currency: str
    display: str
    confidence: int
    given: GivenAdvice
    evidence: list[EvidenceLine]
    records: list[RecordLine]
    checks: list[CheckLine]
    adviser: str
    model: str | None
    prompt_version: str | None
    prompt_sha256: str | None
    policy_version: str | None
    failure: str | None
    raw_answer: str | None
    usage: dict[str, int]
    request_ids: list[str]
    cost_micro_usd: int | None
    latency_ms: int
    created_at: str


class CourseObject(TypedDict):
    """What a decision led to. ``status`` is what the payment went on to, null where there was none to decide.

    ``pays_minor`` is what goes out without another look; without a payment, what the advice approves.
    """

    decision: str
    verdict: str
    amount_minor: int
    reason: str
    confidence: int
    failure: str | None
    status: str | None
    oversight: str | None
    decided_by: list[str]
    pays_minor: int
    pays: str
    adviser: str
    model: str | None
    prompt_version: str | None
    prompt_sha256: str | None
    policy_version: str | None
    cost_micro_usd: int | None
    latency_ms: int
    created_at: str


class ReplayObject(TypedDict):
    """A decision as it was and as it would be made now. ``changed`` names what differs.

    ``difference_minor`` is what would go out now without another look and did not then; below zero the other way round.
    """

    object: Literal["decision_replay"]
    decision: str
    payment: str | None
    currency: str
    requested_minor: int
    then: CourseObject
    now: CourseObject
    changed: list[str]
    difference_minor: int
    difference: str


_COMPARED = (
    "verdict", "amount_minor", "confidence", "status", "oversight", "decided_by", "adviser", "model", "prompt_version",
    "prompt_sha256", "policy_version",
)  # fmt: skip


def decision_object(stored: StoredDecision, principals: Mapping[UUID, str]) -> DecisionObject:
    """A decision as it was stored; ``principals`` are the public ids of who may have asked."""
    row, advice, snapshot = stored.row, stored.row["advice"], stored.row["snapshot"]
    given = advice["given"]
    shown = {note["id"]: note for note in snapshot["evidence"]}
    return {
        "object": "decision",
        "id": stored.public_id,
        "payment": public_id("pay", row["payment_id"]),
        "replay_of": public_id("dec", row["replay_of"]),
        "asked_by": principals[row["principal_id"]],
        "customer": row["customer_id"],
        "request": snapshot["request"],
        "requested_minor": snapshot["requested_amount_minor"],
        "approve": advice["verdict"] == "approve",
        "verdict": advice["verdict"],
        "reason": advice["reason"],
        "amount_minor": advice["amount_minor"],
        "currency": snapshot["currency"],
        "display": display(advice["amount_minor"], snapshot["currency"]),
        "confidence": given["confidence"],
        "given": given,
        "evidence": [_evidence(note, shown) for note in stored.evidence],
        "records": [
            {"id": record["id"], "fact": record["fact"], "cited": record["id"] in given["evidence"]}
            for record in snapshot["records"]
        ],
        "checks": check_lines(stored.checks),
        "adviser": row["adviser"],
        "model": row["model"],
        "prompt_version": row["prompt_version"],
        "prompt_sha256": plain(row["prompt_sha256"]),
        "policy_version": row["policy_version"],
        "failure": advice["failure"],
        "raw_answer": row["raw_answer"],
        "usage": row["usage"],
        "request_ids": row["request_ids"],
        "cost_micro_usd": row["cost_micro_usd"],
        "latency_ms": row["latency_ms"],
        "created_at": rfc3339(row["created_at"]),
    }


def check_lines(rows: Sequence[Mapping[str, Any]]) -> list[CheckLine]:
    """Checks in the order in which they were made."""
    return [
        {
            "rule": row["rule"],
            "result": row["result"],
            "detail": row["detail"],
            "policy_version": row["policy_version"],
            "decision": public_id("dec", row["decision_id"]),
        }
        for row in rows
    ]


def replay_object(replay: Replay) -> ReplayObject:
    """A replay beside what it replays."""
    row = replay.then.decision.row
    currency = row["snapshot"]["currency"]
    then, now = _course(replay.then, currency), _course(replay.now, currency)
    return {
        "object": "decision_replay",
        "decision": replay.then.decision.public_id,
        "payment": public_id("pay", row["payment_id"]),
        "currency": currency,
        "requested_minor": row["snapshot"]["requested_amount_minor"],
        "then": then,
        "now": now,
        "changed": [name for name in _COMPARED if then[name] != now[name]],  # type: ignore[literal-required]
        "difference_minor": replay.difference_minor,
        "difference": display(replay.difference_minor, currency),
    }


def _course(course: Course, currency: str) -> CourseObject:
    row, advice = course.decision.row, course.decision.row["advice"]
    return {
        "decision": course.decision.public_id,
        "verdict": advice["verdict"],
        "amount_minor": advice["amount_minor"],
        "reason": advice["reason"],
        "confidence": advice["given"]["confidence"],
        "failure": advice["failure"],
        "status": course.status,
        "oversight": course.oversight,
        "decided_by": list(course.decided_by),
        "pays_minor": course.pays_minor,
        "pays": display(course.pays_minor, currency),
        "adviser": row["adviser"],
        "model": row["model"],
        "prompt_version": row["prompt_version"],
        "prompt_sha256": plain(row["prompt_sha256"]),
        "policy_version": row["policy_version"],
        "cost_micro_usd": row["cost_micro_usd"],
        "latency_ms": row["latency_ms"],
        "created_at": rfc3339(row["created_at"]),
    }


def _evidence(row: Mapping[str, Any], shown: Mapping[str, Mapping[str, Any]]) -> EvidenceLine:
    note = ids.to_text("note", row["note_id"])
    seen = shown.get(note, {})
    return {
        "id": note,
        "score": round(row["score"], 4),
        "trust": row["trust"],
        "content": seen.get("content"),
        "content_sha256": row["content_sha256"].hex(),
        "facts": seen.get("facts"),
        "cited": row["cited"],
    }
