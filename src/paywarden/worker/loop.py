"""One worker process: ``flow.recovery`` in a loop, ended by SIGTERM or SIGINT after the work in hand."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from paywarden.flow import recovery
from paywarden.flow.desk import Desk


async def run(open_desk: Callable[[], AbstractAsyncContextManager[Desk]]) -> None:
    """Work until a signal says stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_desk() as desk:
        await recovery.run_until(desk, stop)
