"""Many payments at once: found, locked and ended in one statement each, as ``rows`` does for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db.sql import load
from paywarden.kit.states import Status
from paywarden.payments.rows import Kind, Payment, from_row

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ProviderName:
    """What a provider calls one of our payments."""

    provider: str
    account: str
    kind: Kind
    provider_payment_id: str


@dataclass(frozen=True, slots=True)
class End:
    """A provider's fact that ends a locked payment: what it became, and how much of it was taken."""

    payment: Payment
    status: Status
    source: str
    provider_id: str
    captured_minor: int
    late: bool
    event_at: datetime | None


async def lock_named(
    connection: Connection, names: Sequence[ProviderName]
) -> tuple[list[Payment | None], Mapping[UUID, Payment]]:
    """For each name the payment that carries it, or None; and the charges that are refunded by them, by id.

    All of them are locked, sorted by id, until the transaction ends (docs/decisions/0003-lock-order.md).
    """
    values = {
        "providers": [name.provider for name in names],
        "accounts": [name.account for name in names],
        "kinds": [name.kind for name in names],
        "provider_ids": [name.provider_payment_id for name in names],
    }
    matched = await (await connection.execute(SQL.payments_by_provider_ids, values)).fetchall()
    wanted = {row["id"] for row in matched} | {row["original_payment_id"] for row in matched}
    locked = await (await connection.execute(SQL.lock_payments, {"ids": list(wanted - {None})})).fetchall()
    payments = {row["id"]: from_row(row) for row in locked}
    found: list[Payment | None] = [None] * len(names)
    for row in matched:
        found[row["place"] - 1] = payments[row["id"]]
    return found, payments


async def end(connection: Connection, ends: Sequence[End]) -> None:
    """Move locked payments to their ends with their transitions, and count what was captured.

    Raises RuntimeError when one is not in the state in which it was locked.
    """
    values = {
        "ids": [each.payment.id for each in ends],
        "from": [each.payment.status.value for each in ends],
        "to": [each.status.value for each in ends],
        "sources": [each.source for each in ends],
        "provider_ids": [each.provider_id for each in ends],
        "captured": [each.captured_minor for each in ends],
        "lates": [each.late for each in ends],
        "event_ats": [each.event_at for each in ends],
    }
    moved = (await connection.execute(SQL.end_payments, values)).rowcount
    if moved != len(ends):
        raise RuntimeError(f"{moved} of {len(ends)} payments could be ended")


async def count_refunds(connection: Connection, ended: Sequence[End]) -> None:
    """Take refunds that were under way and have ended out of what their charges had set aside for them."""
    values = {
        "originals": [each.payment.original_payment_id for each in ended],
        "reserved": [each.payment.amount_minor for each in ended],
        "refunded": [each.captured_minor for each in ended],
    }
    await connection.execute(SQL.count_refunds, values)
