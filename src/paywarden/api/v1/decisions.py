"""``/v1/decisions``: an opinion on a request, with its evidence. It never pays."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import AmountMinor, Body, Currency, Identifier, Text, example, path_id
from paywarden.api.render.decisions import DecisionObject, ReplayObject, decision_object, replay_object
from paywarden.api.requests import KeyRoute
from paywarden.api.v1.principals import public_ids
from paywarden.flow import decision
from paywarden.flow import replay as flow
from paywarden.flow.words import Actor, Desk, Effort, StoredDecision

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


class Replay(Body):
    """Whom to ask instead of the adviser's own model. ``effort`` is how long it may think, `unset` for some models."""

    model_config = example({"model": "claude-opus-5-5"})
    model: Annotated[str, Field(pattern="^[A-Za-z0-9._:@/-]{1,100}$")] | None = None
    effort: Effort | None = None


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
    return await _shown(desk, actor, await decision.find(desk, actor, view.id), 201)


@router.get(
    "/{decision_id}",
    operation_id="getDecision",
    summary="A stored decision, whole",
    response_model=DecisionObject,
    responses=documented.READ,
)
async def show(desk: TheDesk, actor: TheActor, decision_id: str) -> JSONResponse:
    """As it was made; nothing of it ever changes."""
    return await _shown(desk, actor, await decision.find(desk, actor, _id(decision_id)))


@router.post(
    "/{decision_id}/replay",
    operation_id="replayDecision",
    summary="Make a decision again as of today; nothing moves",
    status_code=201,
    response_model=ReplayObject,
    responses=documented.WRITE,
)
async def replay(desk: TheDesk, actor: TheActor, decision_id: str, body: Replay | None = None) -> JSONResponse:
    """The same snapshot before today's adviser (or another model of it), checks and policies: what would have changed,
    in money. For administrators and reviewers; it is paid from the tenant's budget for advice. Mandates and budgets,
    which no adviser changes, are not asked again.
    """
    wanted = body or Replay()
    told = await flow.replay(desk, actor, _id(decision_id), model=wanted.model, effort=wanted.effort)
    return JSONResponse(replay_object(told), 201)


def _id(text: str) -> UUID:
    return path_id("dec", text, "There is no such decision.")


async def _shown(desk: Desk, actor: Actor, stored: StoredDecision, status: int = 200) -> JSONResponse:
    return JSONResponse(decision_object(stored, await public_ids(desk, actor)), status)
