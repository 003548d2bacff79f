"""Resolve what nobody answered: fetch by our own reference, resend the same bytes inside the window, or keep waiting.

"Not found" is no proof and voids nothing. Past the provider's key window nothing is sent again, ever (money.md 3).
"""

from collections.abc import Sequence

from paywarden.db.transaction import retrying, transaction
from paywarden.flow import facts, submit
from paywarden.flow.desk import Desk
from paywarden.flow.facts import Fact
from paywarden.kit.states import Status
from paywarden.payments import operations, queue, rows
from paywarden.payments.operations import Operation
from paywarden.payments.rows import Move, Payment
from paywarden.providers.port import Found, NotFound, ProviderPayment, Transient, Unknown
from paywarden.reconciliation import discrepancies

# A copy of the last attempt may still be under way at the provider for a moment.
_RESEND_AFTER_SECONDS = 1.0


async def pick_up(desk: Desk, payment: Payment) -> None:
    """A payment found in ``submitting``: send what provably was not sent, else nobody knows what came of it."""
    operation = await _operation(desk, payment)
    if operation.attempts == 0:
        await submit.send_again(desk, payment, operation)
        return
    await retrying(lambda: _nobody_knows(desk, payment, operation))


async def _nobody_knows(desk: Desk, payment: Payment, operation: Operation) -> None:
    async with transaction(desk.pool, payment.tenant_id) as connection:
        wanted = Move(Status.OUTCOME_UNKNOWN, "lapse", "recovery", next_step_seconds=0, fence=payment.fence)
        if await rows.move(connection, payment.id, wanted) is not None:
            await operations.record(connection, operation.id, "outcome_unknown", error="no answer was recorded")


async def resolve(desk: Desk, payment: Payment) -> None:
    """Ask the provider what it knows under our reference, and act on evidence only."""
    operation = await _operation(desk, payment)
    known = await _ask_provider(desk, payment, operation)
    match known:
        case ProviderPayment():
            await retrying(lambda: _learn(desk, payment, operation, known))
        case NotFound():
            await _not_found(desk, payment, operation)
        case Transient() | Unknown():
            await _wait(desk, payment, operation, known.reason)


async def poll(desk: Desk, payment: Payment) -> None:
    """A payment the provider is processing, without an event so far: look it up."""
    operation = await _operation(desk, payment)
    known = await _ask_provider(desk, payment, operation)
    if isinstance(known, ProviderPayment):
        await retrying(lambda: _learn(desk, payment, operation, known))
    else:
        await _wait(desk, payment, operation, None)


async def _operation(desk: Desk, payment: Payment) -> Operation:
    async with transaction(desk.pool, payment.tenant_id) as connection:
        operation = await operations.latest(connection, payment.id)
    if operation is None:
        raise LookupError("a payment at a provider without an operation")
    return operation


async def _ask_provider(
    desk: Desk, payment: Payment, operation: Operation
) -> ProviderPayment | NotFound | Transient | Unknown:
    provider, timeout = desk.provider(operation.provider), desk.settings.provider_timeout_seconds
    # A provider need not have a look-up of refunds by its own id, but it must know our reference.
    if payment.provider_payment_id is not None and operation.kind != "refund":
        fetched = await provider.fetch(operation.kind, payment.provider_payment_id, timeout)
        return fetched.payment if isinstance(fetched, Found) else fetched
    found = await provider.fetch_by_reference(operation.kind, operation.our_reference, timeout)
    if isinstance(found, Transient | Unknown):
        return found
    if len(found) > 1:
        await _raise_doubled(desk, payment, found)
    return found[0] if found else NotFound()


async def _raise_doubled(desk: Desk, payment: Payment, found: Sequence[ProviderPayment]) -> None:
    async with transaction(desk.pool, payment.tenant_id) as connection:
        await discrepancies.open_discrepancy(
            connection,
            "several_at_provider",
            payment.public_id,
            payment_id=payment.id,
            provider_ids=[one.provider_id for one in found],
        )


async def _learn(desk: Desk, payment: Payment, operation: Operation, known: ProviderPayment) -> None:
    """Book what the provider knows. An unconfirmed payment whose confirmation is open is no news: send it again."""
    if operation.kind == "confirm" and known.status == "requires_confirmation":
        await _not_found(desk, payment, operation)
        return
    fact = Fact(
        known.status,
        "fetch",
        provider_id=known.provider_id,
        amount_minor=known.amount_minor,
        currency=known.currency,
        reason=known.failure_reason,
        next_step_seconds=submit.backoff_seconds(desk, operation),
    )
    async with transaction(desk.pool, payment.tenant_id) as connection:
        await facts.lock_order(connection, payment.tenant_id, payment.provider_account, known.provider_id)
        booked = await facts.apply(connection, payment.id, fact)
        if booked is not None:
            await operations.record(connection, operation.id, "accepted", provider_id=known.provider_id)
        if booked is None or booked.next_step_at is not None:
            await queue.plan(connection, payment.id, payment.fence, submit.backoff_seconds(desk, operation))


def window_left_seconds(desk: Desk, operation: Operation) -> float:
    """How long the same key and bytes may still be sent: not positive once nothing may be, ever."""
    promised = desk.provider(operation.provider).facts
    if not promised.idempotent_submit:
        return 0.0
    return promised.key_window.total_seconds() - operation.age_seconds - desk.settings.key_window_margin_seconds


async def _not_found(desk: Desk, payment: Payment, operation: Operation) -> None:
    """No proof of anything. Inside the window the same key and bytes may go again; past it nothing may."""
    if window_left_seconds(desk, operation) <= 0:
        async with transaction(desk.pool, payment.tenant_id) as connection:
            await submit.raise_past_window(connection, payment, operation)
        await _wait(desk, payment, operation, "not found, and past the provider's key window")
    elif operation.attempts > 0 and operation.age_seconds < _RESEND_AFTER_SECONDS:
        await _wait(desk, payment, operation, "not found yet", seconds=_RESEND_AFTER_SECONDS)
    else:
        await submit.send_again(desk, payment, operation)


async def _wait(
    desk: Desk, payment: Payment, operation: Operation, reason: str | None, seconds: float | None = None
) -> None:
    async def plan() -> None:
        async with transaction(desk.pool, payment.tenant_id) as connection:
            wait_seconds = seconds or submit.backoff_seconds(desk, operation)
            planned = await queue.plan(connection, payment.id, payment.fence, wait_seconds)
            if planned and reason is not None:
                await operations.record(connection, operation.id, "outcome_unknown", error=reason)

    await retrying(plan)
