"""``/v1/reviews``: another principal's verdict on exactly one action."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import Body, Identifier, PageSize, PaymentId, Text, example, path_id
from paywarden.api.pages import Page, first_of
from paywarden.api.render.reviews import ReviewObject, review_object
from paywarden.api.requests import KeyRoute
from paywarden.api.v1.principals import public_ids
from paywarden.flow import review
from paywarden.flow.words import Actor, Desk, Payment, Review
from paywarden.kit import ids

router = APIRouter(route_class=KeyRoute, tags=["reviews"], prefix="/v1/reviews")
_ABSENT = "There is no such review."
ReviewStatus = Literal["open", "approved", "rejected", "expired", "canceled"]


class NewVerdict(Body):
    """Yes or no, and why. With ``action_digest`` it counts only for exactly the action that was looked at."""

    model_config = example({"verdict": "approve", "reason": "The order was delivered twice."})
    verdict: Literal["approve", "reject"]
    reason: Text
    action_digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


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
    limit: Annotated[PageSize, Query()] = 20,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> JSONResponse:
    """The longest waiting first. Whoever works the queue off reads it from its start again."""
    after = None if cursor is None else ids.parse("rev", cursor, "cursor")
    found = await review.list_reviews(
        desk, actor, status, limit + 1, after=after, customer_id=customer, payment_id=payment
    )
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
    found = await review.find(desk, actor, path_id("rev", review_id, _ABSENT))
    return await _answer(desk, actor, found)


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
    identity = path_id("rev", review_id, _ABSENT)
    return await _answer(
        desk, actor, await review.give_verdict(desk, actor, identity, body.verdict, body.reason, digest)
    )


async def _answer(desk: Desk, actor: Actor, found: tuple[Review, Payment]) -> JSONResponse:
    (shown,) = await _objects(desk, actor, [found])
    return JSONResponse(shown)


async def _objects(desk: Desk, actor: Actor, found: Sequence[tuple[Review, Payment]]) -> list[ReviewObject]:
    verdicts = await review.verdicts(desk, actor, [each for each, _ in found])
    principals = await public_ids(desk, actor) if verdicts else {}
    return [review_object(each, payment, verdicts, principals) for each, payment in found]
