"""A review: the question whether exactly this action may happen."""

from typing import Any, Literal

from typing_extensions import TypedDict

from paywarden.api.render.payments import PaymentObject, payment_object
from paywarden.api.render.values import instant
from paywarden.flow.words import Payment, Review
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339


class ReviewObject(TypedDict):
    """A payment that waits for another principal. A verdict counts for exactly ``action_digest``."""

    object: Literal["review"]
    id: str
    payment: PaymentObject
    status: str
    required_role: str
    reviewer_kind: str
    reason: str
    action_digest: str
    expires_at: str
    created_at: str
    closed_at: str | None


def review_object(review: Review, payment: Payment) -> ReviewObject:
    """A review with the payment it is about, so that nobody decides on less than all of it."""
    return {
        "object": "review",
        "id": ids.to_text("rev", review.id),
        "payment": payment_object(payment),
        "status": review.status,
        "required_role": review.required_role,
        "reviewer_kind": review.reviewer_kind,
        "reason": review.reason,
        "action_digest": review.action_digest.hex(),
        "expires_at": rfc3339(review.expires_at),
        "created_at": rfc3339(review.created_at),
        "closed_at": instant(review.closed_at),
    }


def review_row(review: Review) -> dict[str, Any]:
    """A review inside the story of its payment."""
    return {
        "id": ids.to_text("rev", review.id),
        "status": review.status,
        "required_role": review.required_role,
        "reviewer_kind": review.reviewer_kind,
        "reason": review.reason,
        "action_digest": review.action_digest.hex(),
        "expires_at": rfc3339(review.expires_at),
        "created_at": rfc3339(review.created_at),
        "closed_at": instant(review.closed_at),
    }
