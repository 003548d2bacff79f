"""The HTTP server of the API and of the sandbox: uvicorn on the running event loop, until it is told to stop.

On the loop's own thread, because a server with threads of its own hands every request over several times and competes
for the interpreter with what answers it (docs/decisions/0011-http-server.md). What uvicorn leaves open is closed here:
how long a request's head may be, and how long a request may take to come.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import httptools
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BACKLOG = 1024
LONGEST_HEAD_BYTES = 64 * 1024
MOST_HEADERS = 100
REQUEST_SECONDS = 30.0
# Longer than clients keep a connection: whoever closes first must not do it under a request that is on its way.
_KEEP_ALIVE_SECONDS = 75
# Less than a supervisor waits before it kills.
_LAST_ANSWERS_SECONDS = 10
# The server looks ten times a second.
_TICKS_BETWEEN_LOOKS = 10


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket; ``shared`` with other processes of ours that listen on the same port. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=shared)


async def serve(
    app: ASGIApp,
    listening: socket.socket,
    stopping: asyncio.Event,
    when_ready: Callable[[], None] = lambda: None,
    *,
    lifespan: bool = False,
    request_seconds: float = REQUEST_SECONDS,
) -> None:
    """Answer on a listening socket, which is closed at the end, until ``stopping`` is set; then what is in flight.

    ``when_ready`` is called once requests are accepted. ``lifespan``: ``app`` wants to be told of start and end.
    """
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        interface="asgi3",
        lifespan="on" if lifespan else "off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
    )
    server = _Server(config, when_ready, request_seconds)
    stopper = asyncio.create_task(_stop(server, stopping))
    try:
        await server.serve(sockets=[listening])
    finally:
        stopper.cancel()


async def _stop(server: uvicorn.Server, stopping: asyncio.Event) -> None:
    await stopping.wait()
    server.should_exit = True


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it, and hangs up on those who don't get on with their request."""

    def __init__(self, config: uvicorn.Config, when_ready: Callable[[], None], request_seconds: float) -> None:
        super().__init__(config)
        self._when_ready, self._request_seconds = when_ready, request_seconds

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: they are the process's."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests, and say so."""
        await super().startup(sockets)
        self._when_ready()

    async def on_tick(self, counter: int) -> bool:
        """Whether to end."""
        if counter % _TICKS_BETWEEN_LOOKS == 0:
            began = asyncio.get_running_loop().time() - self._request_seconds
            for connection in list(self.server_state.connections):
                cast("_Protocol", connection).close_if_waiting_since(began)
        return await super().on_tick(counter)


class _Protocol(HttpToolsProtocol):
    """One connection, whose requests come in bounded time, with heads of bounded size."""

    _waiting_since: float | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(_JoinedWrites(transport, self.loop))
        self._waiting_since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Read on; a request that is not whole yet is watched."""
        self._unset_keepalive_if_required()
        began = self._waiting_since
        self._read(data)
        # A cycle begins with the end of its head, with the scope that was begun at the start of it.
        in_body = self.cycle is not None and self.cycle.scope is self.scope
        if in_body and not self.cycle.more_body:
            self._waiting_since = None
            return
        if began is None:
            self._waiting_since, self._head_bytes = self.loop.time(), 0
        elif not in_body:
            self._head_bytes += len(data)
            if self._head_bytes > LONGEST_HEAD_BYTES:
                self._refuse(f"The head of a request may have at most {LONGEST_HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """Begin the request. Raises ValueError, which becomes a 400, when there is no beginning it."""
        if len(self.headers) > MOST_HEADERS:
            raise ValueError(f"more than {MOST_HEADERS} headers")
        if not self.parser.should_upgrade():
            super().on_headers_complete()
        elif self.parser.get_method() == b"CONNECT":
            raise ValueError("this is no proxy")

    def on_message_complete(self) -> None:
        """End the request, unless it is the head of one that is read again."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def close_if_waiting_since(self, began: float) -> None:
        """Hang up on a caller that began to wait, or a request, before that moment of the loop's clock."""
        if self._waiting_since is not None and self._waiting_since < began:
            self.transport.close()

    def _read(self, data: bytes, *, again: bool = False) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as asked:
            # The parser takes what follows for the other protocol: its body, too. Nothing else is offered here, so the
            # request is an ordinary one (RFC 9110, 7.8), and is read again without its wish.
            if again:
                # Nobody wishes for it twice in one breath, and each time the rest would be copied.
                self._refuse("A request with an Upgrade must not stand behind another one.")
                return
            head = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            self._read(head + data[asked.args[0] :], again=True)
        except httptools.HttpParserError:
            self._refuse("Invalid HTTP request received.")

    def _head_without_upgrade(self) -> bytes:
        closes = any(name == b"connection" and b"close" in value.lower() for name, value in self.headers)
        kept = [(name, value) for name, value in self.headers if name not in (b"connection", b"upgrade")]
        lines = [name + b": " + value for name, value in (*kept, *([(b"connection", b"close")] if closes else []))]
        version = self.parser.get_http_version().encode()
        return b"\r\n".join([self.parser.get_method() + b" " + self.url + b" HTTP/" + version, *lines, b"", b""])

    def _refuse(self, why: str) -> None:
        if self.transport.is_closing():
            return
        if self._owes_an_answer():
            # The caller would take this for that answer, and what it asked for may be done.
            self.transport.close()
        else:
            self.send_400_response(why)

    def _owes_an_answer(self) -> bool:
        """Whether a request that came whole has not been answered to its end."""
        if self.pipeline:
            return True
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and (cycle.response_started or not cycle.more_body)


class _JoinedWrites(asyncio.Transport):
    """A transport that sends the head of an answer together with its body, in one packet and one system call."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._kept: bytes | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep the first part until the second comes, or until everything that runs now has run."""
        if self._kept is None:
            self._kept = bytes(data)
            self._loop.call_soon(self._flush)
        else:
            kept, self._kept = self._kept, None
            self._transport.write(kept + data)

    def close(self) -> None:
        """Send what is kept, then close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or being closed."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport knows of the connection."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Receive nothing for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Receive again."""
        self._transport.resume_reading()

    def _flush(self) -> None:
        if self._kept is not None:
            kept, self._kept = self._kept, None
            self._transport.write(kept)
