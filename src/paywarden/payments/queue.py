"""The payment row as the queue: who works on it, until when, and what is due. The database's clock only."""

from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db.sql import load
from paywarden.payments.rows import Payment, from_row

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]


async def claim(
    connection: Connection, payment_id: UUID, lease_seconds: float, advice_lease_seconds: float
) -> Payment | None:
    """Take the lease of a payment that has a next step; None while somebody else holds it or nothing is to do.

    A payment that waits for advice gets the lease that covers an adviser, every other one that of a provider.
    """
    values = {"id": payment_id, "lease_seconds": lease_seconds, "advice_lease_seconds": advice_lease_seconds}
    row = await (await connection.execute(SQL.claim_payment, values)).fetchone()
    return None if row is None else from_row(row)


async def plan(connection: Connection, payment_id: UUID, fence: int, next_step_seconds: float | None) -> bool:
    """End the lease and say when the next step is due; False when the fence is old or the payment has ended."""
    values = {"id": payment_id, "fence": fence, "next_step_seconds": next_step_seconds}
    return (await connection.execute(SQL.plan_step, values)).rowcount == 1


async def due(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """(tenant_id, id) of payments whose next step is due and that nobody works on. Needs the system role."""
    return await (await connection.execute(SQL.due_payments, {"limit": limit})).fetchall()


async def expiring(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """(tenant_id, id) of payments that ran out of time before anything was sent. Needs the system role."""
    return await (await connection.execute(SQL.expiring_payments, {"limit": limit})).fetchall()


async def facts_overdue(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """(tenant_id, id) of payments that nobody gave the missing facts in time. Needs the system role."""
    return await (await connection.execute(SQL.facts_overdue, {"limit": limit})).fetchall()


async def backlog(connection: Connection) -> dict[str, Any]:
    """How many payments are due and how old the oldest due step is, in seconds. Needs the system role."""
    row = await (await connection.execute(SQL.backlog)).fetchone()
    return row or {}


async def claim_for_request(connection: Connection, payment_id: UUID, lease_seconds: float) -> Payment | None:
    """Take the lease of a payment that waits for a request and has no next step of its own."""
    values = {"id": payment_id, "lease_seconds": lease_seconds}
    row = await (await connection.execute(SQL.claim_for_request, values)).fetchone()
    return None if row is None else from_row(row)
