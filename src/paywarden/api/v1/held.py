"""``/v1/holds``, the calm part: look at holds, and give one more time. What is asked all the time is in ``holds``."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import Body, HoldSeconds, Identifier, PageSize, example, path_id
from paywarden.api.pages import Page, first_of
from paywarden.api.render.holds import HoldObject, OwnedHoldObject, hold_object, owned_hold_object
from paywarden.api.requests import KeyRoute
from paywarden.api.v1.principals import public_ids
from paywarden.flow import hold, hold_list
from paywarden.flow.held import ABSENT
from paywarden.flow.hold_list import HoldStatus
from paywarden.kit import ids

router = APIRouter(route_class=KeyRoute, tags=["holds"], prefix="/v1/holds")


class MoreTimeBody(Body):
    """How many seconds from now the hold shall last."""

    model_config = example({"expires_in": 600})
    expires_in: HoldSeconds


@router.get(
    "",
    operation_id="listHolds",
    summary="Holds, newest first",
    response_model=Page[OwnedHoldObject],
    responses=documented.READ,
)
async def list_holds(
    desk: TheDesk,
    actor: TheActor,
    customer: Annotated[Identifier | None, Query()] = None,
    status: Annotated[HoldStatus | None, Query()] = None,
    limit: Annotated[PageSize, Query()] = 20,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> JSONResponse:
    """Those at the billing gate; what a payment holds is told in its dossier."""
    after = None if cursor is None else ids.parse("hold", cursor, "cursor")
    found = await hold_list.page(desk, actor, limit=limit + 1, after=after, status=status, customer_id=customer)
    principals = await public_ids(desk, actor) if found else {}
    shown = first_of([owned_hold_object(each, principals) for each in found], limit)
    if shown["has_more"]:
        shown["next_cursor"] = shown["data"][-1]["id"]
    return JSONResponse(shown)


@router.get(
    "/{hold_id}",
    operation_id="getHold",
    summary="One hold as it stands",
    response_model=OwnedHoldObject,
    responses=documented.READ,
)
async def show(desk: TheDesk, actor: TheActor, hold_id: str) -> JSONResponse:
    """``captured_minor`` was taken; what is left of a hold that is not pending went back."""
    found = await hold_list.find(desk, actor, path_id("hold", hold_id, ABSENT))
    return JSONResponse(owned_hold_object(found, await public_ids(desk, actor)))


@router.post(
    "/{hold_id}/extend",
    operation_id="extendHold",
    summary="Give a hold more time",
    response_model=HoldObject,
    responses=documented.WRITE,
)
async def extend(desk: TheDesk, actor: TheActor, hold_id: str, body: MoreTimeBody) -> JSONResponse:
    """Counted from now, at most 30 days. What has expired is not extended (409 `hold_expired`)."""
    identity = path_id("hold", hold_id, ABSENT)
    return JSONResponse(hold_object(await hold.extend(desk, actor, identity, body.expires_in)))
