"""Tasks: a review is claimed for a while, so that two reviewers do not do the same work, and waited for.

The lease is the database's: whoever falls asleep loses the claim, and a verdict with its fencing number is refused.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from paywarden.audit import events
from paywarden.db.transaction import transaction
from paywarden.flow import review
from paywarden.flow.desk import Actor, Connection, Desk
from paywarden.kit.errors import NotFoundError, ReviewConflictError
from paywarden.payments import rows
from paywarden.payments.rows import Payment
from paywarden.reviews import reviews
from paywarden.reviews.reviews import Review

MAX_WAIT_SECONDS = 30
_LOOK_AGAIN_SECONDS = 0.25
_LOST = "Your claim has run out or was taken over: claim the review again."


async def claim(desk: Desk, actor: Actor, review_id: UUID) -> tuple[Review, Payment]:
    """Take an open review for oneself until its lease runs out. Claiming again begins anew, with a new number.

    Raises NotFoundError, ForbiddenError (who could not give the verdict), ReviewConflictError (closed, or somebody
    else works on it).
    """

    async def take(connection: Connection) -> Review | None:
        seen = await reviews.lock(connection, review_id)
        if seen is None:
            raise NotFoundError("There is no such review.")
        review.check_reviewer(actor, seen)
        if seen.status != "open" or seen.overdue:
            raise ReviewConflictError(f"This review is {'expired' if seen.overdue else seen.status}.")
        lease_seconds = desk.settings.review_lease_seconds
        claimed = await reviews.claim(connection, review_id, actor.principal.id, lease_seconds)
        if claimed is not None:
            await events.record(
                connection,
                "review.claimed",
                ("payment", claimed.payment_id),
                principal_id=actor.principal.id,
                request_id=actor.request_id,
                data={"fence": claimed.fence},
            )
        return claimed

    return await _changed(desk, actor, take, "Somebody else has claimed this review and works on it.")


async def heartbeat(desk: Desk, actor: Actor, review_id: UUID, fence: int) -> tuple[Review, Payment]:
    """Keep a claim: its lease begins anew. Raises NotFoundError, ReviewConflictError when it is lost."""

    async def extend(connection: Connection) -> Review | None:
        seconds = desk.settings.review_lease_seconds
        return await reviews.extend(connection, review_id, actor.principal.id, fence, seconds)

    return await _changed(desk, actor, _of_tenant(review_id, extend), _LOST)


async def release(desk: Desk, actor: Actor, review_id: UUID, fence: int) -> tuple[Review, Payment]:
    """Give up a claim: others may take the review. Raises NotFoundError, ReviewConflictError when it is lost."""

    async def give_up(connection: Connection) -> Review | None:
        return await reviews.release(connection, review_id, actor.principal.id, fence)

    return await _changed(desk, actor, _of_tenant(review_id, give_up), _LOST)


Change = Callable[[Connection], Awaitable[Review | None]]


def _of_tenant(review_id: UUID, change: Change) -> Change:
    async def checked(connection: Connection) -> Review | None:
        if await reviews.find(connection, review_id) is None:
            raise NotFoundError("There is no such review.")
        return await change(connection)

    return checked


async def _changed(desk: Desk, actor: Actor, change: Change, otherwise: str) -> tuple[Review, Payment]:
    async with transaction(desk.pool, actor.tenant_id) as connection:
        changed = await change(connection)
        if changed is None:
            raise ReviewConflictError(otherwise)
        payment = await rows.find(connection, changed.payment_id)
    if payment is None:
        raise NotFoundError("There is no such review.")
    return changed, payment


async def wait_for(desk: Desk, look: Callable[[], Awaitable[bool]], wait_seconds: float) -> None:
    """Come back when ``look`` says yes, at the latest after ``wait_seconds`` or when the process shall end.

    No connection is held in between.
    """
    until = time.monotonic() + min(wait_seconds, MAX_WAIT_SECONDS)
    while True:
        if await look() or time.monotonic() >= until or desk.stopping.is_set():
            return
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
