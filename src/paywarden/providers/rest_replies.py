"""Which of the five kinds a whole HTTP answer is. Whatever is not provably another kind is Unknown."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from paywarden.providers.port import Accepted, Answer, Declined, Invalid, ProviderPayment, Transient, Unknown
from paywarden.providers.rest_answers import UnreadableError, read_object, read_payment, reason_of

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer: its status, its body and how long to wait when it said so."""

    status: int
    body: bytes
    retry_after_seconds: float | None


def answer_of(reply: Reply) -> Answer:
    """What the answer to a sent operation means."""
    match reply.status:
        case HTTPStatus.PAYMENT_REQUIRED:
            return _read(reply, lambda body: Declined(reason_of(read_object(body), "declined")))
        case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY:
            return Invalid(_stated_reason(reply.body), reply.status)
    return usable(reply, lambda body: Accepted(payment_of(body)))


def usable(reply: Reply, read: Callable[[bytes], Result]) -> Result | Transient | Unknown:
    """What ``read`` makes of a 2xx answer; anything else in the port's words."""
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        # Somebody did receive it, so it is not provably unsent.
        return Transient("too many requests", sent="maybe", retry_after_seconds=reply.retry_after_seconds)
    if not 200 <= reply.status < 300:
        return Unknown(f"HTTP {reply.status}", reply.status)
    return _read(reply, read)


def _read(reply: Reply, read: Callable[[bytes], Result]) -> Result | Unknown:
    try:
        return read(reply.body)
    except UnreadableError as error:
        return Unknown(f"unreadable: {error}", reply.status)


def _stated_reason(body: bytes) -> str:
    try:
        return reason_of(read_object(body), "refused as invalid")
    except UnreadableError:
        return "refused as invalid"


def payment_of(body: bytes) -> ProviderPayment:
    """The payment or refund that is the whole body. Raises UnreadableError."""
    return read_payment(read_object(body))
