"""``/v1/reviews``: another principal's verdict on exactly one action."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import Body, PageSize, Text, example, path_id
from paywarden.api.pages import Page, first_of
from paywarden.api.render.reviews import ReviewObject, review_object
from paywarden.api.requests import KeyRoute
from paywarden.flow import review

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
    limit: Annotated[PageSize, Query()] = 20,
) -> JSONResponse:
    """The longest waiting first; the rest follows when these are decided."""
    found = await review.list_reviews(desk, actor, status, limit + 1)
    return JSONResponse(first_of([review_object(*pair) for pair in found], limit))


@router.get(
    "/{review_id}",
    operation_id="getReview",
    summary="One review with its payment",
    response_model=ReviewObject,
    responses=documented.READ,
)
async def show(desk: TheDesk, actor: TheActor, review_id: str) -> JSONResponse:
    """All that a verdict is about."""
    return JSONResponse(review_object(*await review.find(desk, actor, path_id("rev", review_id, _ABSENT))))


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
    return JSONResponse(
        review_object(*await review.give_verdict(desk, actor, identity, body.verdict, body.reason, digest))
    )
