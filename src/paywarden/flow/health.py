"""Whether this process can do its work, and what an operator wants on a graph."""

from typing import Any

from paywarden.db.revisions import is_current
from paywarden.db.transaction import system_transaction
from paywarden.flow.desk import Desk
from paywarden.kit.errors import OverloadedError
from paywarden.payments import queue


async def ready(desk: Desk) -> dict[str, Any]:
    """Raises OverloadedError when the database is not reachable, or not at this program's revision."""
    async with system_transaction(desk.pool) as connection:
        if not await is_current(connection):
            raise OverloadedError("The database is at another revision; migrate it.", retry_after_seconds=5)
        backlog = await queue.backlog(connection)
    return {"database": "ok", "due_payments": backlog["due"]}


async def gauges(desk: Desk) -> dict[str, float]:
    """Present values by metric name."""
    async with system_transaction(desk.pool) as connection:
        backlog = await queue.backlog(connection)
    return {
        "paywarden_due_payments": float(backlog["due"]),
        "paywarden_oldest_due_seconds": float(backlog["oldest_seconds"]),
        "paywarden_pool_waiting": float(desk.pool.get_stats().get("requests_waiting", 0)),
    }
