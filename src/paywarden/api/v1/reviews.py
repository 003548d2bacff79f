"""``/v1/reviews``: another principal's verdict on exactly one action."""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import Body, Identifier, PageSize, PaymentId, Text, WaitSeconds, example, path_id
from paywarden.api.pages import Page, first_of
from paywarden.api.render.reviews import ReviewObject, review_object
from paywarden.api.requests import KeyRoute
from paywarden.api.v1.principals import public_ids
from paywarden.flow import review, task
from paywarden.flow.words import Actor, Desk, Payment, Review
from paywarden.kit import ids
from paywarden.kit.roles import Role

router = APIRouter(route_class=KeyRoute, tags=["reviews"], prefix="/v1/reviews")
_ABSENT = "There is no such review."
Fence = Annotated[int, Field(ge=1, le=2**62)]
ReviewStatus = Literal["open", "approved", "rejected", "expired", "canceled"]


class NewVerdict(Body):
    """Yes or no, and why. With ``action_digest`` it counts only for exactly the action that was looked at.

    With ``fence`` only while the claim of this number is the newest.
    """

    model_config = example({"verdict": "approve", "reason": "The order was delivered twice."})
    verdict: Literal["approve", "reject"]
    reason: Text
    action_digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    fence: Fence | None = None


class HeldClaim(Body):
    """The fencing number of one's own claim."""

    model_config = example({"fence": 1})
    fence: Fence


@router.get(
    "",
    operation_id="listReviews",
    summary="Reviews in one status, oldest first",
    response_model=Page[ReviewObject],
    responses=documented.READ,
)
async def list_reviews(
    desk: TheDesk,
    actor: TheActor,
    status: Annotated[ReviewStatus, Query()] = "open",
    customer: Annotated[Identifier | None, Query()] = None,
    payment: Annotated[PaymentId | None, Query()] = None,
    role: Annotated[Role | None, Query()] = None,
    unclaimed: Annotated[bool, Query()] = False,
    wait_seconds: Annotated[WaitSeconds, Query()] = 0,
    limit: Annotated[PageSize, Query()] = 20,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> JSONResponse:
    """The longest waiting first. Whoever works the queue off reads it from its start again.

    With `wait_seconds` an empty list is answered only after that time: an agent waits for work without asking again
    and again. `role` and `unclaimed` leave what it can take.
    """
    after = None if cursor is None else ids.parse("rev", cursor, "cursor")
    found: list[tuple[Review, Payment]] = []

    async def look() -> bool:
        found[:] = await review.list_reviews(
            desk,
            actor,
            status,
            limit + 1,
            after=after,
            customer_id=customer,
            payment_id=payment,
            role=role,
            unclaimed=unclaimed,
        )
        return bool(found)

    await task.wait_for(desk, look, wait_seconds)
    shown = first_of(await _objects(desk, actor, found), limit)
    if shown["has_more"]:
        shown["next_cursor"] = shown["data"][-1]["id"]
    return JSONResponse(shown)


@router.get(
    "/{review_id}",
    operation_id="getReview",
    summary="One review with its payment",
    response_model=ReviewObject,
    responses=documented.READ,
)
async def show(desk: TheDesk, actor: TheActor, review_id: str) -> JSONResponse:
    """All that a verdict is about."""
    return await _answer(desk, actor, await review.find(desk, actor, _id(review_id)))


@router.post(
    "/{review_id}/verdict",
    operation_id="giveVerdict",
    summary="Approve or reject",
    response_model=ReviewObject,
    responses=documented.WRITE,
)
async def give(desk: TheDesk, actor: TheActor, review_id: str, body: NewVerdict) -> JSONResponse:
    """Whoever asked for the payment can never give the verdict on it."""
    digest = None if body.action_digest is None else bytes.fromhex(body.action_digest)
    given = review.Given(body.verdict, body.reason, digest, body.fence)
    return await _answer(desk, actor, await review.give_verdict(desk, actor, _id(review_id), given))


@router.post(
    "/{review_id}/claim",
    operation_id="claimReview",
    summary="Take a review for oneself for a while",
    response_model=ReviewObject,
    responses=documented.WRITE,
)
async def claim(desk: TheDesk, actor: TheActor, review_id: str) -> JSONResponse:
    """Until `lease_until` nobody else can claim or decide it. Send the `fence` with the verdict."""
    return await _answer(desk, actor, await task.claim(desk, actor, _id(review_id)))


@router.post(
    "/{review_id}/heartbeat",
    operation_id="keepReview",
    summary="Keep a claim: its lease begins anew",
    response_model=ReviewObject,
    responses=documented.WRITE,
)
async def heartbeat(desk: TheDesk, actor: TheActor, review_id: str, body: HeldClaim) -> JSONResponse:
    """409 when the claim has run out or was taken over."""
    return await _answer(desk, actor, await task.heartbeat(desk, actor, _id(review_id), body.fence))


@router.post(
    "/{review_id}/release",
    operation_id="releaseReview",
    summary="Give up a claim",
    response_model=ReviewObject,
    responses=documented.WRITE,
)
async def release(desk: TheDesk, actor: TheActor, review_id: str, body: HeldClaim) -> JSONResponse:
    """Others may take the review at once."""
    return await _answer(desk, actor, await task.release(desk, actor, _id(review_id), body.fence))


def _id(text: str) -> UUID:
    return path_id("rev", text, _ABSENT)


async def _answer(desk: Desk, actor: Actor, found: tuple[Review, Payment]) -> JSONResponse:
    (shown,) = await _objects(desk, actor, [found])
    return JSONResponse(shown)


async def _objects(desk: Desk, actor: Actor, found: Sequence[tuple[Review, Payment]]) -> list[ReviewObject]:
    verdicts = await review.verdicts(desk, actor, [each for each, _ in found])
    named = verdicts or any(each.claimed for each, _ in found)
    principals = await public_ids(desk, actor) if named else {}
    return [review_object(each, payment, verdicts, principals) for each, payment in found]
