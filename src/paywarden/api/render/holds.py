"""A hold at the billing gate, and the members of a batch of them."""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired
from uuid import UUID

from typing_extensions import TypedDict

from paywarden.api import problems
from paywarden.api.problems import Problem
from paywarden.api.render.values import instant
from paywarden.flow.words import Held, Hold
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339
from paywarden.kit.errors import PaywardenError
from paywarden.kit.money import display


class HoldObject(TypedDict):
    """One hold as it stands: ``pending``, ``captured``, ``released`` or ``expired``."""

    object: Literal["hold"]
    id: str
    status: str
    amount_minor: int
    captured_minor: int
    currency: str
    display: str
    customer: str | None
    mandate: str | None
    feature: str | None
    expires_at: str
    created_at: str


class OwnedHoldObject(HoldObject):
    """A hold with whose it is, and since when it is not pending any more."""

    principal: str
    closed_at: str | None


class HoldAnswer(TypedDict):
    """What became of one member of a batch: the status it would have had alone, and the hold or the problem."""

    status: int
    hold: NotRequired[HoldObject]
    replayed: NotRequired[bool]
    problem: NotRequired[Problem]


class HoldAnswers(TypedDict):
    """The answers to a batch, in the order of its members."""

    object: Literal["list"]
    data: list[HoldAnswer]


def hold_object(hold: Hold) -> dict[str, Any]:
    """A hold as answers show it."""
    return {
        "object": "hold",
        "id": hold.public_id,
        "status": hold.status,
        "amount_minor": hold.amount_minor,
        "captured_minor": hold.captured_minor,
        "currency": hold.currency,
        "display": display(hold.amount_minor, hold.currency),
        "customer": hold.customer_id,
        "mandate": None if hold.mandate_id is None else ids.to_text("mdt", hold.mandate_id),
        "feature": hold.feature,
        "expires_at": rfc3339(hold.expires_at),
        "created_at": rfc3339(hold.created_at),
    }


def owned_hold_object(hold: Hold, principals: Mapping[UUID, str]) -> dict[str, Any]:
    """The same for whoever looks; ``principals`` are public ids."""
    return {**hold_object(hold), "principal": principals[hold.principal_id], "closed_at": instant(hold.closed_at)}


def hold_answer(answer: Held | PaywardenError, request_id: str, taken: int) -> dict[str, Any]:
    """A member's answer; ``taken`` is the status of one that went well."""
    if isinstance(answer, PaywardenError):
        return {"status": answer.status, "problem": problems.content_of(request_id, answer)}
    shown = {"status": taken, "hold": hold_object(answer.hold)}
    return {**shown, "replayed": True} if answer.replayed else shown
