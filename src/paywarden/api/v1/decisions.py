"""``/v1/decisions``: an opinion on a request, with its evidence. It never pays."""

from fastapi import APIRouter
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import AmountMinor, Body, Currency, Identifier, Text, example, path_id
from paywarden.api.render.decisions import DecisionObject, decision_object, stored_decision_object
from paywarden.api.requests import KeyRoute
from paywarden.flow import decision

router = APIRouter(route_class=KeyRoute, tags=["decisions"], prefix="/v1/decisions")


class Question(Body):
    """What a customer asks for."""

    model_config = example(
        {
            "customer": "cust_42",
            "request": "I was charged twice for order 7, please refund one.",
            "amount_minor": 2500,
            "currency": "usd",
        }
    )
    customer: Identifier
    request: Text
    amount_minor: AmountMinor
    currency: Currency


@router.post(
    "",
    operation_id="createDecision",
    summary="Ask the adviser; nothing is paid",
    status_code=201,
    response_model=DecisionObject,
    responses=documented.WRITE,
)
async def create(desk: TheDesk, actor: TheActor, body: Question) -> JSONResponse:
    """A failing adviser, missing evidence or too high an amount is an answer that does not approve, with the reason."""
    view = await decision.decide(
        desk,
        actor,
        customer_id=body.customer,
        request=body.request,
        amount_minor=body.amount_minor,
        currency=body.currency,
    )
    return JSONResponse(decision_object(view), 201)


@router.get(
    "/{decision_id}",
    operation_id="getDecision",
    summary="A stored decision",
    response_model=DecisionObject,
    responses=documented.READ,
)
async def show(desk: TheDesk, actor: TheActor, decision_id: str) -> JSONResponse:
    """As it was made; nothing of it ever changes."""
    identity = path_id("dec", decision_id, "There is no such decision.")
    return JSONResponse(stored_decision_object(await decision.find(desk, actor, identity)))
