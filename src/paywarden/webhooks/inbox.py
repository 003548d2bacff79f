"""The inbox of providers' events. A repeat finds its row and changes nothing."""

from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db.sql import load
from paywarden.kit import ids

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]


async def store(
    connection: Connection, *, provider: str, account: str, event_key: str, event_type: str, body: bytes
) -> UUID | None:
    """Store a verified event; its row's id, or None when the same event is there already."""
    values = {
        "id": ids.new_uuid(),
        "provider": provider,
        "account": account,
        "event_key": event_key,
        "event_type": event_type,
        "body": body,
    }
    row = await (await connection.execute(SQL.insert_event, values)).fetchone()
    return None if row is None else row["id"]


async def find(connection: Connection, inbox_id: UUID) -> dict[str, Any] | None:
    """One stored event with its raw body."""
    return await (await connection.execute(SQL.event_by_id, {"id": inbox_id})).fetchone()


async def lock(connection: Connection, inbox_id: UUID) -> dict[str, Any] | None:
    """One stored event that still waits to be applied, locked; None when it is done."""
    return await (await connection.execute(SQL.lock_event, {"id": inbox_id})).fetchone()


async def close(
    connection: Connection,
    inbox_id: UUID,
    status: Literal["applied", "ignored", "disputed"],
    payment_id: UUID | None,
) -> None:
    """The event is dealt with."""
    await connection.execute(SQL.close_event, {"id": inbox_id, "status": status, "payment_id": payment_id})


async def postpone(connection: Connection, inbox_id: UUID) -> dict[str, Any] | None:
    """No payment matches yet: try again later, with backoff of at most 30 s. Returns attempts and age in seconds."""
    return await (await connection.execute(SQL.postpone_event, {"id": inbox_id})).fetchone()


async def of_payment(connection: Connection, payment_id: UUID) -> list[dict[str, Any]]:
    """The events that were matched to a payment, oldest first, without their bodies."""
    return await (await connection.execute(SQL.events_of_payment, {"payment_id": payment_id})).fetchall()


async def due(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """(tenant_id, id) of events that wait to be applied. Needs the system role."""
    return await (await connection.execute(SQL.due_events, {"limit": limit})).fetchall()


async def lock_provider_id(connection: Connection, tenant_id: UUID, account: str, provider_id: str) -> None:
    """Take the advisory lock that orders "the event came" and "we stored the provider's id". First of all locks."""
    await connection.execute(SQL.lock_provider_id, {"name": f"{tenant_id}/{account}/{provider_id}"})


async def endpoint_tenant(connection: Connection, endpoint_id: UUID) -> dict[str, Any] | None:
    """The tenant, provider account and secret's variable of an endpoint. Needs the system role."""
    return await (await connection.execute(SQL.endpoint_by_id, {"id": endpoint_id})).fetchone()


async def add_endpoint(connection: Connection, provider: str, account: str, secret_variable: str) -> UUID:
    """A new address for a provider's events; its secret stays in the environment under this name."""
    endpoint_id = ids.new_uuid()
    values = {"id": endpoint_id, "provider": provider, "account": account, "secret_variable": secret_variable}
    await connection.execute(SQL.insert_endpoint, values)
    return endpoint_id
