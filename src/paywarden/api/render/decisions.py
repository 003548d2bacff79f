"""A decision: what the adviser said of a request, checked. It never pays."""

from typing import Any, Literal

from typing_extensions import TypedDict

from paywarden.api.render.values import plain
from paywarden.flow.words import DecisionView, StoredDecision
from paywarden.kit import ids


class DecisionObject(TypedDict):
    """A checked opinion. ``amount_minor`` is 0 unless approved; ``evidence`` is what was retrieved, nearest first.

    ``failure`` says why the adviser gave no advice. ``cost_micro_usd`` are millionths of a US dollar, null if unknown.
    """

    object: Literal["decision"]
    id: str
    approve: bool
    verdict: str
    reason: str
    amount_minor: int
    currency: str
    confidence: int
    adviser: str
    model: str | None
    failure: str | None
    cost_micro_usd: int | None
    latency_ms: int
    evidence: list[dict[str, Any]]


def decision_object(view: DecisionView) -> DecisionObject:
    """A decision that was just made."""
    return {
        "object": "decision",
        "id": ids.to_text("dec", view.id),
        "approve": view.approve,
        "verdict": view.verdict,
        "reason": view.reason,
        "amount_minor": view.amount_minor,
        "currency": view.currency,
        "confidence": view.confidence,
        "adviser": view.adviser,
        "model": view.model,
        "failure": view.failure,
        "cost_micro_usd": view.cost_micro_usd,
        "latency_ms": view.latency_ms,
        "evidence": view.evidence,
    }


def stored_decision_object(stored: StoredDecision) -> DecisionObject:
    """A decision as it was stored."""
    advice, snapshot = stored.row["advice"], stored.row["snapshot"]
    approve = advice["verdict"] == "approve"
    contents = {note["id"]: note["content"] for note in snapshot["evidence"]}
    return {
        "object": "decision",
        "id": stored.public_id,
        "approve": approve,
        "verdict": advice["verdict"],
        "reason": advice["reason"],
        "amount_minor": advice["amount_minor"],
        "currency": snapshot["currency"],
        "confidence": advice["given"]["confidence"],
        "adviser": stored.row["adviser"],
        "model": stored.row["model"],
        "failure": advice["failure"],
        "cost_micro_usd": stored.row["cost_micro_usd"],
        "latency_ms": stored.row["latency_ms"],
        "evidence": [_evidence(row, contents) for row in stored.evidence],
    }


def _evidence(row: dict[str, Any], contents: dict[str, str]) -> dict[str, Any]:
    note = ids.to_text("note", row["note_id"])
    return {
        "id": note,
        "score": round(row["score"], 4),
        "trust": row["trust"],
        "content": contents.get(note),
        "content_sha256": plain(row["content_sha256"]),
        "cited": row["cited"],
    }
