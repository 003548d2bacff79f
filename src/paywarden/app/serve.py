"""The API process: one granian server in this process, on one address, stopped by SIGTERM after what is in flight.

Not granian's ordinary server: that leaves an orphan worker on the port when its main process is killed.
"""

import asyncio
import contextlib
import signal
from typing import Any

from paywarden.settings import Settings

_LOG_TO_STDERR: dict[str, Any] = {
    "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
    "loggers": {"_granian": {"handlers": ["console"], "propagate": False}},
}


async def serve(settings: Settings) -> None:
    """Serve the HTTP API until SIGTERM or SIGINT."""
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server.embed import Server

    from paywarden.api.application import build
    from paywarden.app.desk import desk_opener

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = Server(
        build(desk_opener(settings, preload=True)),
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        log_level=LogLevels.error,
        log_dictconfig=_LOG_TO_STDERR,
    )
    serving = asyncio.create_task(server.serve())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    server.stop()  # type: ignore[no-untyped-call]
    stopped.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
