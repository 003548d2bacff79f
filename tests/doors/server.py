"""The door on granian, in this process and on this event loop, on a port of its own."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from paywarden.kit.tls import trusted_for


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A caller without a key, when the server answers; it is stopped at the end."""
    port = free_port()
    server = Server(
        app, address="127.0.0.1", port=port, interface=Interfaces.ASGI, http=HTTPModes.http1, websockets=False,
        log_enabled=False,
    )  # fmt: skip
    task = asyncio.create_task(server.serve())
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=trusted_for(url)) as local:
        await _answers(local)
        yield local
    server.stop()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _answers(local: httpx.AsyncClient, limit_seconds: float = 20) -> None:
    deadline = time.monotonic() + limit_seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            if (await local.get("/readyz")).status_code == 200:
                return
        assert time.monotonic() < deadline, "the server does not answer"
        await asyncio.sleep(0.02)
