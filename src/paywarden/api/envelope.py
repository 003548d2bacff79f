"""What surrounds every request: its id, its line in the log, its place in the metrics, and the answer when we fail."""

import json
import logging
import re
import time

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paywarden import logs
from paywarden.api import problems
from paywarden.api.access import ACTOR
from paywarden.api.metrics import UNKNOWN_ROUTE, Metrics
from paywarden.kit import ids

_GIVEN_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_LOG = structlog.get_logger(__name__)
_LEVEL = logging.getLogger(__name__)
# As web servers log a request whose caller is gone.
_NOBODY_LEFT = 499
_REFUSED, _FAILED = 400, 500
_PROBLEM = problems.MEDIA_TYPE.encode()


class Envelope:
    """ASGI middleware. Nothing that is raised inside reaches the server, whose own log is not redacted."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[problems.REQUEST_ID] = request_id = _request_id(scope)
        answer = _Answer(send, request_id)
        started = time.perf_counter()
        told = logs.request_id.set(request_id)
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            await answer.end_with(problems.incomplete(request_id), scope, receive)
        except Exception:
            _LOG.exception("request failed")
            await answer.end_with(problems.internal(request_id), scope, receive)
        finally:
            self._note(scope, answer, time.perf_counter() - started)
            logs.request_id.reset(told)

    def _note(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        """Count it. Refusals and failures are told in the log, what went well only to whoever debugs."""
        route = getattr(scope.get("route"), "path_format", None)
        status = answer.status or _NOBODY_LEFT
        self._metrics.observe(scope["method"], route, status, seconds)
        if answer.code is not None:
            self._metrics.observe_code(answer.code)
        if status < _REFUSED and not _LEVEL.isEnabledFor(logging.DEBUG):
            return
        tell = _LOG.debug if status < _REFUSED else _LOG.info if status < _FAILED else _LOG.warning
        tell(
            "request",
            method=self._metrics.known_method(scope["method"]),
            route=route or UNKNOWN_ROUTE,
            status=status,
            code=answer.code,
            principal=_principal(scope),
            duration_ms=round(seconds * 1000, 1),
        )


class _Answer:
    """Sends an answer on, with the headers that all answers have."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None
        self.code: str | None = None
        self._is_problem = False

    async def end_with(self, response: Response, scope: Scope, receive: Receive) -> None:
        """Answer, unless an answer has begun already."""
        if self.status is None:
            await response(scope, receive, self.send)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = message["headers"]
            ours = [(b"x-request-id", self._request_id.encode()), (b"x-content-type-options", b"nosniff")]
            if all(name != b"cache-control" for name, _ in given):
                ours.append((b"cache-control", b"no-store"))
            message["headers"] = [*given, *ours]
            self._is_problem = (b"content-type", _PROBLEM) in given
        elif self._is_problem and self.code is None:
            self.code = _code(message.get("body", b""))
        await self._send(message)


def _code(body: bytes) -> str | None:
    """The code of a problem that is one of our own answers."""
    try:
        return str(json.loads(body)["code"])
    except (ValueError, KeyError, TypeError):
        return None


def _principal(scope: Scope) -> str | None:
    """Who asked, once the route knows."""
    actor = scope.get(ACTOR)
    return None if actor is None else actor.principal.public_id


def _request_id(scope: Scope) -> str:
    """The caller's own id if it is a plain word, so that both logs can be read side by side; else a new one."""
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _GIVEN_ID.fullmatch(given[0]):
        return str(given[0].decode())
    return ids.new_text("req")
