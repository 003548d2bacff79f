"""``/v1/payments``: ask for money, look at it, confirm, cancel, refund."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from msgspec import structs
from starlette.responses import JSONResponse

from paywarden.api import documented, outcomes
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import (
    AmountMinor,
    Body,
    Capture,
    Currency,
    Identifier,
    MandateId,
    PageSize,
    PaymentId,
    PaymentKind,
    Text,
    WaitSeconds,
    example,
    path_id,
)
from paywarden.api.hot import HotRoute
from paywarden.api.idempotency import OptionalKey, RequiredKey, keyed
from paywarden.api.pages import Page, after, page
from paywarden.api.preferences import RespondAsync
from paywarden.api.render.dossier import DossierObject, dossier_object
from paywarden.api.render.payments import (
    PaymentCheckObject,
    PaymentObject,
    payment_check_object,
    payment_object,
)
from paywarden.api.requests import KeyRoute
from paywarden.api.v1.principals import public_ids
from paywarden.flow import advance, ask, settle, story, task
from paywarden.flow.words import Actor, Ask, Desk, IdempotentRequest
from paywarden.kit.errors import InvalidFieldError
from paywarden.kit.states import FINAL, Status

router = APIRouter(route_class=KeyRoute, tags=["payments"], prefix="/v1")
# Of its own: what is included in another router is not found past the framework.
hot = APIRouter(route_class=HotRoute, tags=["payments"], prefix="/v1")
_ABSENT = "There is no such payment."
_TAKEN_FOR_LATER = {
    "description": "Waits for a person or for facts; or `Prefer: respond-async` was applied, and a worker goes on",
    "model": PaymentObject,
    "headers": {
        "Preference-Applied": {
            "description": "`respond-async` where the answer came before the work was done",
            "schema": {"type": "string"},
        }
    },
}
_EXAMPLE = {
    "kind": "charge",
    "amount_minor": 2500,
    "currency": "usd",
    "customer": "cust_42",
    "purpose": "order 7",
    "reference": "order-7",
}


class WantedPayment(Body):
    """What is asked for. The agent is the holder of the key.

    A refund names the charge in ``payment``; a payout says in ``payee`` who is paid, and may name whose case it is.
    """

    model_config = example(_EXAMPLE)
    kind: PaymentKind
    amount_minor: AmountMinor
    currency: Currency
    customer: Identifier | None = None
    payee: Identifier | None = None
    payment: PaymentId | None = None
    mandate: MandateId | None = None
    purpose: Identifier | None = None
    reference: Identifier | None = None
    request: Text | None = None

    def as_ask(self) -> Ask:
        """The same in the flow's words. Raises InvalidFieldError when fields contradict each other."""
        if self.kind != "refund" and self.payment is not None:
            raise InvalidFieldError("payment", "is for refunds only")
        if self.kind == "refund" and (self.customer or self.payee):
            raise InvalidFieldError("customer" if self.customer else "payee", "is the charge's own for a refund")
        return Ask(
            self.kind,
            self.amount_minor,
            self.currency,
            customer_id=self.customer,
            payee=self.payee,
            purpose=self.purpose,
            reference=self.reference,
            request_text=self.request,
            original_payment_id=self.payment,
            mandate_id=self.mandate,
        )


class NewPaymentBody(WantedPayment):
    """A payment to make. ``confirm`` false leaves it at the provider until it is confirmed."""

    model_config = example(_EXAMPLE)
    purpose: Identifier
    confirm: bool = True
    capture: Capture = True
    provider: Literal["rest"] = "rest"

    def as_ask(self) -> Ask:
        """The same in the flow's words."""
        return structs.replace(super().as_ask(), confirm=self.confirm)


class NewRefund(Body):
    """How much of a charge to give back. ``request`` is what the customer wrote; an adviser reads it."""

    model_config = example({"amount_minor": 2500, "currency": "usd", "request": "I was charged twice."})
    amount_minor: AmountMinor
    currency: Currency
    mandate: MandateId | None = None
    purpose: Identifier | None = None
    reference: Identifier | None = None
    request: Text | None = None


@hot.post(
    "/payments",
    operation_id="createPayment",
    summary="Ask for a payment",
    status_code=201,
    response_model=PaymentObject,
    responses=documented.PAY | {202: _TAKEN_FOR_LATER},
)
async def create(
    request: Request, desk: TheDesk, actor: TheActor, body: NewPaymentBody, key: RequiredKey, early: RespondAsync
) -> Response:
    """Taken (201), waiting for somebody (202), denied (403) or declined (402); the same key never pays twice.

    With `Prefer: respond-async` a payment that is allowed answers 202 while it is `reserved`, before it is sent, and
    one that waits for advice while it is `pending`; a denied one is 403 all the same.
    """
    return await _ask(desk, actor, body.as_ask(), await keyed(request, key), early=early)


