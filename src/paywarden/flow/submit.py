"""Submit: write the intention, commit (the point of no return), then call the provider, then record what it said."""

import time
from collections.abc import Mapping
from typing import Literal

from msgspec import structs

from paywarden.db.transaction import retrying, transaction
from paywarden.flow import facts, guard
from paywarden.flow.desk import Connection, Desk
from paywarden.flow.facts import Fact
from paywarden.identity import tenants
from paywarden.kit import ids
from paywarden.kit.errors import PaymentDeniedError
from paywarden.kit.states import Status
from paywarden.payments import operations, queue, rows
from paywarden.payments.operations import Operation, OperationKind
from paywarden.payments.rows import Kind, Move, Payment
from paywarden.providers.port import Accepted, Answer, Declined, Invalid, Order, PreparedRequest, Transient, Unknown
from paywarden.reconciliation import discrepancies

_TRANSIENT_RETRY_SECONDS = 1.0
_OPERATION: Mapping[Kind, OperationKind] = {"charge": "submit", "refund": "refund", "payout": "payout"}


async def submit(desk: Desk, payment: Payment) -> None:
    """Send a reserved payment: the commit inside is the point of no return."""
    await intend_and_send(desk, payment, _OPERATION[payment.kind])


async def intend_and_send(desk: Desk, payment: Payment, kind: OperationKind) -> None:
    """Store an operation with its exact bytes, move to ``submitting``, commit, send, record."""
    provider_id = await _provider_id_for(desk, payment, kind)
    request = desk.provider(payment.provider or "").prepare(_order(payment, kind, provider_id), _key(payment, kind))
    began = time.monotonic()
    operation = await retrying(lambda: _pass_no_return(desk, payment, kind, request))
    if operation is not None:
        await _send(desk, payment, operation, began)


def _key(payment: Payment, kind: OperationKind) -> str:
    """The provider's idempotency key, made from our row: any retry by anyone reaches the same provider object."""
    return f"{payment.public_id}-{kind}"


def _order(payment: Payment, kind: OperationKind, provider_id: str | None) -> Order:
    return Order(
        kind=kind,
        our_reference=payment.public_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        customer=payment.customer_id or "",
        description=payment.purpose or payment.reference or payment.kind,
        agent=payment.agent_id,
        confirm=payment.confirm,
        provider_payment_id=provider_id,
        payee=payment.payee,
    )


async def _provider_id_for(desk: Desk, payment: Payment, kind: OperationKind) -> str | None:
    """Which object at the provider the operation is about: the charge for a refund, itself for a confirm."""
    if kind != "refund" or payment.original_payment_id is None:
        return payment.provider_payment_id
    async with transaction(desk.pool, payment.tenant_id) as connection:
        original = await rows.find(connection, payment.original_payment_id)
    return original.provider_payment_id if original else None


async def _pass_no_return(
    desk: Desk, payment: Payment, kind: OperationKind, request: PreparedRequest
) -> Operation | None:
    """The point of no return. Re-reads tenant, principal, mandates, policy and approvals; None: it was refused."""
    async with transaction(desk.pool, payment.tenant_id) as connection:
        locked = await rows.lock_with_original(connection, payment.id)
        if locked is None or (locked.fence, locked.status) != (payment.fence, payment.status):
            return None
        if await _refused(connection, desk, locked, kind):
            return None
        wanted = Move(
            Status.SUBMITTING,
            "request",
            kind,
            next_step_seconds=desk.settings.lease_seconds,
            keep_lease=True,
            fence=payment.fence,
        )
        if await rows.move(connection, payment.id, wanted) is None:
            return None
        await operations.insert(connection, _operation_values(locked, kind, request))
        return await operations.latest(connection, payment.id)


async def _refused(connection: Connection, desk: Desk, payment: Payment, kind: OperationKind) -> bool:
    """Whether what allowed this payment no longer does: then it is denied and its hold goes back.

    A confirmation cannot be denied that way, the payment is at the provider: it raises PaymentDeniedError.
    """
    situation = await guard.look(connection, payment, await guard.stored_advice(connection, payment))
    verdict = guard.judge(desk, payment, situation)
    digest_stands = rows.action_digest(payment.tenant_id, payment) == payment.action_digest
    if verdict.denial is None and verdict.decision.outcome == "allow" and digest_stands:
        return False
    denial = verdict.denial or guard.Denial("approval_lapsed" if digest_stands else "action_changed")
    if kind == "confirm":
        raise PaymentDeniedError(f"This payment is no longer allowed: {denial.reason}.", rule=denial.rule)
    await guard.withdraw(connection, desk, payment, denial, verdict)
    return True


def _operation_values(payment: Payment, kind: OperationKind, request: PreparedRequest) -> dict[str, object]:
    return {
        "id": ids.new_uuid(),
        "payment_id": payment.id,
        "kind": kind,
        "provider": payment.provider,
        "provider_account": payment.provider_account,
        "our_reference": payment.public_id,
        "idempotency_key": request.idempotency_key,
        "path": request.path,
        "body": request.body,
        "fence": payment.fence,
        "lease_until": payment.lease_until,
    }


async def _send(desk: Desk, payment: Payment, operation: Operation, began: float) -> None:
    """Send a committed intention once and record the answer.

    Not when less of the lease is left than the call may take: whoever stalled since ``began``, before the commit, may
    wake when others have taken over, or when the provider has forgotten the key.
    """
    timeout_seconds = desk.settings.provider_timeout_seconds
    answer: Answer
    if operation.lease_left_seconds - (time.monotonic() - began) <= timeout_seconds:
        answer = Transient("the lease was too short to send", sent="no")
    else:
        request = PreparedRequest("POST", operation.path, operation.body, operation.idempotency_key)
        answer = await desk.provider(operation.provider).send(request, timeout_seconds)
    await retrying(lambda: record_answer(desk, payment, operation, answer))


