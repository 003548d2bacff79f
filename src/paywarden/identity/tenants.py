"""Tenants: the wall everything stands behind, its kill switch, and the count of changes of authority."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db.sql import load

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]
PRESENT = SQL.tenant_present
"""What ``find`` tells of the transaction's own tenant, as a question to begin it with."""
# Named literally by the policies of the read-only `quickstart` role (migration 0008).
QUICKSTART_TENANT_ID = UUID("01900000-0000-7000-8000-000000000001")


async def create(connection: Connection, tenant_id: UUID, name: str, environment: str) -> dict[str, Any] | None:
    """A new tenant; None when the name is taken."""
    values = {"id": tenant_id, "name": name, "environment": environment}
    return await (await connection.execute(SQL.insert_tenant, values)).fetchone()


async def find(connection: Connection, tenant_id: UUID) -> dict[str, Any] | None:
    """A tenant's row: id, name, environment, status, authority_version, and ``now`` by the database's clock."""
    return await (await connection.execute(SQL.tenant_by_id, {"id": tenant_id})).fetchone()


async def now(connection: Connection) -> datetime:
    """What time it is by the database's clock."""
    row = await (await connection.execute(SQL.clock_now)).fetchone()
    assert row is not None  # noqa: S101  a select without a table has a row
    return row["now"]  # type: ignore[no-any-return]


async def by_name(connection: Connection, name: str) -> dict[str, Any] | None:
    """A tenant's id, name, environment and status. Also for the system role."""
    return await (await connection.execute(SQL.tenant_by_name, {"name": name})).fetchone()


async def all_ids(connection: Connection) -> list[UUID]:
    """Every tenant, oldest first. For the system role."""
    return [row["id"] for row in await (await connection.execute(SQL.all_tenants)).fetchall()]


async def count_authority_change(connection: Connection) -> None:
    """Make every reservation that was guarded before this moment stale."""
    await connection.execute(SQL.count_authority_change)


async def set_status(connection: Connection, status: str) -> None:
    """The tenant's kill switch: ``suspended`` stops every request that moves money."""
    await connection.execute(SQL.set_tenant_status, {"status": status})
