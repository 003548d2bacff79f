"""Whether the books of every tenant hold, asked beside the running service."""

from paywarden.audit import invariants
from paywarden.audit.invariants import Finding
from paywarden.db.transaction import system_transaction
from paywarden.flow.desk import Pool

__all__ = ["Finding", "check"]


async def check(pool: Pool) -> list[Finding]:
    """Every rule with the rows that break it. Raises when it cannot see every tenant."""
    async with system_transaction(pool) as connection:
        return await invariants.check(connection)
