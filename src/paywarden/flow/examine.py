"""What a configured database is like, asked by the doctor before anything serves on it."""

import asyncio
import re
from dataclasses import dataclass

import psycopg
from psycopg.rows import scalar_row

from paywarden.db.address import check_address, place, reason
from paywarden.db.revisions import is_current
from paywarden.db.sql import load
from paywarden.kit.errors import ConfigurationError

SQL = load(__package__)
OLDEST_SERVER = 16
OLDEST_PGVECTOR = (0, 5)
_LIMIT_SECONDS = 3
_ROLES = ("paywarden_app", "paywarden_system")


@dataclass(frozen=True, slots=True)
class ExaminedDatabase:
    """``where`` it is and what is there; ``refused_role`` is the first that the login cannot take."""

    where: str
    major: int
    version: str
    pgvector: str | None
    refused_role: str | None
    current: bool

    @property
    def pgvector_suffices(self) -> bool:
        """Whether pgvector is there and new enough."""
        numbers = tuple(int(part) for part in re.findall(r"[0-9]+", self.pgvector or "")[:2])
        return numbers >= OLDEST_PGVECTOR


def examine(variable: str, address: str) -> ExaminedDatabase:
    """Log in and look. Raises ConfigurationError, without a secret, when there is no connection within 3 seconds."""
    parts = check_address(variable, address)
    try:
        return asyncio.run(_look(address, place(parts)))
    except psycopg.Error as error:
        raise ConfigurationError(f"no connection to {place(parts)}: {reason(error)}") from None


async def _look(address: str, where: str) -> ExaminedDatabase:
    async with await psycopg.AsyncConnection.connect(
        address, autocommit=True, connect_timeout=_LIMIT_SECONDS, row_factory=scalar_row
    ) as connection:
        version = await (await connection.execute(SQL.server_version)).fetchone()
        pgvector = await (await connection.execute(SQL.present_extension)).fetchone()
        refused = await _refused_role(connection)
        current = refused is None and await is_current(connection)
        return ExaminedDatabase(
            where, connection.info.server_version // 10_000, str(version).split()[0], pgvector, refused, current
        )


async def _refused_role(connection: psycopg.AsyncConnection[object]) -> str | None:
    for role in _ROLES:
        try:
            await connection.execute("select set_config('role', %s, false)", [role])
        except psycopg.Error:
            return role
    return None
