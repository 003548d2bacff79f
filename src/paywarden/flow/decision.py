"""A decision without a payment: what would the adviser say, and what does the code make of it? It never pays."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from paywarden.db.transaction import transaction
from paywarden.decisions import store as decision_store
from paywarden.decisions.checks import check_advice
from paywarden.decisions.store import StoredDecision
from paywarden.flow import advise
from paywarden.flow.desk import Actor, Desk
from paywarden.flow.opinion import opinion
from paywarden.identity import principals
from paywarden.kit.errors import NotFoundError
from paywarden.kit.money import Money
from paywarden.kit.text import clean_id, clean_text


@dataclass(frozen=True, slots=True)
class DecisionView:
    """What was decided and on what. ``amount_minor`` is 0 unless approved.

    ``failure`` says why the adviser gave no advice; ``cost_micro_usd`` is None when nobody knows it.
    """

    id: UUID
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


async def decide(
    desk: Desk, actor: Actor, *, customer_id: str, request: str, amount_minor: int, currency: str
) -> DecisionView:
    """Recall, advise and check; store the decision whole. Raises InvalidFieldError, ForbiddenError."""
    actor.principal.require("initiate")
    clean_id(customer_id, "customer_id")
    clean_text(request, "request")
    Money(amount_minor, currency)
    async with transaction(desk.pool, actor.tenant_id) as connection:
        await principals.ensure_customer(connection, customer_id)
    snapshot = await advise.recall(
        desk,
        actor.tenant_id,
        request=request,
        customer_id=customer_id,
        kind="refund",
        amount_minor=amount_minor,
        currency=currency,
    )
    record = await opinion(desk, actor.tenant_id, snapshot)
    checked = check_advice(snapshot, record)
    async with transaction(desk.pool, actor.tenant_id) as connection:
        decision_id = await advise.store(connection, desk, actor.principal.id, snapshot, record, checked)
    return DecisionView(
        id=decision_id,
        approve=checked.approve,
        verdict=checked.verdict,
        reason=checked.reason,
        amount_minor=checked.amount_minor,
        currency=currency,
        confidence=checked.advice.confidence,
        adviser=record.adviser,
        model=record.model,
        failure=record.failure,
        cost_micro_usd=record.cost_micro_usd,
        latency_ms=record.latency_ms,
        evidence=[
            {"id": note.id, "score": round(note.score, 4), "trust": note.trust, "content": note.content}
            for note in snapshot.evidence
        ],
    )


async def find(desk: Desk, actor: Actor, decision_id: UUID) -> StoredDecision:
    """A stored decision, whole. Raises NotFoundError."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        stored = await decision_store.find(connection, decision_id)
    if stored is None:
        raise NotFoundError("There is no such decision.")
    return stored
