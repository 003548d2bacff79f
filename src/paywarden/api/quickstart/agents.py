"""``/agents/{agent_id}``: hold authority now, settle later."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from paywarden.api import documented, outcomes
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import Body, Identifier, QueryAmount, QuerySeconds, path_id
from paywarden.api.idempotency import OptionalKey, keyed
from paywarden.api.render.quickstart import Reservation, reservation
from paywarden.api.requests import QuickstartRoute
from paywarden.flow import ask, settle
from paywarden.flow.words import Ask

router = APIRouter(route_class=QuickstartRoute, tags=["quick start"], prefix="/agents/{agent_id}")
AgentId = Annotated[Identifier, Path(examples=["agent-risk-01"])]
_NO_JOB = "No payable job found"


class MarkPaid(Body):
    """Which job is paid, where there are several, and what proves it."""

    id: Identifier | None = None
    reference: Identifier | None = None


@router.post(
    "/reserve",
    operation_id="quickReserve",
    summary="Hold authority for a later payment, in US cents",
    response_model=Reservation,
    responses=documented.PAY | {202: {"description": "Waits for a person or for facts", "model": Reservation}},
)
async def reserve(
    request: Request,
    desk: TheDesk,
    actor: TheActor,
    agent_id: AgentId,
    amount_cents: Annotated[QueryAmount, Query(examples=[5000])],
    key: OptionalKey,
    expires_in_seconds: Annotated[QuerySeconds | None, Query(examples=[3600])] = None,
) -> Response:
    """A bare reservation has no payee and no provider; it waits until it is settled, canceled or expired (30 days)."""
    wanted = Ask(
        "charge",
        amount_cents,
        "usd",
        origin="reserve",
        agent_id=agent_id,
        bare=True,
        expires_in_seconds=expires_in_seconds,
    )
    asked = await ask.ask(desk, actor, wanted, await keyed(request, key))
    outcomes.refuse_unhappy(asked.payment)
    shown = reservation(asked.payment)
    if outcomes.waits(asked.payment):
        shown["reason"] = asked.payment.reason
    return outcomes.answer(shown, asked.payment, taken=200, replayed=asked.replayed)


@router.post(
    "/mark-paid",
    operation_id="quickMarkPaid",
    summary="Settle exactly one payable job of an agent",
    response_model=Reservation,
    responses=documented.PAY,
)
async def mark_paid(
    request: Request, desk: TheDesk, actor: TheActor, agent_id: AgentId, key: OptionalKey, body: MarkPaid | None = None
) -> Response:
    """The one named, or the only one. A job at the provider becomes paid on the provider's evidence only."""
    named = None if body is None or body.id is None else path_id("pay", body.id, _NO_JOB)
    reference = None if body is None else body.reference
    settled = await settle.mark_paid(desk, actor, agent_id, named, reference, await keyed(request, key))
    return outcomes.answer(reservation(settled.payment), settled.payment, taken=200, replayed=settled.replayed)
