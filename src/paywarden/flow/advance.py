"""Advance: look at the row and do the next thing. Doing it twice changes nothing; any process can pick a payment up."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from paywarden.db.transaction import retrying, transaction
from paywarden.flow import advise, guard, resolve, submit
from paywarden.flow.desk import Connection, Desk
from paywarden.kit.errors import NotFoundError
from paywarden.kit.states import Status
from paywarden.payments import queue, rows
from paywarden.payments.rows import Payment

Step = Callable[[Desk, Payment], Awaitable[None]]
_STEPS: Mapping[Status, Step] = {
    Status.PENDING: advise.decide,
    Status.RESERVED: submit.submit,
    Status.SUBMITTING: resolve.pick_up,
    Status.OUTCOME_UNKNOWN: resolve.resolve,
    Status.PROCESSING: resolve.poll,
}
# Driving a caller's own payment ends here: the rest is the provider's, a person's, or nobody's.
_AT_REST = frozenset(Status) - {Status.PENDING, Status.RESERVED, Status.SUBMITTING, Status.OUTCOME_UNKNOWN}
_LOOK_AGAIN_SECONDS = 0.05


async def begin(connection: Connection, desk: Desk, payment: Payment, pickup_seconds: float | None = None) -> Payment:
    """Decide a pending payment at once; one that advice could help becomes due for it, in the caller's transaction.

    What is reserved is due for any worker after ``pickup_seconds``, by default those of the settings. Raises
    StaleAuthorityError when authority changes meanwhile.
    """
    situation = await guard.look(connection, payment, None)
    if guard.advice_would_help(desk, payment, situation):
        return await _schedule(connection, payment)
    return await guard.conclude(connection, desk, payment, situation, pickup_seconds=pickup_seconds)


async def _schedule(connection: Connection, payment: Payment) -> Payment:
    """Make an undecided payment due: its caller drives it now, the worker if the caller dies."""
    await queue.plan(connection, payment.id, payment.fence, 0)
    scheduled = await rows.find(connection, payment.id)
    assert scheduled is not None  # noqa: S101  it was inserted or locked in this transaction
    return scheduled


async def step(desk: Desk, tenant_id: UUID, payment_id: UUID) -> Payment | None:
    """The payment after its next step; None when nothing is to do or somebody else does it."""
    return await find(desk, tenant_id, payment_id) if await work(desk, tenant_id, payment_id) else None


async def work(desk: Desk, tenant_id: UUID, payment_id: UUID) -> bool:
    """Claim the payment and do its next step once; False when nothing is to do or somebody else does it."""

    async def claim() -> Payment | None:
        async with transaction(desk.pool, tenant_id) as connection:
            settings = desk.settings
            return await queue.claim(connection, payment_id, settings.lease_seconds, settings.advice_lease_seconds)

    payment = await retrying(claim)
    if payment is None:
        return False
    await _STEPS.get(payment.status, _nothing_to_do)(desk, payment)
    return True


async def drive(desk: Desk, tenant_id: UUID, payment_id: UUID) -> Payment:
    """Advance a caller's payment until it rests with somebody else, at most ``answer_timeout_seconds`` long.

    Returns the payment as it is by then; what is left is the worker's.
    """
    until = time.monotonic() + desk.settings.answer_timeout_seconds
    seen: set[Status] = set()
    payment = await find(desk, tenant_id, payment_id)
    while goes_on(payment) and time.monotonic() < until:
        stepped = None if payment.status in seen else await step(desk, tenant_id, payment_id)
        if stepped is None:
            return await _wait_for_others(desk, tenant_id, payment_id, until)
        seen.add(payment.status)
        payment = stepped
    return payment


async def _wait_for_others(desk: Desk, tenant_id: UUID, payment_id: UUID, until: float) -> Payment:
    while True:
        payment = await find(desk, tenant_id, payment_id)
        if not goes_on(payment) or time.monotonic() > until:
            return payment
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


def goes_on(payment: Payment) -> bool:
    """Whether a next step is ours, so that its caller may drive it and a worker will."""
    return payment.status not in _AT_REST and payment.next_step_at is not None


async def find(desk: Desk, tenant_id: UUID, payment_id: UUID) -> Payment:
    """The payment as it stands. Raises NotFoundError, the same for a foreign id and for none."""
    async with transaction(desk.pool, tenant_id) as connection:
        payment = await rows.find(connection, payment_id)
    if payment is None:
        raise NotFoundError("There is no such payment.")
    return payment


async def _nothing_to_do(desk: Desk, payment: Payment) -> None:
    async with transaction(desk.pool, payment.tenant_id) as connection:
        await queue.plan(connection, payment.id, payment.fence, None)
