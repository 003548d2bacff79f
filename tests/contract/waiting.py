"""Waiting for a condition, with a limit: never for time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")


async def eventually(look: Callable[[], Awaitable[Found]], seconds: float = 10.0) -> Found:
    """The first true value that ``look`` returns; AssertionError with the last one when the limit is over."""
    found = await look()
    try:
        async with asyncio.timeout(seconds):
            while not found:
                await asyncio.sleep(0.02)
                found = await look()
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s; last seen: {found!r}") from None
    return found
