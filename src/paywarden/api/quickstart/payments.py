"""``/payments``: one charge, one answer; it stays pending until the provider's webhook says more."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from paywarden.api import documented, outcomes
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import AmountMinor, Body, Currency, Identifier, example, path_id
from paywarden.api.idempotency import OptionalKey, keyed
from paywarden.api.render.quickstart import SeenPayment, TakenJob, TakenPayment, seen_payment, taken_job, taken_payment
from paywarden.api.requests import QuickstartRoute
from paywarden.flow import advance, ask, settle
from paywarden.flow.words import Ask, Payment

router = APIRouter(route_class=QuickstartRoute, tags=["quick start"])
_ABSENT = "There is no such payment."
_WAITING: dict[int | str, dict[str, Any]] = {202: {"description": "Waits for a person or for facts"}}


class NewQuickPayment(Body):
    """Who is charged, and how much. ``amount_cents`` are minor units of the currency."""

    model_config = example({"user_id": "user_42", "amount_cents": 2500, "currency": "usd"})
    user_id: Identifier
    amount_cents: AmountMinor
    currency: Currency = "usd"
    reference: Identifier | None = None


class NewQuickJob(Body):
    """A charge that waits for a confirmation."""

    model_config = example({"agent_id": "agent-risk-01", "amount_cents": 4200, "currency": "usd"})
    agent_id: Identifier
    amount_cents: AmountMinor
    currency: Currency = "usd"
    reference: Identifier | None = None


@router.post(
    "/payments",
    operation_id="quickPay",
    summary="Charge a user",
    response_model=TakenPayment,
    responses=documented.PAY | {202: _WAITING[202] | {"model": TakenPayment}},
)
async def pay(request: Request, desk: TheDesk, actor: TheActor, body: NewQuickPayment, key: OptionalKey) -> Response:
    """A row is stored before the provider is called. A repeat without an Idempotency-Key is held for a person."""
    wanted = Ask(
        "charge",
        body.amount_cents,
        body.currency,
        origin="payments",
        customer_id=body.user_id,
        reference=body.reference,
    )
    asked = await ask.ask(desk, actor, wanted, await keyed(request, key))
    return _answer(dict(taken_payment(asked.payment)), asked.payment, replayed=asked.replayed)


@router.post(
    "/payments/create",
    operation_id="quickCreateJob",
    summary="Create a charge that waits for its confirmation",
    response_model=TakenJob,
    responses=documented.PAY | {202: _WAITING[202] | {"model": TakenJob}},
)
async def create(request: Request, desk: TheDesk, actor: TheActor, body: NewQuickJob, key: OptionalKey) -> Response:
    """Sent to the provider unconfirmed; a provider that charges anyway wins by its event."""
    wanted = Ask(
        "charge",
        body.amount_cents,
        body.currency,
        origin="create",
        agent_id=body.agent_id,
        customer_id=body.agent_id,
        reference=body.reference,
        confirm=False,
    )
    asked = await ask.ask(desk, actor, wanted, await keyed(request, key))
    return _answer(dict(taken_job(asked.payment)), asked.payment, replayed=asked.replayed)


@router.post(
    "/payments/{job_id}/confirm",
    operation_id="quickConfirmJob",
    summary="Confirm a created charge",
    response_model=TakenJob,
    responses=documented.PAY,
)
async def confirm(desk: TheDesk, actor: TheActor, job_id: str, _: OptionalKey) -> Response:
    """Confirming twice changes nothing."""
    payment = await settle.confirm(desk, actor, path_id("pay", job_id, _ABSENT))
    return _answer(dict(taken_job(payment)), payment)


@router.get(
    "/payments/{payment_id}",
    operation_id="quickGetPayment",
    summary="Look at a payment",
    response_model=SeenPayment,
    responses=documented.READ,
)
async def show(desk: TheDesk, actor: TheActor, payment_id: str) -> Response:
    """The payment as it stands."""
    payment = await advance.find(desk, actor.tenant_id, path_id("pay", payment_id, _ABSENT))
    return JSONResponse(seen_payment(payment))


def _answer(shown: dict[str, Any], payment: Payment, *, replayed: bool = False) -> Response:
    outcomes.refuse_unhappy(payment)
    if outcomes.waits(payment):
        shown["reason"] = payment.reason
    return outcomes.answer(shown, payment, taken=200, replayed=replayed)
