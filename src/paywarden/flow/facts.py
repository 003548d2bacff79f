"""Facts: what a provider proves about a payment always books. Runs inside the caller's transaction.

Lock order: the advisory lock on the provider's id comes first, so that an event and the storing of that id cannot miss
each other; then the original of a refund, then the payment.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from paywarden.audit import events
from paywarden.flow.desk import Connection
from paywarden.flow.postings import success_movements
from paywarden.kit.states import BEFORE_SUBMIT, FINAL, Status
from paywarden.ledger import door
from paywarden.ledger.intents import Post, Void
from paywarden.payments import rows
from paywarden.payments.rows import Move, Payment
from paywarden.providers.port import ProviderStatus
from paywarden.reconciliation import discrepancies
from paywarden.reviews import reviews
from paywarden.webhooks import inbox

PAST_WINDOW = "outcome_unknown_past_window"
# The source of a fact that two people stand for.
ATTESTED = "attested"
_TARGET: dict[ProviderStatus, Status] = {
    "requires_confirmation": Status.REQUIRES_ACTION,
    "pending": Status.PROCESSING,
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
}


@dataclass(frozen=True, slots=True)
class Fact:
    """What the provider says. ``source`` is where it said so: answer, fetch, webhook or statement.

    People stand for two kinds: ``manual`` (a job without a provider) and ``attested`` (nobody else can know).
    """

    status: ProviderStatus
    source: str
    provider_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    reason: str | None = None
    event_at: datetime | None = None
    principal_id: UUID | None = None
    next_step_seconds: float | None = None


async def lock_order(connection: Connection, tenant_id: UUID, account: str | None, provider_id: str | None) -> None:
    """Take the first lock of all, when the provider's id is known."""
    if provider_id is not None:
        await inbox.lock_provider_id(connection, tenant_id, account or "", provider_id)


async def apply(connection: Connection, payment_id: UUID, fact: Fact) -> Payment | None:
    """Book a fact on a payment: None when it disagrees with what we know (a discrepancy is open then).

    A fact of lower or equal rank changes nothing and returns the payment as it is.
    """
    payment = await rows.lock_with_original(connection, payment_id)
    if payment is None:
        raise LookupError("a fact about no payment of this tenant")
    if not await _agrees(connection, payment, fact):
        return None
    target = _TARGET[fact.status]
    await _raise_against_people(connection, payment, target, fact)
    if target is Status.SUCCEEDED:
        return await _succeed(connection, payment, fact)
    if target is Status.FAILED:
        return await _fail(connection, payment, fact)
    return await _move(connection, payment, target, fact) or payment


async def _agrees(connection: Connection, payment: Payment, fact: Fact) -> bool:
    """Whatever the provider states of id, amount and currency must be what we know."""
    seen = {"amount_minor": fact.amount_minor, "currency": fact.currency, "provider_id": fact.provider_id}
    for name, ours in (("amount_minor", payment.amount_minor), ("currency", payment.currency)):
        if seen[name] is not None and seen[name] != ours:
            await _raise(connection, payment, f"{name}_differs", ours=ours, source=fact.source, **seen)
            return False
    if fact.provider_id is not None and not await rows.write_provider_id(connection, payment.id, fact.provider_id):
        await _raise(
            connection, payment, "provider_id_differs", ours=payment.provider_payment_id, source=fact.source, **seen
        )
        return False
    return True


async def _raise(connection: Connection, payment: Payment, kind: str, **detail: Any) -> None:
    await discrepancies.open_discrepancy(connection, kind, payment.public_id, payment_id=payment.id, **detail)
    await events.record(connection, f"discrepancy.{kind}", ("payment", payment.id), data=detail)


async def _raise_against_people(connection: Connection, payment: Payment, target: Status, fact: Fact) -> None:
    """The provider's own end of a payment is not the one that people attested: somebody must look."""
    differs = {payment.status, target} == {Status.SUCCEEDED, Status.FAILED}
    if differs and await rows.became_by(connection, payment.id, payment.status, ATTESTED):
        await _raise(connection, payment, "attested_otherwise", ours=payment.status, theirs=target, source=fact.source)


