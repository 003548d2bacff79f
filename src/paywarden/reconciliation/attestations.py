"""What people say became of a payment whose outcome nobody can know otherwise. Two who agree clear it (money.md 3)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db.sql import load
from paywarden.kit import ids

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]
Outcome = Literal["succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody saw at the provider. ``reference`` says where it can be looked up again.

    ``provider_payment_id`` is the provider's id of it, if it has one.
    """

    outcome: Outcome
    reference: str
    provider_payment_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attestation:
    """One person's word on one payment."""

    id: UUID
    principal_id: UUID
    word: Word
    reason: str | None
    created_at: datetime


async def insert(connection: Connection, payment_id: UUID, principal_id: UUID, word: Word, reason: str | None) -> None:
    """Store a word. The database refuses the initiator, and whoever is no active person with the role ``settle``."""
    who = {"id": ids.new_uuid(), "payment_id": payment_id, "principal_id": principal_id, "reason": reason}
    await connection.execute(SQL.insert_attestation, who | asdict(word))


async def standing(connection: Connection, payment_id: UUID) -> Sequence[Attestation]:
    """The newest word of each person who may still say it, oldest first."""
    rows = await (await connection.execute(SQL.standing_attestations, {"payment_id": payment_id})).fetchall()
    return [
        Attestation(
            row["id"],
            row["principal_id"],
            Word(row["outcome"], row["reference"], row["provider_payment_id"]),
            row["reason"],
            row["created_at"],
        )
        for row in rows
    ]


async def of_payment(connection: Connection, payment_id: UUID) -> list[dict[str, Any]]:
    """Everything that was ever said about a payment, with the names of who said it, oldest first."""
    return await (await connection.execute(SQL.attestations_of_payment, {"payment_id": payment_id})).fetchall()
