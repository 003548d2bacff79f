"""Reviews: another principal's verdict on exactly this action; an approval reserves in the same commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg.errors import CheckViolation, UniqueViolation

from paywarden.audit import events
from paywarden.db.transaction import transaction
from paywarden.decisions import store as decision_store
from paywarden.flow import advance, facts, guard
from paywarden.flow.desk import Actor, Connection, Desk
from paywarden.kit.errors import ForbiddenError, NotFoundError, ReviewConflictError
from paywarden.kit.states import Status
from paywarden.kit.text import clean_text
from paywarden.payments import rows
from paywarden.payments.rows import Move, Payment
from paywarden.reviews import reviews
from paywarden.reviews.reviews import Review

Verdict = Literal["approve", "reject"]


async def list_reviews(
    desk: Desk,
    actor: Actor,
    status: str,
    limit: int,
    *,
    after: UUID | None = None,
    customer_id: str | None = None,
    payment_id: UUID | None = None,
    role: str | None = None,
    unclaimed: bool = False,
) -> list[tuple[Review, Payment]]:
    """Reviews in one status with their payments, oldest first, after the review ``after``.

    Of one customer, payment or role if named; ``unclaimed`` leaves out what somebody works on.

    The order is that of the ids, made when a review is opened: one that commits while somebody pages past it is seen
    when the list is read again from its start, as a queue is.
    """
    async with transaction(desk.pool, actor.tenant_id) as connection:
        found = await reviews.of_status(
            connection,
            status,
            limit,
            after=after,
            customer_id=customer_id,
            payment_id=payment_id,
            role=role,
            unclaimed=unclaimed,
        )
        pairs = [(review, await rows.find(connection, review.payment_id)) for review in found]
    return [(review, payment) for review, payment in pairs if payment is not None]


async def find(desk: Desk, actor: Actor, review_id: UUID) -> tuple[Review, Payment]:
    """One review with its payment. Raises NotFoundError."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await _find(connection, review_id)


async def _find(connection: Connection, review_id: UUID) -> tuple[Review, Payment]:
    review = await reviews.find(connection, review_id)
    payment = await rows.find(connection, review.payment_id) if review else None
    if review is None or payment is None:
        raise NotFoundError("There is no such review.")
    return review, payment


async def verdicts(desk: Desk, actor: Actor, found: Sequence[Review]) -> list[dict[str, Any]]:
    """What was said on these reviews, by whom and why, as rows, oldest first."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await reviews.verdicts_of(connection, found)


@dataclass(frozen=True, slots=True)
class Given:
    """A verdict as it is given. With ``digest`` it counts only for that action, as the reviewer saw it.

    With ``fence`` it counts only while the claim of that fencing number is the newest and its lease runs.
    """

    verdict: Verdict
    reason: str
    digest: bytes | None = None
    fence: int | None = None


async def give_verdict(desk: Desk, actor: Actor, review_id: UUID, given: Given) -> tuple[Review, Payment]:
    """Approve or reject. When the policies ask for more approvals, the next review is open after this one.

    Raises NotFoundError, ForbiddenError (role, kind, or the initiator itself), ReviewConflictError (closed, expired,
    claimed by another, another action, a second verdict).
    """
    clean_text(given.reason, "reason")
    payment = await _decide(desk, actor, review_id, given)
    await advance.drive(desk, actor.tenant_id, payment.id)
    return await find(desk, actor, review_id)


async def _decide(desk: Desk, actor: Actor, review_id: UUID, given: Given) -> Payment:
    async def once() -> Payment:
        async with transaction(desk.pool, actor.tenant_id) as connection:
            return await _decide_once(connection, desk, actor, review_id, given)

    try:
        return await guard.until_fresh(once)
    except (CheckViolation, UniqueViolation) as error:
        raise ReviewConflictError("The database refused this verdict: it is not yours to give, or given.") from error


async def _decide_once(connection: Connection, desk: Desk, actor: Actor, review_id: UUID, given: Given) -> Payment:
    review, _ = await _find(connection, review_id)
    payment = await rows.lock_with_original(connection, review.payment_id)
    locked = await reviews.lock(connection, review_id)
    if payment is None or locked is None:
        raise NotFoundError("There is no such review.")
    check_reviewer(actor, locked)
    _check_counts(locked, payment, given.digest)
    _check_claim(actor, locked, given.fence)
    if await reviews.has_approved(connection, payment.id, actor.principal.id, locked.action_digest):
        raise ReviewConflictError("You have approved this action already; this approval must be somebody else's.")
    await reviews.give_verdict(connection, locked, actor.principal.id, given.verdict, given.reason)
    await _note(connection, actor, payment, given)
    if given.verdict == "reject":
        return await _reject(connection, actor, payment, given.reason)
    situation = await guard.look(connection, payment, await guard.stored_advice(connection, payment))
    return await guard.conclude(connection, desk, payment, situation)


async def _note(connection: Connection, actor: Actor, payment: Payment, given: Given) -> None:
    """Keep a verdict as an event, and a person's as a label of the advice that was there."""
    await events.record(
        connection,
        f"review.{given.verdict}",
        ("payment", payment.id),
        principal_id=actor.principal.id,
        request_id=actor.request_id,
        data={"reason": given.reason},
    )
    if payment.decision_id is not None and actor.principal.kind == "person":
        await decision_store.label(
            connection, payment.decision_id, payment.id, actor.principal.id, given.verdict, given.reason
        )


def check_reviewer(actor: Actor, review: Review) -> None:
    """Raises ForbiddenError unless this principal may give the verdict on this review."""
    if actor.principal.id == review.initiator_id:
        raise ForbiddenError("Whoever asked for a payment can never give the verdict on it.")
    if review.required_role not in actor.principal.roles:
        raise ForbiddenError(f"This review needs the role '{review.required_role}'.")
    if review.reviewer_kind == "person" and actor.principal.kind != "person":
        raise ForbiddenError("This review needs a person.")


def _check_claim(actor: Actor, review: Review, fence: int | None) -> None:
    """Who works on it goes first; a claim that ran out, or was taken over, gives no verdict."""
    mine = review.claimed and review.claimed_by == actor.principal.id
    if review.claimed and not mine:
        raise ReviewConflictError("Somebody else has claimed this review and works on it.")
    if fence is not None and not (mine and review.fence == fence):
        raise ReviewConflictError("Your claim has run out or was taken over: claim the review again.")


def _check_counts(review: Review, payment: Payment, digest: bytes | None) -> None:
    if review.status != "open":
        raise ReviewConflictError(f"This review is {review.status}.")
    if review.overdue:
        raise ReviewConflictError("This review has expired; no answer was a no.")
    actual = rows.action_digest(payment.tenant_id, payment)
    if actual != review.action_digest or (digest is not None and digest != actual):
        raise ReviewConflictError("The action is not the one this verdict is about.")
    if payment.status is not Status.IN_REVIEW:
        raise ReviewConflictError(f"The payment is {payment.status}.")


async def _reject(connection: Connection, actor: Actor, payment: Payment, reason: str) -> Payment:
    wanted = Move(
        Status.DENIED, "request", "review", principal_id=actor.principal.id, reason=f"rejected: {reason}"[:500]
    )
    moved = await rows.move(connection, payment.id, wanted)
    if moved is None:
        raise ReviewConflictError("The payment moved on.")
    await reviews.close(connection, payment.id, "rejected")
    await facts.give_back(connection, moved)
    return moved
