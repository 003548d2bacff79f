"""``/v1/payments/{id}/facts``: what a payment's adviser misses, said by whoever can say it."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from paywarden.api import documented, outcomes
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import Body, Identifier, Text, Trust, example, path_id
from paywarden.api.idempotency import RequiredKey, keyed
from paywarden.api.render.payments import PaymentObject, payment_object
from paywarden.api.requests import KeyRoute
from paywarden.flow import inquiry
from paywarden.flow.words import MAX_GIVEN, GivenFact

router = APIRouter(route_class=KeyRoute, tags=["payments"], prefix="/v1/payments")


class NewFact(Body):
    """One thing that was missing, kept as a note about the payment's customer; ``facts`` is for trust ``record``."""

    content: Text
    trust: Trust = "customer"
    source: Identifier | None = None
    invoice: Identifier | None = None
    case: Identifier | None = None
    facts: dict[str, Any] | None = None

    def as_given(self) -> GivenFact:
        """The fact in the words of the flow."""
        return GivenFact(self.content, self.trust, self.source, self.invoice, self.case, self.facts)


class NewFacts(Body):
    """The answer to ``missing_facts``, all of it at once: each answer is one of the rounds that a payment has."""

    model_config = example({"facts": [{"content": "It is order 7; I sent it back on May 3.", "case": "case-12"}]})
    facts: Annotated[list[NewFact], Field(min_length=1, max_length=MAX_GIVEN)]


@router.post(
    "/{payment_id}/facts",
    operation_id="giveFacts",
    summary="Give a payment the facts it waits for",
    response_model=PaymentObject,
    responses=documented.PAY | {202: {"description": "Waits for a person or for more facts", "model": PaymentObject}},
)
async def give(
    request: Request, desk: TheDesk, actor: TheActor, payment_id: str, body: NewFacts, key: RequiredKey
) -> Response:
    """It is decided anew with them. For whoever asked for the payment, and for administrators.

    Only an administrator's facts may be of trust `record` or `staff`: those justify money.
    """
    identity = path_id("pay", payment_id, "There is no such payment.")
    stored = await keyed(request, key)
    assert stored is not None  # noqa: S101  the key is required
    given = await inquiry.give_facts(desk, actor, identity, [fact.as_given() for fact in body.facts], stored)
    outcomes.refuse_unhappy(given.payment)
    return outcomes.answer(payment_object(given.payment), given.payment, taken=200, replayed=given.replayed)
