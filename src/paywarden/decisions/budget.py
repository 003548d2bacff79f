"""What advice may cost a tenant on a day, in millionths of a US dollar: reserved before the call, settled after it."""

from datetime import date
from typing import Any

from psycopg import AsyncConnection

from paywarden.db.sql import load

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]


async def reserve(connection: Connection, most_micro_usd: int, budget_micro_usd: int) -> date | None:
    """Set aside the most that one call can cost; the day (UTC) it counts for, or None when too little is left."""
    await connection.execute(SQL.open_adviser_day)
    values = {"most_micro_usd": most_micro_usd, "budget_micro_usd": budget_micro_usd}
    row = await (await connection.execute(SQL.reserve_adviser_budget, values)).fetchone()
    return None if row is None else row["day"]


async def settle(connection: Connection, day: date, most_micro_usd: int, cost_micro_usd: int) -> None:
    """Give back what the call did not cost."""
    await connection.execute(
        SQL.settle_adviser_budget, {"day": day, "unused_micro_usd": most_micro_usd - cost_micro_usd}
    )
