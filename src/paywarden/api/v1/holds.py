"""``/v1/holds``: the billing gate. Hold before the costly call, capture what it cost, or give it back."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import (
    AmountMinor,
    Body,
    Currency,
    HoldSeconds,
    Identifier,
    MandateId,
    MemberKey,
    example,
    path_id,
)
from paywarden.api.hot import HotRoute, JsonAnswer
from paywarden.api.idempotency import REPLAYED, OptionalKey, RequiredKey, fingerprinted, keyed
from paywarden.api.problems import REQUEST_ID
from paywarden.api.render.holds import HoldAnswers, HoldObject, hold_answer, hold_object
from paywarden.flow import hold
from paywarden.flow.held import ABSENT, Answer, only
from paywarden.flow.words import (
    DEFAULT_HOLD_SECONDS,
    Actor,
    Capture,
    Desk,
    Funding,
    Held,
    IdempotentRequest,
    NewHold,
)
from paywarden.kit.errors import IdempotencyKeyReusedError, PaywardenError

router = APIRouter(route_class=HotRoute, tags=["holds"], prefix="/v1")
MAX_BATCH = 100
_CREATE = "/v1/holds"
_TAKEN = 201
_EXAMPLE = {"customer": "cust_42", "amount_minor": 100, "currency": "usd", "feature": "summary", "expires_in": 600}


class NewHoldBody(Body):
    """What to hold: on the credit of ``customer``, on the budget of ``mandate``, or on both.

    ``funding`` says which credit: ``prepaid`` is money (the default), ``granted`` is none. ``expires_in``: seconds.
    """

    model_config = example(_EXAMPLE)
    amount_minor: AmountMinor
    currency: Currency
    customer: Identifier | None = None
    mandate: MandateId | None = None
    funding: Funding | None = None
    feature: Identifier | None = None
    expires_in: HoldSeconds = DEFAULT_HOLD_SECONDS

    def as_new(self, request: IdempotentRequest) -> NewHold:
        """The same in the flow's words."""
        return NewHold(
            self.amount_minor,
            self.currency,
            request,
            self.customer,
            self.mandate,
            self.feature,
            self.funding,
            self.expires_in,
        )


class BatchedHoldBody(NewHoldBody):
    """A member of a batch, with its own key."""

    model_config = example({**_EXAMPLE, "idempotency_key": "call-1"})
    idempotency_key: MemberKey


class NewHoldsBody(Body):
    """Many holds at once; each stands for itself."""

    model_config = example({"holds": [{**_EXAMPLE, "idempotency_key": "call-1"}]})
    holds: Annotated[list[BatchedHoldBody], Field(min_length=1, max_length=MAX_BATCH)]


class CaptureBody(Body):
    """What the call cost. With ``final`` what remains of the hold goes back; without it more may be captured."""

    model_config = example({"amount_minor": 42})
    amount_minor: AmountMinor
    final: bool = True


@router.post(
    "/holds",
    operation_id="createHold",
    summary="Hold an amount before a costly call",
    status_code=_TAKEN,
    response_model=HoldObject,
    responses=documented.HOLD,
)
async def create(request: Request, desk: TheDesk, actor: TheActor, body: NewHoldBody, key: RequiredKey) -> Response:
    """Held (201), or refused (403 `insufficient`) with nothing stored; the same key never holds twice."""
    asked = fingerprinted(key, request.method, _CREATE, await request.json())
    return _answer(await hold.create(desk, actor, [body.as_new(asked)]), _TAKEN)


@router.post(
    "/holds:batch",
    operation_id="createHolds",
    summary="Hold many amounts in one request",
    response_model=HoldAnswers,
    responses=documented.WRITE,
)
async def create_batch(request: Request, desk: TheDesk, actor: TheActor, body: NewHoldsBody) -> Response:
    """Every member stands for itself and is answered in its place, with the status that it would have had alone.

    A member is the same request as one alone with that key: it may be sent again either way. Of members with one key
    the first counts: the same request again is told the same, another one is refused (422 `idempotency_key_reused`).
    """
    given = (await request.json())["holds"]
    wanted = [member.as_new(_member_request(raw)) for member, raw in zip(body.holds, given, strict=True)]
    answers = await _each_key_once(desk, actor, wanted)
    for refused in (answer for answer in answers if isinstance(answer, PaywardenError)):
        request.app.state.metrics.observe_code(refused.code)
    shown = [hold_answer(answer, request.scope[REQUEST_ID], _TAKEN) for answer in answers]
    return JsonAnswer({"object": "list", "data": shown})


@router.post(
    "/holds/{hold_id}/capture",
    operation_id="captureHold",
    summary="Take what the call cost",
    response_model=HoldObject,
    responses=documented.HOLD,
)
async def capture(
    request: Request, desk: TheDesk, actor: TheActor, hold_id: str, body: CaptureBody, key: RequiredKey
) -> Response:
    """At most what is held (else 422). After the hold expired, only while the funds are still there (else 409)."""
    asked = await keyed(request, key)
    wanted = Capture(_id(hold_id), body.amount_minor, asked, body.final)
    return _answer(await hold.capture(desk, actor, [wanted]), 200)


@router.post(
    "/holds/{hold_id}/release",
    operation_id="releaseHold",
    summary="Give back what is held",
    response_model=HoldObject,
    responses=documented.WRITE,
)
async def release(desk: TheDesk, actor: TheActor, hold_id: str, _: OptionalKey) -> Response:
    """Releasing twice, or what has expired, changes nothing."""
    return _answer(await hold.release(desk, actor, [_id(hold_id)]), 200)


async def _each_key_once(desk: Desk, actor: Actor, wanted: Sequence[NewHold]) -> list[Answer]:
    """Only the first member of each key is asked: looking the others up in the commit would hold up everybody."""
    first: dict[str, NewHold] = {}
    for each in wanted:
        first.setdefault(each.request.key, each)
    told = dict(zip(first, await hold.create(desk, actor, list(first.values())), strict=True))
    return [_of_member(each, first[each.request.key], told[each.request.key]) for each in wanted]


def _of_member(wanted: NewHold, first: NewHold, answer: Answer) -> Answer:
    if wanted is first:
        return answer
    if wanted.request != first.request:
        return IdempotencyKeyReusedError("This key belongs to another member before this one; use a new key.")
    return Held(answer.hold, replayed=True) if isinstance(answer, Held) else answer


def _answer(answers: list[Answer], status: int) -> Response:
    held = only(answers)
    return JsonAnswer(hold_object(held.hold), status, {REPLAYED: "true"} if held.replayed else None)


def _member_request(member: dict[str, object]) -> IdempotentRequest:
    alone = {name: value for name, value in member.items() if name != "idempotency_key"}
    return fingerprinted(str(member["idempotency_key"]), "POST", _CREATE, alone)


def _id(text: str) -> UUID:
    return path_id("hold", text, ABSENT)
