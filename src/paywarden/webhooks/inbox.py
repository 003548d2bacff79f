"""The inbox of providers' events. A repeat finds its row and changes nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db.sql import load
from paywarden.kit import ids

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]
Closed = Literal["applied", "ignored", "disputed"]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A verified event as it came. ``event_key`` is the provider's id of it, else the SHA-256 of its body."""

    provider: str
    account: str
    event_key: str
    event_type: str
    body: bytes


async def store(connection: Connection, new: Sequence[NewEvent]) -> list[UUID | None]:
    """Store events in one statement; for each its row's id, or None when the same event is there already."""
    identities = [ids.new_uuid() for _ in new]
    values = {
        "ids": identities,
        "providers": [event.provider for event in new],
        "accounts": [event.account for event in new],
        "event_keys": [event.event_key for event in new],
        "event_types": [event.event_type for event in new],
        "bodies": [event.body for event in new],
    }
    rows = await (await connection.execute(SQL.insert_events, values)).fetchall()
    stored = {row["id"] for row in rows}
    return [identity if identity in stored else None for identity in identities]


async def find(connection: Connection, inbox_id: UUID) -> dict[str, Any] | None:
    """One stored event with its raw body."""
    return await (await connection.execute(SQL.event_by_id, {"id": inbox_id})).fetchone()


async def lock(connection: Connection, inbox_id: UUID) -> dict[str, Any] | None:
    """One stored event that still waits to be applied, locked; None when it is done."""
    return await (await connection.execute(SQL.lock_event, {"id": inbox_id})).fetchone()


async def claim(connection: Connection, inbox_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Of these stored events those that still wait, locked, in the order in which they came. Waits for nobody."""
    return await (await connection.execute(SQL.claim_events, {"ids": list(inbox_ids)})).fetchall()


async def close(
    connection: Connection,
    inbox_id: UUID,
    status: Closed,
    payment_id: UUID | None,
) -> None:
    """The event is dealt with."""
    await connection.execute(SQL.close_event, {"id": inbox_id, "status": status, "payment_id": payment_id})


async def close_all(connection: Connection, closed: Sequence[tuple[UUID, Closed, UUID | None]]) -> None:
    """These events are dealt with: (event, what became of it, its payment)."""
    identities, statuses, payment_ids = zip(*closed, strict=True)
    values = {"ids": list(identities), "statuses": list(statuses), "payment_ids": list(payment_ids)}
    await connection.execute(SQL.close_events, values)


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
    await connection.execute(SQL.lock_provider_id, {"name": _lock_name(tenant_id, account, provider_id)})


async def lock_provider_ids(connection: Connection, tenant_id: UUID, named: Iterable[tuple[str, str]]) -> None:
    """The same for several (account, id), in an order that all who take several keep to."""
    names = [_lock_name(tenant_id, account, provider_id) for account, provider_id in named]
    await connection.execute(SQL.lock_provider_ids, {"names": names})


def _lock_name(tenant_id: UUID, account: str, provider_id: str) -> str:
    return f"{tenant_id}/{account}/{provider_id}"


async def endpoint_tenant(connection: Connection, endpoint_id: UUID) -> dict[str, Any] | None:
    """The tenant, provider account and secret's variable of an endpoint. Needs the system role."""
    return await (await connection.execute(SQL.endpoint_by_id, {"id": endpoint_id})).fetchone()


async def add_endpoint(connection: Connection, provider: str, account: str, secret_variable: str) -> UUID:
    """A new address for a provider's events; its secret stays in the environment under this name."""
    endpoint_id = ids.new_uuid()
    values = {"id": endpoint_id, "provider": provider, "account": account, "secret_variable": secret_variable}
    await connection.execute(SQL.insert_endpoint, values)
    return endpoint_id
