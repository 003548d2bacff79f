"""The pool of connections that everything which serves draws from, through ``paywarden.db.transaction`` only."""

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from paywarden.kit.errors import ConfigurationError
from paywarden.settings import Settings

Connection = psycopg.AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]

_WORKING_ROLES = ("paywarden_app", "paywarden_system")
# A dead network shows within seconds instead of the kernel's quarter of an hour.
_LINK = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 20_000}
# The pool doubles its pause between attempts up to this; then the next caller starts a fresh attempt.
_RECONNECT_SECONDS = 5


@asynccontextmanager
async def open_pool(url: str, settings: Settings) -> AsyncIterator[Pool]:
    """A pool of ``settings.pool_min`` to ``pool_max`` connections to ``url``, closed at the end.

    Raises ConfigurationError when the login cannot take the roles in which all work is done.
    """
    await _require_roles(url)
    pool: Pool = AsyncConnectionPool(
        url,
        connection_class=psycopg.AsyncConnection[DictRow],
        min_size=settings.pool_min,
        max_size=settings.pool_max,
        timeout=settings.pool_timeout_seconds,
        reconnect_timeout=_RECONNECT_SECONDS,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "prepare_threshold": 5 if settings.prepared_statements else None,
            **_LINK,
        },
        open=False,
    )
    async with pool:
        yield pool


@asynccontextmanager
async def borrowed(pool: Pool) -> AsyncIterator[Connection]:
    """A living connection of the pool; what it began is committed at the end, rolled back on an error."""
    connection = await pool.getconn()
    while _was_closed_meanwhile(connection):
        await connection.close()
        await pool.putconn(connection)
        connection = await pool.getconn()
    try:
        async with connection:
            yield connection
    finally:
        await pool.putconn(connection)


def _was_closed_meanwhile(connection: Connection) -> bool:
    """Whether the server has hung up on an idle connection: then its socket is readable.

    Costs microseconds where asking the server ``select 1`` before every transaction costs a round trip.
    """
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


async def _require_roles(url: str) -> None:
    try:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
            for role in _WORKING_ROLES:
                await connection.execute("select set_config('role', %s, false)", [role])
    except psycopg.OperationalError as error:
        raise ConfigurationError(f"DATABASE_URL: cannot connect: {error}") from error
    except psycopg.Error as error:
        raise ConfigurationError(
            f"DATABASE_URL: its login cannot take the role {role}; run: paywarden migrate ({error})"
        ) from error
