"""Where two truths do not agree. One open row per kind and subject, however often it is seen."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from paywarden.db.sql import load
from paywarden.kit import ids

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]


async def open_discrepancy(
    connection: Connection, kind: str, subject: str, *, payment_id: UUID | None = None, **detail: Any
) -> None:
    """Open a discrepancy unless the same one is open; ``subject`` says what it is about."""
    values = {
        "id": ids.new_uuid(),
        "kind": kind,
        "subject": subject,
        "payment_id": payment_id,
        "detail": Jsonb(detail),
    }
    await connection.execute(SQL.insert_discrepancy, values)


async def resolve(connection: Connection, kind: str, subject: str) -> None:
    """The two truths agree now."""
    await connection.execute(SQL.resolve_discrepancy, {"kind": kind, "subject": subject})


async def resolve_gone(
    connection: Connection, kinds: Iterable[str], subjects: Iterable[str], found: Sequence[tuple[str, str]]
) -> None:
    """Of these kinds and subjects, resolve whatever is open and not among the (kind, subject) found now."""
    values = {
        "kinds": list(kinds),
        "subjects": list(subjects),
        "found_kinds": [kind for kind, _ in found],
        "found_subjects": [subject for _, subject in found],
    }
    await connection.execute(SQL.resolve_gone, values)


async def of_tenant(connection: Connection, status: str = "open", limit: int = 100) -> list[dict[str, Any]]:
    """Discrepancies in one status, newest first, with amount and currency of the payment they are about, if any."""
    return await (await connection.execute(SQL.list_discrepancies, {"status": status, "limit": limit})).fetchall()


async def of_payment(connection: Connection, payment_id: UUID) -> list[dict[str, Any]]:
    """The discrepancies of one payment, oldest first."""
    return await (await connection.execute(SQL.discrepancies_of_payment, {"payment_id": payment_id})).fetchall()
