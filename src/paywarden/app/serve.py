"""The API process: one HTTP server on one address, stopped by SIGTERM after what is in flight."""

import asyncio
import contextlib
import gc
import os
import signal
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog

from paywarden.kit.errors import ConfigurationError
from paywarden.settings import Settings

if TYPE_CHECKING:
    from paywarden.flow.desk import Desk

_LOG = structlog.get_logger(__name__)
_GARBAGE_OBJECTS = 10_000


async def serve(settings: Settings) -> None:
    """Serve the HTTP API until SIGTERM or SIGINT. Raises ConfigurationError when it has nothing to work with."""
    from paywarden.app.desk import desk_opener

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    _LOG.info("api starts", version=version("paywarden"), pid=os.getpid())
    # Opened here and not by the server, which would answer a wrong configuration with its own traceback.
    # Of several processes the others load the embedder, which takes 120 MB, when a text first needs it.
    preload = settings.embedder_preload and settings.api_process in (None, 1)
    async with desk_opener(settings, preload=preload, stopping=stopping)() as desk:
        await _serve_desk(settings, desk)
    _LOG.info("api stopped", pid=os.getpid())


async def _serve_desk(settings: Settings, desk: "Desk") -> None:
    from paywarden import http_server
    from paywarden.api.application import build

    app = build(lambda: contextlib.nullcontext(desk), _process_label(settings))
    try:
        listening = http_server.listen(settings.host, settings.port, shared=settings.api_process is not None)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}") from error
    _spare_the_collector()
    ready = partial(_LOG.info, "api ready", host=settings.host, port=settings.port)
    await http_server.serve(app, listening, desk.stopping, ready, lifespan=True)


def _process_label(settings: Settings) -> str | None:
    """Which of several processes this is, for its metrics; None where it is the only one."""
    return None if settings.api_process is None else str(settings.api_process)


def _spare_the_collector() -> None:
    """What was loaded stays for good: no search for garbage needs to look at it, nor look after every few requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS, 20, 20)