async def _succeed(connection: Connection, payment: Payment, fact: Fact) -> Payment:
    if payment.status is Status.SUCCEEDED:
        return payment
    unexpected = payment.status is Status.DENIED or (payment.status in BEFORE_SUBMIT and not payment.bare)
    late = await _book_success(connection, payment, fact)
    if late is None:
        return payment
    if unexpected:
        await _raise(connection, payment, "success_without_request", status=payment.status, source=fact.source)
        await reviews.close(connection, payment.id, "canceled")
    return await _move(connection, payment, Status.SUCCEEDED, fact, late=late or payment.status in FINAL) or payment


def success(payment: Payment, event_at: datetime | None) -> Post:
    """What a proven success books: the hold, and the money. Once only, under the payment's own name."""
    return Post(
        hold_id=payment.hold_id,
        payment_id=payment.id,
        operation=payment.public_id,
        fact_kind="succeeded",
        amount_minor=payment.amount_minor,
        fact=True,
        movements=success_movements(payment),
        event_at=event_at,
    )


def told(payment_id: UUID, status: Status, source: str, *, late: bool) -> events.Happened:
    """What the audit says of a fact that moved a payment."""
    return events.Happened(f"payment.{status}", ("payment", payment_id), {"source": source, "late": late})


async def _book_success(connection: Connection, payment: Payment, fact: Fact) -> bool | None:
    """Post the hold and the money once; whether it was late, or None when it was booked before."""
    (outcome,) = await door.write(connection, [success(payment, fact.event_at)])
    if outcome.result == "replayed":
        return None
    if outcome.result != "ok":
        raise RuntimeError(f"the ledger answered {outcome.result} to a fact")
    if outcome.below_floor is not None:
        await discrepancies.open_discrepancy(connection, "below_floor", outcome.below_floor, payment_id=payment.id)
    await rows.book_captured(connection, payment.id, payment.amount_minor)
    if payment.original_payment_id is not None:
        await _book_refunded(connection, payment, payment.original_payment_id)
    return outcome.late


async def _book_refunded(connection: Connection, refund: Payment, original_id: UUID) -> None:
    """Count a refund on its original; more than was captured is the truth, and somebody must look."""
    was_reserved = refund.status not in FINAL
    await rows.book_refunded(connection, original_id, refund.amount_minor, was_reserved=was_reserved)
    original = await rows.find(connection, original_id)
    if original is not None and original.refundable_minor < 0:
        await _raise(connection, original, "refunded_more_than_captured", refund=refund.public_id)


async def _fail(connection: Connection, payment: Payment, fact: Fact) -> Payment:
    moved = await _move(connection, payment, Status.FAILED, fact)
    if moved is None:
        return payment
    await give_back(connection, moved)
    return moved


async def give_back(connection: Connection, payment: Payment, status: Any = "voided") -> None:
    """Return the hold, and what a refund had set aside of its original."""
    if payment.hold_id is not None:
        await door.write(connection, [Void(payment.hold_id, payment.id, status)])
    if payment.original_payment_id is not None:
        await rows.release_refundable(connection, payment.original_payment_id, payment.amount_minor)


async def _move(
    connection: Connection, payment: Payment, target: Status, fact: Fact, *, late: bool = False
) -> Payment | None:
    wanted = Move(
        target,
        "fact",
        fact.source,
        principal_id=fact.principal_id,
        reason=fact.reason,
        detail={"provider_id": fact.provider_id} if fact.provider_id else {},
        event_at=fact.event_at,
        next_step_seconds=None if target in FINAL else fact.next_step_seconds,
        late=late,
    )
    moved = await rows.move(connection, payment.id, wanted)
    if moved is not None:
        if payment.status is Status.OUTCOME_UNKNOWN:
            await discrepancies.resolve(connection, PAST_WINDOW, payment.public_id)
        await events.record_all(connection, [told(payment.id, target, fact.source, late=late)])
    return moved
