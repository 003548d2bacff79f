"""The API process: one granian server in this process, on one address, stopped by SIGTERM after what is in flight.

Not granian's ordinary server: that leaves an orphan worker on the port when its main process is killed.
"""

import asyncio
import contextlib
import gc
import os
import signal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog

from paywarden.settings import Settings

if TYPE_CHECKING:
    from paywarden.flow.desk import Desk

_LOG = structlog.get_logger(__name__)
_GARBAGE_OBJECTS = 10_000
_LOG_TO_STDERR: dict[str, Any] = {
    "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
    "loggers": {"_granian": {"handlers": ["console"], "propagate": False}},
}


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
    async with desk_opener(settings, preload=preload)() as desk:
        await _serve_desk(settings, desk, stopping)
    _LOG.info("api stopped", pid=os.getpid())


async def _serve_desk(settings: Settings, desk: "Desk", stopping: asyncio.Event) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server.embed import Server

    from paywarden.api.application import build

    server = Server(
        build(lambda: contextlib.nullcontext(desk), _process_label(settings)),
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        log_level=LogLevels.error,
        log_dictconfig=_LOG_TO_STDERR,
    )
    _spare_the_collector()
    serving = asyncio.create_task(server.serve())
    stopped = asyncio.create_task(stopping.wait())
    listening = asyncio.create_task(_tell_when_listening(settings))
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    server.stop()  # type: ignore[no-untyped-call]
    stopped.cancel()
    listening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def _process_label(settings: Settings) -> str | None:
    """Which of several processes this is, for its metrics; None where it is the only one."""
    return None if settings.api_process is None else str(settings.api_process)


def _spare_the_collector() -> None:
    """What was loaded stays for good: no search for garbage needs to look at it, nor look after every few requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS, 20, 20)


async def _tell_when_listening(settings: Settings) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(settings.host, settings.port)
            writer.close()
            break
        await asyncio.sleep(0.02)
    _LOG.info("api ready", host=settings.host, port=settings.port)
