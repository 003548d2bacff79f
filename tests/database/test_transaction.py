"""Transactions on the real server: who we are inside, what is kept, and what an outage looks like to a caller."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from paywarden.db.embedded import SERVICE, SUPERUSER, EmbeddedServer
from paywarden.db.migrate import migrate
from paywarden.db.pool import Connection, Pool, open_pool
from paywarden.db.transaction import at_once, first_row, retrying, system_transaction, transaction
from paywarden.kit.errors import ConfigurationError, OverloadedError
from paywarden.settings import Settings
from tests.conftest import Database

TENANT = UUID("0190163d-8694-739b-aea5-966c26f8ad90")
IDENTITY = "select current_user as role, session_user as login, current_setting('app.tenant', true) as tenant"


async def one(connection: Connection, statement: str) -> dict[str, Any] | None:
    return await (await connection.execute(statement)).fetchone()


async def tenants(pool: Pool) -> list[str]:
    async with system_transaction(pool) as connection:
        cursor = await connection.execute("select name from paywarden.tenants where name <> 'quickstart'")
        return [row["name"] for row in await cursor.fetchall()]


async def insert_tenant(connection: Connection, name: str) -> None:
    await connection.execute(
        "insert into paywarden.tenants (id, name, environment) values (%s, %s, 'test')", [uuid4(), name]
    )


@pytest.mark.both_versions
async def test_role_and_tenant_hold_inside_and_are_gone_afterwards(pool: Pool) -> None:
    async with transaction(pool, TENANT) as connection:
        inside = await one(connection, IDENTITY)
    assert inside == {"role": "paywarden_app", "login": "paywarden_service", "tenant": str(TENANT)}
    async with system_transaction(pool) as connection:
        system = await one(connection, IDENTITY)
    assert system is not None
    assert (system["role"], system["tenant"] or "") == ("paywarden_system", "")
    async with pool.connection() as connection:
        outside = await one(connection, IDENTITY)
    assert outside is not None
    assert (outside["role"], outside["tenant"] or "") == ("paywarden_service", "")


@pytest.mark.both_versions
async def test_one_statement_at_once_is_a_transaction_of_its_own_in_its_role(pool: Pool) -> None:
    told = await at_once(pool, f"{IDENTITY}, %(given)s as given", {"given": "it's"})
    assert (told["role"], told["login"], told["tenant"] or "") == ("paywarden_app", "paywarden_service", "")
    assert told["given"] == "it's"
    async with pool.connection() as connection:
        outside = await one(connection, IDENTITY)
    assert outside is not None
    assert outside["role"] == "paywarden_service"


@pytest.mark.both_versions
async def test_the_first_row_of_a_question_is_found_in_its_role_and_tenant_and_leaves_nothing(pool: Pool) -> None:
    found = await first_row(pool, TENANT, f"{IDENTITY}, %(given)s as given", {"given": b"\x00'"})
    assert found == {
        "role": "paywarden_app", "login": "paywarden_service", "tenant": str(TENANT), "given": b"\x00'"
    }  # fmt: skip
    assert await first_row(pool, TENANT, "select 1 where %(no)s", {"no": False}) is None
    async with pool.connection() as connection:
        outside = await one(connection, IDENTITY)
    assert outside is not None
    assert (outside["role"], outside["tenant"] or "") == ("paywarden_service", "")


async def test_what_fails_at_the_commit_of_one_statement_is_told_and_undone(pool: Pool, database: Database) -> None:
    key, tenant = str(uuid4()), uuid4()
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            "insert into paywarden.tenants (id, name, environment) values (%s, %s, 'test')", [tenant, key]
        )
        connection.execute(
            "insert into paywarden.principals (tenant_id, id, kind, name, roles) values (%s, %s, 'agent', 'a', '{}')",
            [tenant, tenant],
        )
    # No payment has this id, which is looked at when all is written.
    statement = """
        select set_config('app.tenant', %(tenant)s::text, true);
        insert into paywarden.idempotency_keys (
            tenant_id, principal_id, key, fingerprint, payment_id, lease_until, created_at, expires_at)
        values (%(tenant)s, %(tenant)s, %(key)s, sha256('a'), %(tenant)s, now(), now(), now())"""
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await at_once(pool, statement, {"tenant": tenant, "key": key})
    with psycopg.connect(database.superuser_url) as connection:
        found = connection.execute("select from paywarden.idempotency_keys where key = %s", [key])
        assert found.fetchall() == []


async def test_the_service_has_no_rights_outside_a_transaction(pool: Pool) -> None:
    async with pool.connection() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("select * from paywarden.tenants")


async def test_the_end_commits_and_an_error_rolls_back(pool: Pool) -> None:
    async def fail() -> None:
        async with transaction(pool, TENANT) as connection:
            await insert_tenant(connection, "dropped")
            raise LookupError

    async with transaction(pool, TENANT) as connection:
        await insert_tenant(connection, "kept")
    with pytest.raises(LookupError):
        await fail()
    assert await tenants(pool) == ["kept"]


async def test_a_cancelled_task_leaves_nothing_behind(pool: Pool) -> None:
    inserted = asyncio.Event()

    async def work() -> None:
        async with transaction(pool, TENANT) as connection:
            await insert_tenant(connection, "cancelled")
            inserted.set()
            await connection.execute("select pg_sleep(60)")

    task = asyncio.create_task(work())
    await inserted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)
    assert await tenants(pool) == []


async def test_a_dropped_error_is_not_taken_for_a_commit(pool: Pool) -> None:
    async def work() -> None:
        async with transaction(pool, TENANT) as connection:
            await insert_tenant(connection, "lost")
            with pytest.raises(psycopg.errors.UndefinedTable):
                await connection.execute("select * from nowhere")

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        await work()
    assert await tenants(pool) == []


async def test_a_savepoint_saves_the_rest(pool: Pool) -> None:
    async with transaction(pool, TENANT) as connection:
        await insert_tenant(connection, "kept")
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with connection.transaction():
                await insert_tenant(connection, "kept")
    assert await tenants(pool) == ["kept"]


async def test_a_full_pool_is_an_overload(database: Database, settings: Settings) -> None:
    narrow = settings.model_copy(update={"pool_min": 1, "pool_max": 1, "pool_timeout_seconds": 0.2})
    async with open_pool(database.service_url, narrow) as pool, transaction(pool, TENANT):
        with pytest.raises(OverloadedError) as caught:
            async with transaction(pool, TENANT):
                pass
    assert caught.value.retry_after_seconds == 1


async def test_a_connection_lost_in_the_middle_is_an_overload(database: Database, pool: Pool) -> None:
    async def work() -> None:
        async with transaction(pool, TENANT) as connection:
            await insert_tenant(connection, "in flight")
            terminate_sessions(database)
            await one(connection, "select 1")

    with pytest.raises(OverloadedError):
        await work()
    assert await tenants(pool) == []


async def test_a_connection_lost_at_commit_is_an_overload(database: Database, pool: Pool) -> None:
    async def work() -> None:
        async with transaction(pool, TENANT) as connection:
            await insert_tenant(connection, "in flight")
            terminate_sessions(database)

    with pytest.raises(OverloadedError):
        await work()
    assert await tenants(pool) == []


async def test_sessions_ended_while_idle_are_not_noticed_by_callers(database: Database, settings: Settings) -> None:
    wide = settings.model_copy(update={"pool_min": 8, "pool_max": 8})
    async with open_pool(database.service_url, wide) as pool:
        await pool.wait()
        terminate_sessions(database)
        assert await tenants(pool) == []


def terminate_sessions(database: Database) -> None:
    """End every session of the service and wait until the server has let go of them."""
    theirs = f"from pg_stat_activity where usename = 'paywarden_service' and datname = '{database.name}'"
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        assert connection.execute(f"select pg_terminate_backend(pid, 5000) {theirs}").fetchall()


async def test_deadlocks_are_tried_again_and_then_an_overload(pool: Pool) -> None:
    attempts = 0

    async def fails_until(success: int) -> str:
        nonlocal attempts
        attempts += 1
        if attempts < success:
            raise psycopg.errors.DeadlockDetected
        return "done"

    assert await retrying(lambda: fails_until(4)) == "done"
    assert attempts == 4
    attempts = 0
    with pytest.raises(OverloadedError):
        await retrying(lambda: fails_until(100))
    assert attempts == 4


async def test_two_transactions_that_lock_crosswise_both_succeed_with_retries(pool: Pool) -> None:
    both_hold_one = asyncio.Barrier(2)
    starts = 0

    async def lock_in_order(first: int, second: int) -> None:
        nonlocal starts
        starts += 1
        patient = starts <= 2
        async with transaction(pool, TENANT) as connection:
            await connection.execute("select pg_advisory_xact_lock(%s)", [first])
            if patient:
                await both_hold_one.wait()
            await connection.execute("select pg_advisory_xact_lock(%s)", [second])

    async with asyncio.timeout(20):
        await asyncio.gather(retrying(lambda: lock_in_order(1, 2)), retrying(lambda: lock_in_order(2, 1)))
    assert starts == 3


async def test_a_login_that_cannot_take_the_roles_is_refused_at_start(database: Database, settings: Settings) -> None:
    database.server.administer("revoke paywarden_system from paywarden_service granted by migrator")
    try:
        with pytest.raises(ConfigurationError, match="cannot take the role paywarden_system; run: paywarden migrate"):
            async with open_pool(database.service_url, settings):
                pass
    finally:
        database.server.administer(
            "set role migrator", "grant paywarden_system to paywarden_service with inherit false"
        )
    nobody = database.service_url.replace("paywarden_service", "stranger")
    with pytest.raises(ConfigurationError, match="cannot connect"):
        async with open_pool(nobody, settings):
            pass


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A server of this test alone, with the service's database."""
    server = EmbeddedServer(tmp_path)
    server.start()
    try:
        server.bootstrap()
        migrate(server.connection_url(SUPERUSER), server.connection_url(SERVICE))
        yield server
    finally:
        server.stop()


