"""A review: the question whether exactly this action may happen."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypedDict

from paywarden.api.render.payments import PaymentObject, payment_object
from paywarden.api.render.values import instant, plain_row
from paywarden.flow.words import Payment, Review
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339


class ReviewObject(TypedDict):
    """A payment that waits for another principal. A verdict counts for exactly ``action_digest``.

    ``request`` is what the customer wrote. ``claimed_by`` works on it until ``lease_until``. ``verdicts`` say who
    decided, when and why, oldest first.
    """

    object: Literal["review"]
    id: str
    payment: PaymentObject
    request: str | None
    status: str
    required_role: str
    reviewer_kind: str
    reason: str
    action_digest: str
    claimed_by: str | None
    fence: int
    lease_until: str | None
    verdicts: list[dict[str, Any]]
    expires_at: str
    created_at: str
    closed_at: str | None


def review_object(
    review: Review, payment: Payment, verdicts: Sequence[Mapping[str, Any]], principals: Mapping[UUID, str]
) -> ReviewObject:
    """A review with the payment it is about, so that nobody decides on less than all of it.

    ``verdicts`` may hold those of other reviews too; ``principals`` are the public ids of who gave them.
    """
    return {
        "object": "review",
        "id": ids.to_text("rev", review.id),
        "payment": payment_object(payment),
        "request": payment.request_text,
        "status": review.status,
        "required_role": review.required_role,
        "reviewer_kind": review.reviewer_kind,
        "reason": review.reason,
        "action_digest": review.action_digest.hex(),
        "claimed_by": principals.get(review.claimed_by) if review.claimed and review.claimed_by else None,
        "fence": review.fence,
        "lease_until": instant(review.lease_until) if review.claimed else None,
        "verdicts": [plain_row(row, "vrd", principals) for row in verdicts if row["review_id"] == review.id],
        "expires_at": rfc3339(review.expires_at),
        "created_at": rfc3339(review.created_at),
        "closed_at": instant(review.closed_at),
    }


def review_row(review: Review, principals: Mapping[UUID, str]) -> dict[str, Any]:
    """A review inside the story of its payment, with whoever claimed it last."""
    return {
        "id": ids.to_text("rev", review.id),
        "status": review.status,
        "required_role": review.required_role,
        "reviewer_kind": review.reviewer_kind,
        "reason": review.reason,
        "action_digest": review.action_digest.hex(),
        "claimed_by": principals.get(review.claimed_by) if review.claimed_by else None,
        "fence": review.fence,
        "lease_until": instant(review.lease_until),
        "expires_at": rfc3339(review.expires_at),
        "created_at": rfc3339(review.created_at),
        "closed_at": instant(review.closed_at),
    }
