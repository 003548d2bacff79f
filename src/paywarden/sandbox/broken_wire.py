"""Answers that never arrive whole: what a network or a dying provider does to a caller."""

import asyncio
import contextlib
import os
import socket
import stat

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_PROMISED_BYTES = 512


class CutConnection(Response):
    """No answer at all: the connection is closed under the caller."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await cut(scope, receive)


class HalfBody(Response):
    """A 200 that promises more bytes than it sends, then closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(_PROMISED_BYTES).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"id": "sbxpay_', "more_body": True})
        await cut(scope, receive)


class Silence(Response):
    """No answer until the caller goes away, the time is up or the sandbox stops; then the connection is cut."""

    def __init__(self, seconds: float, stopping: asyncio.Event) -> None:
        super().__init__()
        self._seconds, self._stopping = seconds, stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        waits = {asyncio.create_task(_gone(receive)), asyncio.create_task(self._stopping.wait())}
        _, unfinished = await asyncio.wait(waits, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in unfinished:
            task.cancel()
        await cut(scope, receive)


async def cut(scope: Scope, receive: Receive) -> None:
    """Close the connection of this request, and see that the server knows: it would complain of a missing answer.

    ASGI has no word for it, so its socket is looked up by the peer.
    """
    host, port = scope["client"]
    for number in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                _shut_down(number, (host, int(port)))
    await _gone(receive)


def _shut_down(number: int, peer: tuple[str, int]) -> None:
    with socket.socket(fileno=os.dup(number)) as connection:
        if connection.getpeername() == peer:
            connection.shutdown(socket.SHUT_RDWR)


async def _gone(receive: Receive) -> bool:
    while (await receive())["type"] != "http.disconnect":
        pass
    return True
