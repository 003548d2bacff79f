"""One call as data and as a conversation: what to send, when to wait, when to ask again, how to read the answer.

Nothing here does I/O. A conversation is a generator: it yields a ``Call`` to send or a ``Pause`` to wait for, is told
the reply, and returns the result, so that the blocking and the asynchronous client share every rule.
"""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from paywarden.client.errors import PaywardenApiError, PaywardenUnreachableError

ATTEMPTS = 6
MAX_PAUSE_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.2
_PROBLEM_FIELDS = frozenset({"type", "title", "status", "code", "detail", "param", "request_id", "instance"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request to the service, answered with a ``T``. Whatever moves money carries an idempotency key.

    ``respond_async``: the answer shall come before the service does what is left to do.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str | int] = field(default_factory=dict)
    idempotency_key: str | None = None
    respond_async: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice has the effect of sending it once."""
        return self.method == "GET" or self.idempotency_key is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, unread."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing usable came back. ``sent`` is false when the request provably never left."""

    detail: str
    sent: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait this long before going on."""

    seconds: float


Reply = Answer | NoAnswer | None
Conversation = Generator[Call[Any] | Pause, Reply, T]


def converse(call: Call[T]) -> Conversation[T]:
    """Send, and send again where that is safe and may help; at most ``ATTEMPTS`` times, with the same key.

    Raises PaywardenApiError, PaywardenUnreachableError.
    """
    attempt = 1
    while True:
        reply = yield call
        if reply is None:
            raise TypeError("a call must be replied to")
        pause_seconds = pause_before_repeat(call, reply, attempt)
        if pause_seconds is None:
            return _read(call, reply)
        yield Pause(pause_seconds)
        attempt += 1


def pause_before_repeat(call: Call[Any], reply: Answer | NoAnswer, attempt: int) -> float | None:
    """How long to wait before the call is sent again; None: it is not, this reply stands."""
    if attempt >= ATTEMPTS or not _may_help(call, reply):
        return None
    if isinstance(reply, Answer) and (asked := _retry_after_seconds(reply)) is not None:
        return asked if asked <= MAX_PAUSE_SECONDS else None
    return float(min(MAX_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)))


def _may_help(call: Call[Any], reply: Answer | NoAnswer) -> bool:
    if isinstance(reply, NoAnswer):
        return call.repeatable or not reply.sent
    if reply.status in {502, 503, 504}:
        return call.repeatable
    if reply.status == 409:
        return call.repeatable and _problem(reply).get("code") == "idempotency_in_progress"
    return reply.status == 429


def _retry_after_seconds(answer: Answer) -> float | None:
    """The header as a number of seconds; a date, which our service never sends, counts as absent."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _read(call: Call[T], reply: Answer | NoAnswer) -> T:
    if isinstance(reply, NoAnswer):
        raise PaywardenUnreachableError(reply.detail, idempotency_key=call.idempotency_key)
    if reply.status >= 400:
        raise _error(reply)
    if not 200 <= reply.status < 300:
        raise _not_ours(reply)
    try:
        return cast(T, json.loads(reply.body))
    except ValueError:
        raise _not_ours(reply) from None


def _problem(answer: Answer) -> dict[str, Any]:
    try:
        problem = json.loads(answer.body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _error(answer: Answer) -> PaywardenApiError:
    problem = _problem(answer)
    if not isinstance(problem.get("code"), str):
        return _not_ours(answer)
    return PaywardenApiError(
        problem["code"],
        answer.status,
        str(problem.get("detail") or problem.get("title") or problem["code"]),
        param=problem.get("param"),
        request_id=problem.get("request_id"),
        extra={name: value for name, value in problem.items() if name not in _PROBLEM_FIELDS},
    )


def _not_ours(answer: Answer) -> PaywardenApiError:
    detail = f"The answer ({answer.status}) is not one of Paywarden: is the address right?"
    return PaywardenApiError("unreadable_answer", answer.status, detail)
