"""Append-only events. Written in the transaction of what they tell; data holds ids and amounts, never a secret."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from paywarden.db import columns
from paywarden.db.sql import load
from paywarden.kit import ids

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]
_encode = msgspec.json.Encoder().encode


async def record(
    connection: Connection,
    event_type: str,
    subject: tuple[str, UUID],
    *,
    principal_id: UUID | None = None,
    request_id: str | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Write one event about (kind, id), e.g. ``("payment", payment_id)``."""
    values = {
        "id": ids.new_uuid(),
        "type": event_type,
        "subject_kind": subject[0],
        "subject_id": subject[1],
        "principal_id": principal_id,
        "request_id": request_id,
        "data": Jsonb(data or {}),
    }
    await connection.execute(SQL.insert_event, values)


class Happened(msgspec.Struct, frozen=True):
    """One of several events, about (kind, id), and who brought it about in which request, if anybody did."""

    event_type: str
    subject: tuple[str, UUID]
    data: dict[str, Any]
    principal_id: UUID | None = None
    request_id: str | None = None


async def record_all(connection: Connection, happened: Sequence[Happened]) -> None:
    """Write several events in this order."""
    values = {
        "ids": columns.plain(ids.new_hex() for _ in happened),
        "types": columns.plain(each.event_type for each in happened),
        "subject_kinds": columns.plain(each.subject[0] for each in happened),
        "subject_ids": columns.uuids(each.subject[1] for each in happened),
        "principal_ids": columns.uuids(each.principal_id for each in happened),
        "request_ids": columns.texts(each.request_id for each in happened),
        "data": columns.texts(_encode(each.data).decode() for each in happened),
    }
    await connection.execute(SQL.insert_events, values)


async def of_subject(connection: Connection, subject_id: UUID) -> list[dict[str, Any]]:
    """The events of one subject in the order in which they were committed."""
    return await (await connection.execute(SQL.events_of_subject, {"subject_id": subject_id})).fetchall()
