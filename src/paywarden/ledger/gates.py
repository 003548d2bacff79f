"""Holds at the billing gate, read. What changes them goes through the write door."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from paywarden.db.sql import load
from paywarden.ledger.intents import HoldRow

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]


def row_of(shown: Mapping[str, Any]) -> HoldRow:
    """The row of a hold as the database's JSON shows it."""
    return msgspec.convert(shown, HoldRow)


async def find(connection: Connection, hold_id: UUID) -> HoldRow | None:
    """One hold; None for what is not there or a payment's."""
    row = await (await connection.execute(SQL.gate_hold_by_id, {"id": hold_id})).fetchone()
    return None if row is None else row_of(row["hold"])


async def page(
    connection: Connection, *, limit: int, after: UUID | None, status: str | None, customer_id: str | None
) -> list[HoldRow]:
    """Holds, newest first, after the hold ``after``; ``status`` in the ledger's words."""
    values = {"limit": limit, "after_id": after, "status": status, "customer_id": customer_id}
    return [row_of(row["hold"]) for row in await (await connection.execute(SQL.list_gate_holds, values)).fetchall()]


async def tenants_with_lapsed(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """(tenant_id, id) of tenants with holds whose time is over; ``id`` is the tenant's, too. Needs the system role."""
    return await (await connection.execute(SQL.tenants_with_lapsed_holds, {"limit": limit})).fetchall()


async def lapsed(connection: Connection, limit: int) -> list[UUID]:
    """The tenant's holds whose time is over, the longest first."""
    return [row["id"] for row in await (await connection.execute(SQL.lapsed_holds, {"limit": limit})).fetchall()]
