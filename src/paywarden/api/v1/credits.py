"""``/v1/credits``: what customers were given to use through the billing gate."""

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import AmountMinor, Body, Currency, Identifier, PageSize, Text, example, path_id
from paywarden.api.idempotency import REPLAYED, RequiredKey, keyed
from paywarden.api.pages import Page, first_of
from paywarden.api.render.credits import CreditObject, TopUpObject, credit_object, top_up_object
from paywarden.api.requests import KeyRoute
from paywarden.api.v1.principals import public_ids
from paywarden.flow import credit
from paywarden.flow.words import NewTopUp, ToppedUp
from paywarden.kit import ids

router = APIRouter(route_class=KeyRoute, tags=["credits"], prefix="/v1/credits")


class NewTopUpBody(Body):
    """How much credit a customer gets: ``prepaid`` in cash that came outside a provider, or ``granted``.

    Prepaid credit names in ``reference`` where the cash can be looked up.
    """

    model_config = example(
        {
            "customer": "cust_42",
            "amount_minor": 50000,
            "currency": "usd",
            "funding": "prepaid",
            "reference": "bank statement 7, line 3",
        }
    )
    customer: Identifier
    amount_minor: AmountMinor
    currency: Currency
    funding: Literal["prepaid", "granted"] = "prepaid"
    reference: Identifier | None = None
    reason: Text | None = None

    def new(self) -> NewTopUp:
        """The same in the flow's words."""
        return NewTopUp(
            self.customer, self.amount_minor, self.currency, self.funding, reference=self.reference, reason=self.reason
        )


@router.post(
    "/top-ups",
    operation_id="topUpCredit",
    summary="Give a customer credit",
    status_code=201,
    response_model=TopUpObject,
    responses=documented.PAY,
)
async def top_up(
    request: Request, desk: TheDesk, actor: TheActor, body: NewTopUpBody, key: RequiredKey
) -> JSONResponse:
    """For the roles `settle` and `administer`. The same key tops up once; the customer is made at first use."""
    done = await credit.top_up(desk, actor, body.new(), await keyed(request, key))
    return await _answer(desk, actor, done, 201)


async def _answer(desk: TheDesk, actor: TheActor, done: ToppedUp, status: int) -> JSONResponse:
    headers = {REPLAYED: "true"} if done.replayed else None
    return JSONResponse(top_up_object(done.top_up, await public_ids(desk, actor)), status, headers=headers)


class ReversalBody(Body):
    """Why the top-up is taken back, for the people who read the books."""

    model_config = example({"reason": "Meant for cust_24."})
    reason: Text


@router.post(
    "/top-ups/{top_up_id}/reverse",
    operation_id="reverseTopUp",
    summary="Take a wrong top-up back",
    response_model=TopUpObject,
    responses=documented.HOLD,
)
async def reverse(
    request: Request, desk: TheDesk, actor: TheActor, top_up_id: str, body: ReversalBody, key: RequiredKey
) -> JSONResponse:
    """For the roles `settle` and `administer`: whole and once, from what the customer has left that is not held.

    When that is less, the answer is `403 insufficient` with `available_minor`, and nothing changes. A top-up that was
    reversed already is `409`.
    """
    found = path_id("top", top_up_id, credit.ABSENT)
    done = await credit.reverse(desk, actor, found, body.reason, await keyed(request, key))
    return await _answer(desk, actor, done, 200)


@router.get(
    "/top-ups",
    operation_id="listTopUps",
    summary="Top-ups, newest first",
    response_model=Page[TopUpObject],
    responses=documented.READ,
)
async def list_top_ups(
    desk: TheDesk,
    actor: TheActor,
    customer: Annotated[Identifier | None, Query()] = None,
    limit: Annotated[PageSize, Query()] = 20,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> JSONResponse:
    """How much credit was given to whom, by whom, where the cash can be looked up, and what was taken back."""
    after = None if cursor is None else ids.parse("top", cursor, "cursor")
    found = await credit.page(desk, actor, limit=limit + 1, after=after, customer_id=customer)
    principals: Mapping[UUID, str] = await public_ids(desk, actor) if found else {}
    shown = first_of([top_up_object(each, principals) for each in found], limit)
    if shown["has_more"]:
        shown["next_cursor"] = shown["data"][-1]["id"]
    return JSONResponse(shown)


@router.get(
    "/{customer:path}",
    operation_id="getCredit",
    summary="What a customer may still use",
    response_model=CreditObject,
    responses=documented.READ,
)
async def show(desk: TheDesk, actor: TheActor, customer: str) -> JSONResponse:
    """One line for each kind of credit and currency that the customer ever had."""
    return JSONResponse(credit_object(customer, await credit.show(desk, actor, customer)))
