"""Reviews: the tasks of whoever may say yes or no."""

from typing import Literal

from paywarden.client import objects
from paywarden.client.calls.sending import at, get, post
from paywarden.client.conversation import Conversation, converse
from paywarden.client.objects import Page


def list_reviews(
    status: str = "open",
    *,
    customer: str | None = None,
    payment: str | None = None,
    role: str | None = None,
    unclaimed: bool = False,
    wait_seconds: int | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Conversation[Page[objects.Review]]:
    """Reviews in one status, the longest waiting first.

    ``role`` and ``unclaimed`` leave what an agent can take; with ``wait_seconds`` (at most 30) an empty list is
    answered only after that time.
    """
    return converse(
        get(
            "/v1/reviews",
            status=status,
            customer=customer,
            payment=payment,
            role=role,
            unclaimed="true" if unclaimed else None,
            wait_seconds=wait_seconds,
            limit=limit,
            cursor=cursor,
        )
    )


def get_review(review: str) -> Conversation[objects.Review]:
    """One review."""
    return converse(get(at("reviews", review)))


def claim_review(review: str) -> Conversation[objects.Review]:
    """Take a review for oneself until ``lease_until``; its ``fence`` goes with the verdict."""
    return converse(post(at("reviews", review, "claim")))


def keep_review(review: str, fence: int) -> Conversation[objects.Review]:
    """A heartbeat: the lease of one's own claim begins anew."""
    return converse(post(at("reviews", review, "heartbeat"), fence=fence))


def release_review(review: str, fence: int) -> Conversation[objects.Review]:
    """Give up one's own claim."""
    return converse(post(at("reviews", review, "release"), fence=fence))


def give_verdict(
    review: str,
    verdict: Literal["approve", "reject"],
    reason: str,
    *,
    action_digest: str | None = None,
    fence: int | None = None,
) -> Conversation[objects.Review]:
    """Approve or reject. With ``action_digest`` only exactly the action that was looked at.

    With ``fence`` only while one's own claim of this number holds.
    """
    return converse(
        post(at("reviews", review, "verdict"), verdict=verdict, reason=reason, action_digest=action_digest, fence=fence)
    )
