"""Operations at a provider: the row is written and committed before anything is sent.

The stored key and the byte-identical body are the only fence that reaches the provider (money.md 3).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db.sql import load

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]
OperationKind = Literal["submit", "confirm", "refund", "payout"]


@dataclass(frozen=True, slots=True)
class Operation:
    """A stored intention. ``attempts`` counts those that may have reached the provider; its lease is the payment's."""

    id: UUID
    payment_id: UUID
    kind: OperationKind
    provider: str
    provider_account: str
    our_reference: str
    idempotency_key: str
    path: str
    body: bytes
    status: str
    attempts: int
    first_sent_at: datetime | None
    age_seconds: float
    provider_id: str | None
    last_error: str | None
    lease_left_seconds: float


def _from_row(row: dict[str, Any]) -> Operation:
    return Operation(**{name: row[name] for name in Operation.__slots__} | {"body": bytes(row["body"])})


async def insert(connection: Connection, values: dict[str, Any]) -> None:
    """Store an intention with its first attempt counted; to be committed before it is sent."""
    await connection.execute(SQL.insert_operation, values)


async def latest(connection: Connection, payment_id: UUID) -> Operation | None:
    """The payment's present operation: the newest one."""
    row = await (await connection.execute(SQL.latest_operation, {"payment_id": payment_id})).fetchone()
    return None if row is None else _from_row(row)


async def all_of_payment(connection: Connection, payment_id: UUID) -> list[dict[str, Any]]:
    """Every operation of a payment for its dossier, oldest first."""
    return await (await connection.execute(SQL.operations_of_payment, {"payment_id": payment_id})).fetchall()


async def count_attempt(connection: Connection, operation_id: UUID, fence: int, lease_until: datetime | None) -> bool:
    """Count one more attempt of the same request before it is sent again; False when the fence is old."""
    values = {"id": operation_id, "fence": fence, "lease_until": lease_until}
    return (await connection.execute(SQL.count_attempt, values)).rowcount == 1


async def lock_attempts(connection: Connection, operation_id: UUID) -> int:
    """How often it may have been sent by now, by anybody; locked until the transaction ends."""
    row = await (await connection.execute(SQL.lock_attempts, {"id": operation_id})).fetchone()
    return 0 if row is None else int(row["attempts"])


async def take_back_attempt(connection: Connection, operation_id: UUID, fence: int, reason: str) -> None:
    """The attempt made under this fence provably did not reach the provider: it does not count."""
    await connection.execute(SQL.take_back_attempt, {"id": operation_id, "fence": fence, "reason": reason})


async def record(
    connection: Connection,
    operation_id: UUID,
    status: Literal["outcome_unknown", "accepted", "declined", "invalid"],
    *,
    provider_id: str | None = None,
    error: str | None = None,
) -> None:
    """What came of it. An accepted operation stays accepted, and silence does not undo a refusal."""
    values = {"id": operation_id, "status": status, "provider_id": provider_id, "error": error}
    await connection.execute(SQL.record_operation, values)
