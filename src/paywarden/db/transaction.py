"""Database transactions: the tenant's and the tenantless. Only ``flow`` opens them.

This is the one place where a lost connection, a full pool or a lock that did not come becomes ``OverloadedError``:
whatever was not committed did not happen, and whoever asked may ask again with the same key.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.errors import DeadlockDetected, InFailedSqlTransaction, SerializationFailure
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from paywarden.db.pool import Connection, Pool, borrowed
from paywarden.kit.errors import OverloadedError

Result = TypeVar("Result")

_AS_APP = "set_config('role', 'paywarden_app', true)"
_ATTEMPTS = 4
_LONGEST_PAUSE_SECONDS = 0.05


def transaction(pool: Pool, tenant_id: UUID) -> AbstractAsyncContextManager[Connection]:
    """One transaction in the role paywarden_app that sees the rows of ``tenant_id`` only."""
    return _transaction(pool, _opening(tenant_id))


@asynccontextmanager
async def transaction_from(pool: Pool, tenant_id: UUID, question: str) -> AsyncIterator[tuple[Connection, DictRow]]:
    """The same, with the only row that a question without values finds, all in one round trip."""
    async with _connected(pool) as connection:
        cursor = await connection.execute(f"{_opening(tenant_id)}; {question}", prepare=False)
        while cursor.nextset():
            pass
        row = await cursor.fetchone()
        if row is None:
            raise LookupError("a question that has an answer found none")
        yield connection, row
        _refuse_silent_rollback(connection)


def _opening(tenant_id: UUID) -> str:
    return f"begin; select {_AS_APP}, {_of_tenant(tenant_id)}"


def _of_tenant(tenant_id: UUID) -> str:
    return f"set_config('app.tenant', '{UUID(bytes=tenant_id.bytes)}', true)"


async def at_once(pool: Pool, statement: str, values: Mapping[str, Any]) -> DictRow:
    """Run one statement in the role paywarden_app as a transaction of its own, in one round trip; its only row.

    For the ledger's door, which sets each tenant itself. Several commands in one text are one transaction: it is
    committed before its end is told (PostgreSQL, "Multiple Statements in a Simple Query").
    """
    row = await _at_once(pool, f"select {_AS_APP}; {statement}", values)
    if row is None:
        raise LookupError("a statement that answers with one row answered with none")
    return row


async def first_row(pool: Pool, tenant_id: UUID, question: str, values: Mapping[str, Any]) -> DictRow | None:
    """The first row that one question finds among the rows of ``tenant_id``, None if there is none, in one round trip.

    For what is asked all the time: the question is planned anew each time, but nobody waits for three answers.
    """
    return await _at_once(pool, f"select {_AS_APP}, {_of_tenant(tenant_id)}; {question}", values)


async def _at_once(pool: Pool, statements: str, values: Mapping[str, Any]) -> DictRow | None:
    async with _connected(pool) as connection:
        cursor = psycopg.AsyncClientCursor(connection, row_factory=dict_row)
        await cursor.execute(statements, values)
        cursor.nextset()
        return await cursor.fetchone()


async def enter_tenant(connection: Connection, tenant_id: UUID) -> None:
    """See the rows of another tenant from here on, in the same transaction: its commit is shared by several tenants."""
    await connection.execute("select set_config('app.tenant', %s, true)", [str(tenant_id)])


def system_transaction(pool: Pool) -> AbstractAsyncContextManager[Connection]:
    """One transaction in the role paywarden_system, for work that has no tenant: key look-up, due work, invariants."""
    return _transaction(pool, "begin; select set_config('role', 'paywarden_system', true)")


async def retrying(work: Callable[[], Awaitable[Result]]) -> Result:
    """The result of ``work``, run again up to three times when the database chose it as a deadlock's victim.

    ``work`` opens its transaction itself and must do nothing outside it. Raises OverloadedError after the last try.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return await work()
        except (DeadlockDetected, SerializationFailure):
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - not a secret
    try:
        return await work()
    except (DeadlockDetected, SerializationFailure) as error:
        raise _overloaded() from error


@asynccontextmanager
async def _transaction(pool: Pool, opening: str) -> AsyncIterator[Connection]:
    async with _connected(pool) as connection:
        # Begin, role and tenant in one round trip; two commands in one text cannot be a prepared statement.
        await connection.execute(opening, prepare=False)
        yield connection
        _refuse_silent_rollback(connection)


@asynccontextmanager
async def _connected(pool: Pool) -> AsyncIterator[Connection]:
    try:
        async with borrowed(pool) as connection:
            yield connection
    except (DeadlockDetected, SerializationFailure):
        raise
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise _overloaded() from error


def _refuse_silent_rollback(connection: Connection) -> None:
    """COMMIT of a failed transaction rolls back and reports success; that must not look like a commit."""
    if connection.pgconn.transaction_status == TransactionStatus.INERROR:
        raise InFailedSqlTransaction("a statement of this transaction failed and its error was dropped")


def _overloaded() -> OverloadedError:
    return OverloadedError("the database is busy or restarting", retry_after_seconds=1)