async def test_the_pool_heals_after_the_database_was_killed(own_server: EmbeddedServer) -> None:
    url = own_server.connection_url(SERVICE)
    settings = Settings.load(_env_file=None, database_url=url, pool_min=4, pool_timeout_seconds=0.5)
    async with open_pool(url, settings) as pool:
        async with transaction(pool, TENANT) as connection:
            await insert_tenant(connection, "acknowledged")
        assert own_server.pid is not None
        os.kill(own_server.pid, signal.SIGKILL)
        # A backend may outlive its postmaster for a moment.
        await refused(pool, limit_seconds=20)
        own_server.restart()
        assert await eventually(pool, limit_seconds=10) == ["acknowledged"]


async def refused(pool: Pool, limit_seconds: float) -> None:
    """Ask until the answer is OverloadedError; any other error fails the test."""
    async with asyncio.timeout(limit_seconds):
        while True:
            try:
                await tenants(pool)
            except OverloadedError:
                return
            await asyncio.sleep(0.05)


async def eventually(pool: Pool, limit_seconds: float) -> list[str]:
    """What a caller that retries on overload gets within the limit."""
    async with asyncio.timeout(limit_seconds):
        while True:
            try:
                return await tenants(pool)
            except OverloadedError:
                await asyncio.sleep(0.05)
