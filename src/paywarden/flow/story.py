"""The story of a payment for people, and the lists: read only, one tenant, one snapshot."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from paywarden.audit import events
from paywarden.db.transaction import transaction
from paywarden.decisions import store as decision_store
from paywarden.decisions.store import StoredDecision
from paywarden.flow import ask
from paywarden.flow.ask import Ask
from paywarden.flow.desk import Actor, Desk
from paywarden.kit.errors import InvalidFieldError, NotFoundError
from paywarden.ledger import chart, door
from paywarden.payments import operations, rows
from paywarden.payments.rows import Payment
from paywarden.reconciliation import attestations, discrepancies
from paywarden.reviews import reviews
from paywarden.reviews.reviews import Review
from paywarden.webhooks import inbox


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that is known about one payment, as rows. ``labels`` are people's verdicts beside the adviser's."""

    payment: Payment
    transitions: list[dict[str, Any]]
    decisions: tuple[StoredDecision, ...]
    checks: tuple[dict[str, Any], ...]
    reviews: list[Review]
    verdicts: list[dict[str, Any]]
    labels: tuple[dict[str, Any], ...]
    holds: list[dict[str, Any]]
    operations: list[dict[str, Any]]
    webhooks: list[dict[str, Any]]
    transfers: list[dict[str, Any]]
    discrepancies: list[dict[str, Any]]
    attestations: list[dict[str, Any]]
    events: list[dict[str, Any]]


async def tell(desk: Desk, actor: Actor, payment_id: UUID) -> Story:
    """The whole story of one payment. Raises NotFoundError."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        payment = await rows.find(connection, payment_id)
        if payment is None:
            raise NotFoundError("There is no such payment.")
        return Story(
            payment=payment,
            transitions=await rows.transitions(connection, payment_id),
            decisions=await decision_store.of_payment(connection, payment_id),
            checks=await decision_store.checks_of_payment(connection, payment_id),
            reviews=await reviews.of_payment(connection, payment_id),
            verdicts=await reviews.verdicts(connection, payment_id),
            labels=await decision_store.labels_of_payment(connection, payment_id),
            holds=await door.holds_of_payment(connection, payment_id),
            operations=await operations.all_of_payment(connection, payment_id),
            webhooks=await inbox.of_payment(connection, payment_id),
            transfers=await door.transfers_of_payment(connection, payment_id),
            discrepancies=await discrepancies.of_payment(connection, payment_id),
            attestations=await attestations.of_payment(connection, payment_id),
            events=await events.of_subject(connection, payment_id),
        )


async def list_payments(
    desk: Desk,
    actor: Actor,
    *,
    limit: int,
    after: tuple[str, UUID] | None = None,
    status: str | None = None,
    kind: rows.Kind | None = None,
    customer_id: str | None = None,
) -> list[Payment]:
    """Committed payments, newest first, after a cursor of (transaction, id)."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await rows.page(connection, limit=limit, after=after, status=status, kind=kind, customer_id=customer_id)


async def check(desk: Desk, actor: Actor, wanted: Ask) -> dict[str, Any]:
    """Dry run: what would become of this request, by which rules, at which oversight. Nothing is stored."""
    payment, advice_needed = await ask.preview(desk, actor, wanted)
    return {
        "status": payment.status.value,
        "advice_needed": advice_needed,
        "oversight": payment.oversight,
        "reason": payment.reason,
        "decided_by": payment.decided_by,
        "policy_version": desk.policies.version,
    }


async def accounts(desk: Desk, actor: Actor) -> list[dict[str, Any]]:
    """Every ledger account with its balances in minor units."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await door.accounts(connection)


async def transfers(
    desk: Desk,
    actor: Actor,
    *,
    limit: int,
    after: tuple[str, UUID] | None = None,
    payment_id: UUID | None = None,
    customer_id: str | None = None,
) -> list[dict[str, Any]]:
    """Committed transfers, newest first, after a cursor of (transaction, id).

    All of them, those of one payment, or those on the credit of one customer. Raises InvalidFieldError.
    """
    if payment_id is not None and customer_id is not None:
        raise InvalidFieldError("customer", "cannot be asked for together with 'payment': a payment moves no credit")
    accounts = None if customer_id is None else chart.accounts_of_customer(customer_id)
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await door.transfers(connection, after=after, limit=limit, payment_id=payment_id, accounts=accounts)


async def trial_balance(desk: Desk, actor: Actor) -> list[dict[str, Any]]:
    """Per book and asset: debits, credits, and their difference, which is zero."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await door.trial_balance(connection)


async def list_discrepancies(desk: Desk, actor: Actor, *, status: str, limit: int = 100) -> list[dict[str, Any]]:
    """Discrepancies in one status, newest first."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await discrepancies.of_tenant(connection, status, limit)
