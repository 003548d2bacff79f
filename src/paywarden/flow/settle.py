"""After the ask: confirm, cancel, settle. What is at the provider ends by the provider's evidence only."""

from uuid import UUID

from paywarden.audit import events
from paywarden.db.transaction import retrying, transaction
from paywarden.flow import advance, ask, facts, submit
from paywarden.flow.ask import Asked
from paywarden.flow.desk import Actor, Connection, Desk
from paywarden.flow.facts import Fact
from paywarden.kit.errors import (
    AmbiguousJobError,
    IdempotencyInProgressError,
    NotFoundError,
    NotSettledAtProviderError,
    PaymentDeclinedError,
    PaymentDeniedError,
    StateConflictError,
)
from paywarden.kit.states import BEFORE_SUBMIT, Status
from paywarden.kit.text import clean_id
from paywarden.payments import idempotency, queue, rows
from paywarden.payments.idempotency import IdempotentRequest
from paywarden.payments.rows import Move, Payment
from paywarden.reviews import reviews


async def confirm(desk: Desk, actor: Actor, payment_id: UUID) -> Payment:
    """Let the provider complete a payment that waits for its confirmation.

    Confirming a payment that is already confirmed (or paid) changes nothing. Raises NotFoundError, StateConflictError,
    PaymentDeniedError when it is no longer allowed.
    """
    actor.principal.require("initiate")
    payment = await advance.find(desk, actor.tenant_id, payment_id)
    if payment.status in {Status.PROCESSING, Status.SUCCEEDED, Status.SUBMITTING, Status.OUTCOME_UNKNOWN}:
        return payment
    if payment.status is not Status.REQUIRES_ACTION:
        raise StateConflictError(f"The payment is {payment.status}; only one that waits for it can be confirmed.")

    async def claim() -> Payment | None:
        async with transaction(desk.pool, actor.tenant_id) as connection:
            return await queue.claim_for_request(connection, payment_id, desk.settings.lease_seconds)

    claimed = await retrying(claim)
    if claimed is not None and claimed.status is Status.REQUIRES_ACTION:
        await _confirm(desk, claimed)
    return await advance.drive(desk, actor.tenant_id, payment_id)


async def _confirm(desk: Desk, claimed: Payment) -> None:
    try:
        await submit.intend_and_send(desk, claimed, "confirm")
    except PaymentDeniedError:
        async with transaction(desk.pool, claimed.tenant_id) as connection:
            await queue.plan(connection, claimed.id, claimed.fence, None)
        raise


async def cancel(desk: Desk, actor: Actor, payment_id: UUID) -> Payment:
    """Cancel what was not sent yet: the hold goes back. Raises NotFoundError, StateConflictError."""
    actor.principal.require("initiate")

    async def once() -> Payment:
        async with transaction(desk.pool, actor.tenant_id) as connection:
            return await _cancel(connection, actor, payment_id)

    return await retrying(once)


async def _cancel(connection: Connection, actor: Actor, payment_id: UUID) -> Payment:
    payment = await rows.lock_with_original(connection, payment_id)
    if payment is None:
        raise NotFoundError("There is no such payment.")
    if payment.status is Status.CANCELED:
        return payment
    wanted = Move(Status.CANCELED, "request", "cancel", principal_id=actor.principal.id)
    moved = await rows.move(connection, payment_id, wanted) if payment.status in BEFORE_SUBMIT else None
    if moved is None:
        raise StateConflictError(f"The payment is {payment.status}: only what was not sent yet can be canceled.")
    await reviews.close(connection, payment_id, "canceled")
    await facts.give_back(connection, moved)
    await events.record(
        connection,
        "payment.canceled",
        ("payment", payment_id),
        principal_id=actor.principal.id,
        request_id=actor.request_id,
    )
    return moved


async def mark_paid(
    desk: Desk,
    actor: Actor,
    agent_id: str,
    payment_id: UUID | None,
    reference: str | None,
    request: IdempotentRequest | None = None,
) -> Asked:
    """Settle exactly one payable job of an agent: the one named, or the only one.

    A job without a provider is settled by hand, with principal and reference. A job at the provider is confirmed or
    fetched and becomes paid on the provider's evidence only. A key names the job it settled: a repeat is answered with
    that job, however many others there are by then. Raises NotFoundError, AmbiguousJobError,
    NotSettledAtProviderError, PaymentDeclinedError, IdempotencyKeyReusedError.
    """
    actor.principal.require("settle")
    if reference is not None:
        clean_id(reference, "reference")
    settled = None if request is None else await _settled_before(desk, actor, request)
    if settled is not None:
        return Asked(settled, replayed=True)
    job = await _one_job(desk, actor, agent_id, payment_id)
    if job.bare:
        return Asked(await retrying(lambda: _settle_by_hand(desk, actor, job.id, reference, request)), replayed=False)
    paid = await _settle_at_provider(desk, actor, job)
    if request is not None:
        async with transaction(desk.pool, actor.tenant_id) as connection:
            await idempotency.register(connection, actor.principal.id, request, paid.id, lease_seconds=0)
    return Asked(paid, replayed=False)


async def _settled_before(desk: Desk, actor: Actor, request: IdempotentRequest) -> Payment | None:
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await ask.earlier(connection, actor, request)


async def _one_job(desk: Desk, actor: Actor, agent_id: str, payment_id: UUID | None) -> Payment:
    async with transaction(desk.pool, actor.tenant_id) as connection:
        jobs = await rows.payable_jobs(connection, agent_id)
    if payment_id is not None:
        jobs = [job for job in jobs if job.id == payment_id]
    if not jobs:
        raise NotFoundError("No payable job found")
    if len(jobs) > 1:
        names = [job.public_id for job in jobs]
        raise AmbiguousJobError(f"Name one of {len(names)} payable jobs by its id.", candidates=names)
    return jobs[0]


async def _settle_by_hand(
    desk: Desk, actor: Actor, payment_id: UUID, reference: str | None, request: IdempotentRequest | None
) -> Payment:
    async with transaction(desk.pool, actor.tenant_id) as connection:
        if request is not None and not await idempotency.register(
            connection, actor.principal.id, request, payment_id, lease_seconds=0
        ):
            raise IdempotencyInProgressError("The same request is just being answered.", retry_after_seconds=1)
        fact = Fact("succeeded", "manual", reason=reference, principal_id=actor.principal.id)
        settled = await facts.apply(connection, payment_id, fact)
        await events.record(
            connection,
            "payment.settled_by_hand",
            ("payment", payment_id),
            principal_id=actor.principal.id,
            request_id=actor.request_id,
            data={"reference": reference} if reference else {},
        )
    if settled is None or settled.status is not Status.SUCCEEDED:
        raise NotFoundError("No payable job found")
    return settled


async def _settle_at_provider(desk: Desk, actor: Actor, job: Payment) -> Payment:
    payment = job
    if payment.status is Status.REQUIRES_ACTION:
        payment = await confirm(desk, actor, job.id)
    if payment.status is not Status.SUCCEEDED:
        payment = await advance.step(desk, actor.tenant_id, job.id) or payment
    if payment.status is Status.FAILED:
        raise PaymentDeclinedError(payment.reason or "The provider declined the payment.")
    if payment.status is not Status.SUCCEEDED:
        raise NotSettledAtProviderError(
            f"The provider does not say that {payment.public_id} is paid; it is {payment.quickstart_status}.",
            payment=payment.public_id,
        )
    return payment
