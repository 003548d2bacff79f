"""One worker process: ``flow.recovery`` in a loop, ended by SIGTERM or SIGINT after the work in hand."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version

import structlog

from paywarden.flow import recovery
from paywarden.flow.desk import Desk

_LOG = structlog.get_logger(__name__)


async def run(open_desk: Callable[[], AbstractAsyncContextManager[Desk]]) -> None:
    """Work until a signal says stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    _LOG.info("worker starts", version=version("paywarden"), pid=os.getpid())
    async with open_desk() as desk:
        _LOG.info("worker ready", pid=os.getpid())
        await recovery.run_until(desk, stop)
    _LOG.info("worker stopped", pid=os.getpid())
