"""The sandbox as an ASGI application behind its key, served by one process on loopback."""

import asyncio
import contextlib
import hmac
import json
import signal
import socket
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from paywarden import http_server
from paywarden.sandbox.book import Book
from paywarden.sandbox.control_api import ControlApi
from paywarden.sandbox.courier import Courier
from paywarden.sandbox.faults import Faults
from paywarden.sandbox.provider_api import ProviderApi, refused
from paywarden.sandbox.refusals import RefusedError

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Options:
    """How one sandbox runs. Port 0 picks a free one; None leaves what the book remembers."""

    port: int
    folder: Path
    api_key: str
    webhook_secret: str
    webhook_url: str | None
    webhook_delay_seconds: float | None


class BehindKey:
    """Lets only the bearer of the key through."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app, self._expected = app, f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = next((value for name, value in scope.get("headers", []) if name == b"authorization"), b"")
        if hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
        else:
            await refused(RefusedError(401, "unauthenticated", "no valid key"))(scope, receive, send)


def build_app(book: Book, faults: Faults, api_key: str, stopping: asyncio.Event) -> ASGIApp:
    """The provider's and the control routes, both behind the key."""
    routes = ProviderApi(book, faults, stopping).routes() + ControlApi(book, faults).routes()
    app = Starlette(routes=routes, exception_handlers={RefusedError: _refused, HTTPException: _no_such_route})
    return BehindKey(app, api_key)


def claim(options: Options) -> tuple[socket.socket, Book]:
    """The listening port and the open book. Raises OSError or sqlite3.OperationalError where somebody has it."""
    return http_server.listen(HOST, options.port), Book(options.folder)


async def serve(options: Options, listening: socket.socket, book: Book) -> None:
    """Run until SIGTERM or SIGINT; prints one line of JSON with the URL when it answers."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await _apply(options, book)
    app = build_app(book, Faults(), options.api_key, stopping)
    courier = asyncio.create_task(Courier(book, options.webhook_secret).run())
    courier.add_done_callback(lambda _: stopping.set())
    await http_server.serve(app, listening, stopping, partial(_announce, listening.getsockname()[1]))
    courier.cancel()
    # One that broke raises here.
    with contextlib.suppress(asyncio.CancelledError):
        await courier
    book.close()


async def _apply(options: Options, book: Book) -> None:
    given = {"webhook_url": options.webhook_url, "webhook_delay_seconds": options.webhook_delay_seconds}
    await book.change_settings(**{name: value for name, value in given.items() if value is not None})


def _announce(port: int) -> None:
    sys.stdout.write(json.dumps({"url": f"http://{HOST}:{port}"}) + "\n")
    sys.stdout.flush()


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, RefusedError):
        raise error
    return refused(error)


async def _no_such_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": {"code": "no_such_route", "message": "no such route"}}, status)
