"""Reviews and verdicts. A verdict is about the SHA-256 of one exact action; the initiator can never give it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db.sql import load
from paywarden.kit import ids

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Review:
    """A question to other principals: may exactly this action happen?

    ``claimed``: somebody's lease on it still runs; ``overdue``: nobody answered in time; both by the database's clock.
    """

    id: UUID
    payment_id: UUID
    initiator_id: UUID
    required_role: str
    reviewer_kind: Literal["any", "person"]
    action_digest: bytes
    reason: str
    status: str
    expires_at: datetime
    created_at: datetime
    closed_at: datetime | None
    claimed_by: UUID | None
    fence: int
    lease_until: datetime | None
    claimed: bool
    overdue: bool


_COLUMNS = tuple(field.name for field in fields(Review))


def _from_row(row: dict[str, Any]) -> Review:
    return Review(**{name: row[name] for name in _COLUMNS} | {"action_digest": bytes(row["action_digest"])})


async def open_review(
    connection: Connection,
    *,
    payment_id: UUID,
    initiator_id: UUID,
    required_role: str,
    reviewer_kind: str,
    action_digest: bytes,
    reason: str,
    expires_in_seconds: int,
) -> UUID:
    """Ask for a verdict on this action; the id of the review."""
    review_id = ids.new_uuid()
    values = {
        "id": review_id,
        "payment_id": payment_id,
        "initiator_id": initiator_id,
        "required_role": required_role,
        "reviewer_kind": reviewer_kind,
        "action_digest": action_digest,
        "reason": reason,
        "expires_in_seconds": expires_in_seconds,
    }
    await connection.execute(SQL.insert_review, values)
    return review_id


async def find(connection: Connection, review_id: UUID) -> Review | None:
    """A review of the tenant."""
    row = await (await connection.execute(SQL.review_by_id, {"id": review_id})).fetchone()
    return None if row is None else _from_row(row)


async def lock(connection: Connection, review_id: UUID) -> Review | None:
    """A review of the tenant, locked until the transaction ends (after its payment: docs/decisions/0003)."""
    row = await (await connection.execute(SQL.lock_review, {"id": review_id})).fetchone()
    return None if row is None else _from_row(row)


async def of_status(
    connection: Connection,
    status: str,
    limit: int,
    *,
    after: UUID | None = None,
    customer_id: str | None = None,
    payment_id: UUID | None = None,
    role: str | None = None,
    unclaimed: bool = False,
) -> list[Review]:
    """Reviews in one status, oldest first, after the review ``after``.

    Of one customer, payment or role if named; ``unclaimed`` leaves out what somebody works on.
    """
    values = {
        "status": status,
        "limit": limit,
        "after_id": after,
        "customer_id": customer_id,
        "payment_id": payment_id,
        "role": role,
        "unclaimed": unclaimed,
    }
    return [_from_row(row) for row in await (await connection.execute(SQL.list_reviews, values)).fetchall()]


async def of_payment(connection: Connection, payment_id: UUID) -> list[Review]:
    """The reviews of one payment, oldest first."""
    rows = await (await connection.execute(SQL.reviews_of_payment, {"payment_id": payment_id})).fetchall()
    return [_from_row(row) for row in rows]


async def claim(connection: Connection, review_id: UUID, principal_id: UUID, lease_seconds: float) -> Review | None:
    """Take an open review for oneself; None while another's lease runs. One's own claim gets a new fencing number."""
    values = {"id": review_id, "principal_id": principal_id, "lease_seconds": lease_seconds}
    row = await (await connection.execute(SQL.claim_review, values)).fetchone()
    return None if row is None else _from_row(row)


async def extend(
    connection: Connection, review_id: UUID, principal_id: UUID, fence: int, lease_seconds: float
) -> Review | None:
    """Begin the lease of one's own claim anew; None when it has run out or is not the newest."""
    values = {"id": review_id, "principal_id": principal_id, "fence": fence, "lease_seconds": lease_seconds}
    row = await (await connection.execute(SQL.extend_claim, values)).fetchone()
    return None if row is None else _from_row(row)


async def release(connection: Connection, review_id: UUID, principal_id: UUID, fence: int) -> Review | None:
    """Give up one's own claim; None when it has run out or is not the newest."""
    values = {"id": review_id, "principal_id": principal_id, "fence": fence}
    row = await (await connection.execute(SQL.release_claim, values)).fetchone()
    return None if row is None else _from_row(row)


async def give_verdict(connection: Connection, review: Review, reviewer_id: UUID, verdict: str, reason: str) -> None:
    """Store a verdict on the review's own action. The database refuses the initiator and a second verdict."""
    values = {
        "id": ids.new_uuid(),
        "review_id": review.id,
        "payment_id": review.payment_id,
        "initiator_id": review.initiator_id,
        "reviewer_id": reviewer_id,
        "verdict": verdict,
        "action_digest": review.action_digest,
        "reason": reason,
    }
    await connection.execute(SQL.insert_verdict, values)


async def close(
    connection: Connection, payment_id: UUID, status: Literal["approved", "rejected", "expired", "canceled"]
) -> None:
    """Close the payment's open review, if it has one."""
    await connection.execute(SQL.close_review, {"payment_id": payment_id, "status": status})


async def verdicts(connection: Connection, payment_id: UUID) -> list[dict[str, Any]]:
    """Every verdict ever given on a payment, with its reviewer's kind, name and roles, oldest first."""
    return await (await connection.execute(SQL.verdicts_of_payment, {"payment_id": payment_id})).fetchall()


async def verdicts_of(connection: Connection, found: Sequence[Review]) -> list[dict[str, Any]]:
    """Every verdict on these reviews, with its reviewer's kind and name, oldest first."""
    values = {"review_ids": [review.id for review in found], "payment_ids": [review.payment_id for review in found]}
    return await (await connection.execute(SQL.verdicts_of_reviews, values)).fetchall()


async def standing_approvals(connection: Connection, payment_id: UUID, action_digest: bytes) -> list[dict[str, Any]]:
    """Approvals that still count: of this very digest, in time, by active principals other than the initiator."""
    values = {"payment_id": payment_id, "action_digest": action_digest}
    return await (await connection.execute(SQL.standing_approvals, values)).fetchall()


async def has_approved(connection: Connection, payment_id: UUID, reviewer_id: UUID, action_digest: bytes) -> bool:
    """Whether this principal has approved this very action already: a second approval must be somebody else's."""
    values = {"payment_id": payment_id, "reviewer_id": reviewer_id, "action_digest": action_digest}
    return (await connection.execute(SQL.has_approved, values)).rowcount > 0


async def is_overdue(connection: Connection, payment_id: UUID) -> bool:
    """Whether a review of this payment is open and was not answered in time."""
    return (await connection.execute(SQL.review_overdue, {"payment_id": payment_id})).rowcount > 0


async def overdue(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """(tenant_id, payment id as ``id``) of open reviews that nobody answered in time. Needs the system role."""
    return await (await connection.execute(SQL.overdue_reviews, {"limit": limit})).fetchall()
