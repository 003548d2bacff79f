"""One effect for one key: (tenant, principal, key) names the fingerprint of the first request and its payment.

No answer is stored: a replay is rebuilt from the row's present state. Source: money.md 4, and
draft-ietf-httpapi-idempotency-key-header for the words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from paywarden.db import columns
from paywarden.db.sql import load
from paywarden.kit.errors import IdempotencyInProgressError, IdempotencyKeyReusedError

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]


class IdempotentRequest(Struct, frozen=True):
    """A key and the SHA-256 of (method, path, query, canonical body) of the request that carries it."""

    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """What stands under a key: a payment or a top-up. ``running``: its first call's lease still lives."""

    fingerprint: bytes
    payment_id: UUID | None
    top_up_id: UUID | None
    running: bool
    retry_after_seconds: int


async def register(
    connection: Connection, principal_id: UUID, request: IdempotentRequest, payment_id: UUID, lease_seconds: float
) -> bool:
    """Store the key for this payment; False when the key stands already (waits for a first call that commits)."""
    return await _store(connection, principal_id, request, payment_id=payment_id, lease_seconds=lease_seconds)


async def register_top_up(
    connection: Connection, principal_id: UUID, request: IdempotentRequest, top_up_id: UUID
) -> bool:
    """Store the key for this top-up of credit, which is whole when it commits: no lease. False as above."""
    return await _store(connection, principal_id, request, top_up_id=top_up_id, lease_seconds=0)


async def _store(connection: Connection, principal_id: UUID, request: IdempotentRequest, **stored: Any) -> bool:
    values = {
        "principal_id": principal_id,
        "key": request.key,
        "fingerprint": request.fingerprint,
        "payment_id": None,
        "top_up_id": None,
        **stored,
    }
    return (await connection.execute(SQL.register_key, values)).rowcount == 1


class Registration(Struct, frozen=True):
    """A key to be stored for a payment, running for ``lease_seconds``."""

    principal_id: UUID
    request: IdempotentRequest
    payment_id: UUID
    lease_seconds: float


async def register_all(connection: Connection, wanted: Sequence[Registration]) -> set[UUID]:
    """Store keys for payments, no key twice; the payments whose key was new."""
    values = {
        "principal_ids": columns.uuids(each.principal_id for each in wanted),
        "keys": columns.texts(each.request.key for each in wanted),
        "fingerprints": columns.hexadecimal(each.request.fingerprint for each in wanted),
        "payment_ids": columns.uuids(each.payment_id for each in wanted),
        "leases_seconds": columns.plain(each.lease_seconds for each in wanted),
    }
    rows = await (await connection.execute(SQL.register_keys, values)).fetchall()
    return {row["payment_id"] for row in rows}


async def look_up(connection: Connection, principal_id: UUID, key: str) -> Stored | None:
    """What stands under this key of this principal."""
    row = await (await connection.execute(SQL.stored_key, {"principal_id": principal_id, "key": key})).fetchone()
    if row is None:
        return None
    return Stored(
        bytes(row["fingerprint"]), row["payment_id"], row["top_up_id"], row["running"], row["retry_after_seconds"]
    )


async def earlier(connection: Connection, principal_id: UUID, request: IdempotentRequest) -> Stored | None:
    """What an earlier request with this key made, None for a new key.

    Raises IdempotencyKeyReusedError for another request, IdempotencyInProgressError while the first is answered.
    """
    stored = await look_up(connection, principal_id, request.key)
    if stored is None:
        return None
    if stored.fingerprint != request.fingerprint:
        raise IdempotencyKeyReusedError("This Idempotency-Key was used for another request; use a new key.")
    if stored.running:
        raise IdempotencyInProgressError(
            "The first request with this key is still being answered.", retry_after_seconds=stored.retry_after_seconds
        )
    return stored


async def finish(connection: Connection, principal_id: UUID, key: str) -> None:
    """The first call has answered: from now on a repeat is a replay."""
    await connection.execute(SQL.finish_key, {"principal_id": principal_id, "key": key})


async def forget_expired(connection: Connection) -> int:
    """Delete this tenant's keys older than 30 days; how many there were."""
    return (await connection.execute(SQL.forget_keys)).rowcount
