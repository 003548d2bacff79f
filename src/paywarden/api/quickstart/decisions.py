"""``/decisions``: an opinion on a request, with its evidence. It never pays."""

from fastapi import APIRouter
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import AmountMinor, Body, Identifier, Text, example
from paywarden.api.render.quickstart import QuickDecision, quick_decision
from paywarden.api.requests import QuickstartRoute
from paywarden.flow import decision

router = APIRouter(route_class=QuickstartRoute, tags=["quick start"])


class QuickQuestion(Body):
    """What a customer asks for, in US cents."""

    model_config = example(
        {
            "customer_id": "cust_001",
            "request": "Customer asks for a refund: charged twice for order 7",
            "requested_amount_cents": 5000,
        }
    )
    customer_id: Identifier
    request: Text
    requested_amount_cents: AmountMinor


@router.post(
    "/decisions",
    operation_id="quickDecide",
    summary="Ask the adviser; nothing is paid",
    response_model=QuickDecision,
    responses=documented.WRITE,
)
async def decide(desk: TheDesk, actor: TheActor, body: QuickQuestion) -> JSONResponse:
    """A failing adviser, missing evidence or too high an amount is an answer that does not approve, with the reason."""
    view = await decision.decide(
        desk,
        actor,
        customer_id=body.customer_id,
        request=body.request,
        amount_minor=body.requested_amount_cents,
        currency="usd",
    )
    return JSONResponse(quick_decision(view))
