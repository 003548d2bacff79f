"""The sandbox as an ASGI application behind its key, served by one process on loopback."""

import asyncio
import contextlib
import hmac
import json
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from paywarden.sandbox.book import Book
from paywarden.sandbox.control_api import ControlApi
from paywarden.sandbox.courier import Courier
from paywarden.sandbox.faults import Faults
from paywarden.sandbox.provider_api import ProviderApi, refused
from paywarden.sandbox.refusals import RefusedError

HOST = "127.0.0.1"
_LOG_TO_STDERR: dict[str, Any] = {
    "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
    "loggers": {"_granian": {"handlers": ["console"], "propagate": False}},
}


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


def claim(options: Options) -> tuple[int, Book]:
    """The port and the open book. Raises OSError or sqlite3.OperationalError when another process has one of them."""
    return _free_port(options.port), Book(options.folder)


async def serve(options: Options, port: int, book: Book) -> None:
    """Run until SIGTERM or SIGINT; prints one line of JSON with the URL when it answers."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await _apply(options, book)
    server = Server(
        build_app(book, Faults(), options.api_key, stopping),
        address=HOST,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        log_level=LogLevels.error,
        log_dictconfig=_LOG_TO_STDERR,
    )
    serving = asyncio.create_task(server.serve())
    courier = asyncio.create_task(Courier(book, options.webhook_secret).run())
    await _announce(port)
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, courier, stopped}, return_when=asyncio.FIRST_COMPLETED)
    await _stop(server, serving, courier, book)


async def _apply(options: Options, book: Book) -> None:
    given = {"webhook_url": options.webhook_url, "webhook_delay_seconds": options.webhook_delay_seconds}
    await book.change_settings(**{name: value for name, value in given.items() if value is not None})


async def _announce(port: int) -> None:
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            _, writer = await asyncio.open_connection(HOST, port)
            writer.close()
            break
        await asyncio.sleep(0.005)
    sys.stdout.write(json.dumps({"url": f"http://{HOST}:{port}"}) + "\n")
    sys.stdout.flush()


async def _stop(server: Server, serving: asyncio.Task[None], courier: asyncio.Task[None], book: Book) -> None:
    """Answer what is in flight, then close; a courier or server that broke raises here."""
    server.stop()  # type: ignore[no-untyped-call]
    courier.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await courier
    await serving
    book.close()


def _free_port(port: int) -> int:
    """The port, bound once without sharing: the server itself would share it with a stranger."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        chosen: int = probe.getsockname()[1]
        return chosen


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, RefusedError):
        raise error
    return refused(error)


async def _no_such_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": {"code": "no_such_route", "message": "no such route"}}, status)
