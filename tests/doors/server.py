"""The door on the real HTTP server, in this process and on this event loop, on a port of its own."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.types import ASGIApp

from paywarden import http_server
from paywarden.kit.tls import trusted_for


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A caller without a key, when the server answers; it is stopped at the end."""
    listening, stopping = http_server.listen("127.0.0.1", 0), asyncio.Event()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    task = asyncio.create_task(http_server.serve(app, listening, stopping, lifespan=True))
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=trusted_for(url)) as local:
        await _answers(local)
        yield local
    stopping.set()
    await task


async def _answers(local: httpx.AsyncClient, limit_seconds: float = 20) -> None:
    deadline = time.monotonic() + limit_seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            if (await local.get("/readyz")).status_code == 200:
                return
        assert time.monotonic() < deadline, "the server does not answer"
        await asyncio.sleep(0.02)
