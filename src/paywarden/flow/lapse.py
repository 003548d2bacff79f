"""Lapse: holds at the billing gate whose time is over go back to whom they were promised from."""

from uuid import UUID

from paywarden.db.transaction import retrying, transaction
from paywarden.flow.desk import Connection, Desk
from paywarden.ledger import door, gates
from paywarden.ledger.intents import Void

# As many as the gate itself writes in one commit.
_AT_ONCE = 128


class _ExtendedMeanwhileError(Exception):
    """A hold got more time between the look and the locks; nothing of this round may stay."""


async def expire_holds(desk: Desk, tenant_id: UUID, _: UUID) -> None:
    """Let the tenant's lapsed holds expire, a group to a commit. One that is extended at this moment stays."""

    async def once() -> None:
        async with transaction(desk.pool, tenant_id) as connection:
            await _expire(connection)

    try:
        await retrying(once)
    except _ExtendedMeanwhileError:
        # It is not lapsed any more; the others still are, so the next round finds them.
        return


async def _expire(connection: Connection) -> None:
    hold_ids = await gates.lapsed(connection, _AT_ONCE)
    if not hold_ids:
        return
    for outcome in await door.write(connection, [Void(hold_id, status="expired") for hold_id in hold_ids]):
        hold = outcome.hold
        if outcome.result != "ok" or hold is None or hold.expires_at is None or hold.closed_at is None:
            continue
        if hold.expires_at > hold.closed_at:
            raise _ExtendedMeanwhileError
