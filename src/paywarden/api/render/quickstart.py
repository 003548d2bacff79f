"""The short shapes of the quick start. ``status`` is in its own words, the same that its SQL views show."""

from typing import Any, NotRequired

from typing_extensions import TypedDict

from paywarden.flow.words import DecisionView, Note, Payment
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339


class TakenPayment(TypedDict):
    """A payment. ``provider_payment_id`` is null while not known; ``reason`` is there while somebody must look."""

    payment_id: str
    provider_payment_id: str | None
    status: str
    reason: NotRequired[str | None]


class SeenPayment(TypedDict):
    """A payment with what was asked for. ``amount`` is ``amount_cents``."""

    payment_id: str
    provider_payment_id: str | None
    status: str
    amount_cents: int
    amount: int
    currency: str
    user_id: str | None
    created_at: str
    updated_at: str


class TakenJob(TypedDict):
    """A job. ``payment_id`` is the provider's id, null while it is not known."""

    job_id: str
    payment_id: str | None
    status: str
    reason: NotRequired[str | None]


class Reservation(TypedDict):
    """Authority that is held, or a job that is settled."""

    id: str
    status: str
    reason: NotRequired[str | None]


class QuickDecision(TypedDict):
    """An opinion that never pays; ``amount_cents`` is 0 unless approved."""

    decision_id: str
    approve: bool
    reason: str
    amount_cents: int
    evidence: list[dict[str, Any]]


class KeptNote(TypedDict):
    """A note that was kept."""

    id: str


class FoundNote(TypedDict):
    """A note that was found; ``score`` is its cosine similarity."""

    id: str
    customer_id: str
    content: str
    score: float | None


class FoundNotes(TypedDict):
    """Notes of one customer, nearest first."""

    data: list[FoundNote]


class ReceivedEvent(TypedDict):
    """The event is stored."""

    ok: bool
    received: bool


def taken_payment(payment: Payment) -> TakenPayment:
    """The answer of ``POST /payments``."""
    return {
        "payment_id": payment.public_id,
        "provider_payment_id": payment.provider_payment_id,
        "status": payment.quickstart_status,
    }


def seen_payment(payment: Payment) -> SeenPayment:
    """The answer of ``GET /payments/{payment_id}``."""
    return {
        "payment_id": payment.public_id,
        "provider_payment_id": payment.provider_payment_id,
        "status": payment.quickstart_status,
        "amount_cents": payment.amount_minor,
        "amount": payment.amount_minor,
        "currency": payment.currency,
        "user_id": payment.customer_id,
        "created_at": rfc3339(payment.created_at),
        "updated_at": rfc3339(payment.updated_at),
    }


def taken_job(payment: Payment) -> TakenJob:
    """The answer of ``POST /payments/create`` and of its confirmation."""
    return {
        "job_id": payment.public_id,
        "payment_id": payment.provider_payment_id,
        "status": payment.quickstart_status,
    }


def reservation(payment: Payment) -> Reservation:
    """The answer of ``reserve`` and ``mark-paid``."""
    return {"id": payment.public_id, "status": payment.quickstart_status}


def quick_decision(view: DecisionView) -> QuickDecision:
    """The answer of ``POST /decisions``."""
    return {
        "decision_id": ids.to_text("dec", view.id),
        "approve": view.approve,
        "reason": view.reason,
        "amount_cents": view.amount_minor,
        "evidence": view.evidence,
    }


def found_notes(notes: list[Note]) -> FoundNotes:
    """The answer of a search, nearest first: what was found by its words may be less near than what comes after it."""
    # What has no score, because it was found by its words alone, comes after all that have one.
    nearest_first = sorted(notes, key=lambda note: -2.0 if note.score is None else note.score, reverse=True)
    return {
        "data": [
            {"id": note.public_id, "customer_id": note.customer_id, "content": note.content, "score": note.score}
            for note in nearest_first
        ]
    }