@router.post(
    "/payments/{payment_id}/refund",
    operation_id="refundPayment",
    summary="Ask to give back part or all of a charge",
    status_code=201,
    response_model=PaymentObject,
    responses=documented.PAY | {202: _TAKEN_FOR_LATER},
)
async def refund(
    request: Request,
    desk: TheDesk,
    actor: TheActor,
    payment_id: str,
    body: NewRefund,
    key: RequiredKey,
    early: RespondAsync,
) -> Response:
    """A refund is a payment of its own, of kind ``refund``; `Prefer` is for it as for every payment."""
    wanted = Ask(
        "refund",
        body.amount_minor,
        body.currency,
        purpose=body.purpose,
        reference=body.reference,
        request_text=body.request,
        original_payment_id=path_id("pay", payment_id, _ABSENT),
        mandate_id=body.mandate,
    )
    return await _ask(desk, actor, wanted, await keyed(request, key), early=early)


async def _ask(desk: Desk, actor: Actor, wanted: Ask, request: IdempotentRequest | None, *, early: bool) -> Response:
    asked = await ask.ask(desk, actor, wanted, request, wait=not early)
    payment = asked.payment
    outcomes.refuse_unhappy(payment)
    early = early and advance.goes_on(payment)
    return outcomes.answer(payment_object(payment), payment, taken=201, replayed=asked.replayed, early=early)


@router.post(
    "/payments:check",
    operation_id="checkPayment",
    summary="Dry run: would this be allowed, by which rule, at which oversight?",
    response_model=PaymentCheckObject,
    responses=documented.WRITE,
)
async def check(desk: TheDesk, actor: TheActor, body: WantedPayment) -> JSONResponse:
    """Nothing is stored, and the adviser is not asked."""
    return JSONResponse(payment_check_object(await story.check(desk, actor, body.as_ask())))


@router.get(
    "/payments",
    operation_id="listPayments",
    summary="Payments, newest first",
    response_model=Page[PaymentObject],
    responses=documented.READ,
)
async def list_payments(
    desk: TheDesk,
    actor: TheActor,
    status: Annotated[Status | None, Query()] = None,
    kind: Annotated[PaymentKind | None, Query()] = None,
    customer: Annotated[Identifier | None, Query()] = None,
    limit: Annotated[PageSize, Query()] = 20,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> JSONResponse:
    """Committed payments of the tenant; those that were committed later than others may appear among older ones."""
    found = await story.list_payments(
        desk,
        actor,
        limit=limit + 1,
        after=after(cursor),
        status=status and status.value,
        kind=kind,
        customer_id=customer,
    )
    return JSONResponse(page(found, limit, payment_object, lambda payment: (payment.transaction_id, payment.id)))


@router.get(
    "/payments/{payment_id}",
    operation_id="getPayment",
    summary="A payment as it stands",
    response_model=PaymentObject,
    responses=documented.READ,
)
async def show(
    desk: TheDesk, actor: TheActor, payment_id: str, wait_seconds: Annotated[WaitSeconds, Query()] = 0
) -> JSONResponse:
    """The same answer for an id that is not there and one of another tenant.

    With `wait_seconds` the answer comes when the payment has ended or waits for its payer, at the latest by then.
    """

    async def ended() -> bool:
        payment = await advance.find(desk, actor.tenant_id, _id(payment_id))
        return payment.status in FINAL or payment.status is Status.REQUIRES_ACTION

    await task.wait_for(desk, ended, wait_seconds)
    return JSONResponse(payment_object(await advance.find(desk, actor.tenant_id, _id(payment_id))))


@router.get(
    "/payments/{payment_id}/dossier",
    operation_id="getDossier",
    summary="The whole story of a payment",
    response_model=DossierObject,
    responses=documented.READ,
)
async def dossier(desk: TheDesk, actor: TheActor, payment_id: str) -> JSONResponse:
    """Request, evidence, advice, checks, reviews, holds, operations, events, ledger entries."""
    told = await story.tell(desk, actor, _id(payment_id))
    return JSONResponse(dossier_object(told, await public_ids(desk, actor)))


@router.post(
    "/payments/{payment_id}/confirm",
    operation_id="confirmPayment",
    summary="Let the provider complete a payment that waits for it",
    response_model=PaymentObject,
    responses=documented.PAY,
)
async def confirm(desk: TheDesk, actor: TheActor, payment_id: str, _: OptionalKey) -> JSONResponse:
    """Confirming twice changes nothing."""
    payment = await settle.confirm(desk, actor, _id(payment_id))
    outcomes.refuse_unhappy(payment)
    return JSONResponse(payment_object(payment))


@router.post(
    "/payments/{payment_id}/cancel",
    operation_id="cancelPayment",
    summary="Cancel what was not sent yet",
    response_model=PaymentObject,
    responses=documented.WRITE,
)
async def cancel(desk: TheDesk, actor: TheActor, payment_id: str, _: OptionalKey) -> JSONResponse:
    """What is held goes back. Canceling twice changes nothing."""
    return JSONResponse(payment_object(await settle.cancel(desk, actor, _id(payment_id))))


def _id(text: str) -> UUID:
    return path_id("pay", text, _ABSENT)