async def record_answer(desk: Desk, payment: Payment, operation: Operation, answer: Answer) -> None:
    """Write what the provider said; evidence is a fact, everything else leaves the outcome unknown.

    A refusal is evidence only while ours is the only attempt: somebody may have sent it again while we waited.
    """
    provider_id = answer.payment.provider_id if isinstance(answer, Accepted) else None
    async with transaction(desk.pool, payment.tenant_id) as connection:
        await facts.lock_order(connection, payment.tenant_id, payment.provider_account, provider_id)
        await rows.lock_with_original(connection, payment.id)
        attempts = await operations.lock_attempts(connection, operation.id)
        match answer:
            case Accepted():
                await _accept(connection, desk, payment, operation, answer)
            case Declined() | Invalid() if attempts == 1:
                await _refuse(connection, payment, operation, answer)
            case Transient():
                await operations.take_back_attempt(connection, operation.id, payment.fence, answer.reason)
                await queue.plan(connection, payment.id, payment.fence, _retry_seconds(answer))
            case Declined() | Invalid() | Unknown():
                await _leave_unknown(connection, desk, payment, operation, answer.reason)


def _retry_seconds(answer: Transient) -> float:
    return min(30.0, max(_TRANSIENT_RETRY_SECONDS, answer.retry_after_seconds or 0))


async def _accept(connection: Connection, desk: Desk, payment: Payment, operation: Operation, answer: Accepted) -> None:
    found = answer.payment
    fact = Fact(
        found.status,
        "answer",
        provider_id=found.provider_id,
        amount_minor=found.amount_minor,
        currency=found.currency,
        reason=found.failure_reason,
        next_step_seconds=desk.settings.fetch_first_seconds,
    )
    if operation.kind == "confirm" and found.status == "requires_confirmation":
        await _leave_unknown(connection, desk, payment, operation, "the provider did not confirm")
        return
    await operations.record(connection, operation.id, "accepted", provider_id=found.provider_id)
    if await facts.apply(connection, payment.id, fact) is None:
        await _leave_unknown(connection, desk, payment, operation, "the answer disagrees with the request")


async def _refuse(connection: Connection, payment: Payment, operation: Operation, answer: Declined | Invalid) -> None:
    kind: Literal["declined", "invalid"] = "declined" if isinstance(answer, Declined) else "invalid"
    await operations.record(connection, operation.id, kind, error=answer.reason)
    await facts.apply(connection, payment.id, Fact("failed", "answer", reason=f"{kind}: {answer.reason}"))


async def _leave_unknown(
    connection: Connection, desk: Desk, payment: Payment, operation: Operation, reason: str
) -> None:
    await operations.record(connection, operation.id, "outcome_unknown", error=reason)
    wanted = Move(
        Status.OUTCOME_UNKNOWN,
        "lapse",
        "no_usable_answer",
        detail={"reason": reason},
        next_step_seconds=backoff_seconds(desk, operation),
        fence=payment.fence,
    )
    await rows.move(connection, payment.id, wanted)


def backoff_seconds(desk: Desk, operation: Operation) -> float:
    """Wait as long again as it has lasted, between the first and the longest wait of the settings."""
    settings = desk.settings
    return min(settings.fetch_backoff_max_seconds, max(settings.fetch_first_seconds, operation.age_seconds / 2))


async def send_again(desk: Desk, payment: Payment, operation: Operation) -> None:
    """Send the same stored bytes under the same key once more, inside the provider's key window.

    Not while the tenant is suspended: then it waits, as it is.
    """

    async def count() -> Operation | None:
        async with transaction(desk.pool, payment.tenant_id) as connection:
            locked = await rows.lock_with_original(connection, payment.id)
            if locked is None or (locked.fence, locked.status) != (payment.fence, payment.status):
                return None
            if not await _tenant_active(connection, payment):
                await queue.plan(connection, payment.id, payment.fence, backoff_seconds(desk, operation))
                return None
            if not await operations.count_attempt(connection, operation.id, payment.fence, payment.lease_until):
                return None
            wanted = Move(
                Status.SUBMITTING,
                "lapse",
                "resend",
                next_step_seconds=desk.settings.lease_seconds,
                keep_lease=True,
                fence=payment.fence,
            )
            if payment.status is not Status.SUBMITTING:
                await rows.move(connection, payment.id, wanted)
            return await operations.latest(connection, payment.id)

    began = time.monotonic()
    counted = await retrying(count)
    if counted is not None:
        await _send(desk, structs.replace(payment, status=Status.SUBMITTING), counted, began)


async def _tenant_active(connection: Connection, payment: Payment) -> bool:
    tenant = await tenants.find(connection, payment.tenant_id)
    return tenant is not None and tenant["status"] == "active"


async def raise_past_window(connection: Connection, payment: Payment, operation: Operation) -> None:
    """Nobody knows, and the provider no longer guarantees its key: a person or a statement must say."""
    await discrepancies.open_discrepancy(
        connection,
        facts.PAST_WINDOW,
        payment.public_id,
        payment_id=payment.id,
        operation=operation.idempotency_key,
        age_seconds=round(operation.age_seconds),
    )
