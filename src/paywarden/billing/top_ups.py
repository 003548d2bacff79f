"""Top-ups: what a customer was given to use later, by whom and why, and whether it was taken back.

Insert-only; the ledger has the money.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db.sql import NEWEST, load
from paywarden.kit import ids
from paywarden.kit.money import display

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]
# Cash that came outside a provider, or a gift that is none.
Funding = Literal["prepaid", "granted"]


@dataclass(frozen=True, slots=True)
class NewTopUp:
    """How much credit a customer gets, in minor units. Prepaid cash names in ``reference`` where it arrived."""

    customer_id: str
    amount_minor: int
    currency: str
    funding: Funding = "prepaid"
    reference: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reversal:
    """That a top-up was taken back whole, by ``principal_id``."""

    principal_id: UUID
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TopUp:
    """A top-up as it was made by ``principal_id``; ``reversal`` None: it stands."""

    id: UUID
    principal_id: UUID
    customer_id: str
    funding: Funding
    amount_minor: int
    currency: str
    reference: str | None
    reason: str | None
    created_at: datetime
    reversal: Reversal | None = None

    @property
    def public_id(self) -> str:
        """The id as answers show it."""
        return ids.to_text("top", self.id)

    @property
    def display(self) -> str:
        """What a person reads: ``$25.00``."""
        return display(self.amount_minor, self.currency)


async def insert(connection: Connection, top_up_id: UUID, principal_id: UUID, new: NewTopUp) -> TopUp:
    """Store a top-up; the ledger is written beside it in the same transaction."""
    values = {"id": top_up_id, "principal_id": principal_id, **asdict(new)}
    row = await (await connection.execute(SQL.insert_top_up, values)).fetchone()
    assert row is not None  # noqa: S101  an insert returns its row
    return _from_row(row)


async def find(connection: Connection, top_up_id: UUID) -> TopUp | None:
    """One top-up, None for what is not there."""
    row = await (await connection.execute(SQL.top_up_by_id, {"id": top_up_id})).fetchone()
    return None if row is None else _from_row(row)


async def take_back(connection: Connection, top_up_id: UUID, principal_id: UUID, reason: str) -> bool:
    """Store that a top-up is taken back, beside the ledger as above; False when that was stored already."""
    values = {"top_up_id": top_up_id, "principal_id": principal_id, "reason": reason}
    return (await connection.execute(SQL.insert_reversal, values)).rowcount == 1


async def page(connection: Connection, *, limit: int, after: UUID | None, customer_id: str | None) -> list[TopUp]:
    """Top-ups of the tenant, newest first, after the top-up ``after``."""
    values = {"limit": limit, "after_id": after or NEWEST[1], "customer_id": customer_id}
    statement = SQL.list_top_ups if customer_id is None else SQL.list_top_ups_of_customer
    return [_from_row(row) for row in await (await connection.execute(statement, values)).fetchall()]


def _from_row(row: dict[str, Any]) -> TopUp:
    columns = {name: row[name] for name in TopUp.__dataclass_fields__ if name != "reversal"}
    if row.get("reversed_by") is None:
        return TopUp(**columns)
    return TopUp(**columns, reversal=Reversal(row["reversed_by"], row["reversal_reason"], row["reversed_at"]))
