"""``/v1/payments/{id}/attestations``: what people say became of a payment that nobody else can know about."""

from typing import Literal

from fastapi import APIRouter
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import Body, Identifier, Text, example, path_id
from paywarden.api.render.attestations import AttestationObject, attestation_object
from paywarden.api.requests import KeyRoute
from paywarden.flow import attest
from paywarden.flow.words import Word

router = APIRouter(route_class=KeyRoute, tags=["payments"], prefix="/v1/payments")


class NewAttestation(Body):
    """What was seen at the provider, and where it can be looked up again (``reference``)."""

    model_config = example({"outcome": "succeeded", "reference": "support case 4711", "provider_payment_id": "ch_1"})
    outcome: Literal["succeeded", "failed"]
    reference: Identifier
    provider_payment_id: Identifier | None = None
    reason: Text | None = None


@router.post(
    "/{payment_id}/attestations",
    operation_id="attestPayment",
    summary="Say what became of a payment whose outcome stays unknown past the provider's key window",
    status_code=201,
    response_model=AttestationObject,
    responses=documented.WRITE,
)
async def create(desk: TheDesk, actor: TheActor, payment_id: str, body: NewAttestation) -> JSONResponse:
    """Two people with the role `settle` who agree settle it so; one alone changes nothing. Saying it twice neither."""
    identity = path_id("pay", payment_id, "There is no such payment.")
    word = Word(body.outcome, body.reference, body.provider_payment_id)
    done = await attest.attest(desk, actor, identity, word, body.reason)
    return JSONResponse(attestation_object(done.attestation, done.payment), 201)
