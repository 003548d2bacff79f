"""Holds at the billing gate for whoever looks: one, or a page of them."""

from typing import Literal
from uuid import UUID

from paywarden.db.transaction import transaction
from paywarden.flow.desk import Actor, Desk
from paywarden.flow.held import ABSENT, Hold, hold_of, ledger_status
from paywarden.kit.errors import NotFoundError
from paywarden.ledger import gates

HoldStatus = Literal["pending", "captured", "released", "expired"]


async def find(desk: Desk, actor: Actor, hold_id: UUID) -> Hold:
    """One hold of the tenant. Raises NotFoundError."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        row = await gates.find(connection, hold_id)
    if row is None:
        raise NotFoundError(ABSENT)
    return hold_of(row)


async def page(
    desk: Desk,
    actor: Actor,
    *,
    limit: int,
    after: UUID | None = None,
    status: HoldStatus | None = None,
    customer_id: str | None = None,
) -> list[Hold]:
    """Holds of the tenant, newest first, after the hold ``after``."""
    wanted = None if status is None else ledger_status(status)
    async with transaction(desk.pool, actor.tenant_id) as connection:
        rows = await gates.page(connection, limit=limit, after=after, status=wanted, customer_id=customer_id)
    return [hold_of(row) for row in rows]
