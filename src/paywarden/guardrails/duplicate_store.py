"""The duplicate guard's table: when a payment that looks like this one was last asked for."""

from collections.abc import Iterable
from typing import Any

from psycopg import AsyncConnection

from paywarden.db import columns
from paywarden.db.sql import load
from paywarden.guardrails.thresholds import DUPLICATE_WINDOW_MINUTES

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]


async def suspect(connection: Connection, fingerprint: bytes, *, keyed: bool) -> bool:
    """Write the guard; whether this is a suspected duplicate. Only a request without a key can be one.

    Two requests at once wait for each other here, so that exactly one of them is the first. A held repeat does not
    move the time of the one it repeats.
    """
    if keyed:
        await connection.execute(SQL.write_guard, {"fingerprint": fingerprint})
        return False
    values = {"fingerprint": fingerprint, "window_minutes": DUPLICATE_WINDOW_MINUTES}
    return await (await connection.execute(SQL.first_in_window, values)).fetchone() is None


async def mark_all(connection: Connection, fingerprints: Iterable[bytes]) -> None:
    """Write the guards of many requests with keys, in order."""
    await connection.execute(SQL.write_guards, {"fingerprints": columns.hexadecimal(sorted(set(fingerprints)))})
