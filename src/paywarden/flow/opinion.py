"""Opinion: ask the adviser within the tenant's money for advice. Who has none left is looked after by people."""

from datetime import date
from uuid import UUID

from paywarden.db.transaction import retrying, transaction
from paywarden.decisions import budget
from paywarden.decisions.advice import Snapshot
from paywarden.decisions.adviser import AdviceRecord, consult, escalation
from paywarden.flow.desk import Desk


async def opinion(desk: Desk, tenant_id: UUID, snapshot: Snapshot) -> AdviceRecord:
    """The adviser's record; an escalation when it fails, or when the day's budget cannot bear the most it may cost.

    A call whose cost nobody learned (it broke off, or this process died) counts with the most it may have cost.
    """
    most_micro_usd = desk.adviser.most_micro_usd(snapshot)
    if most_micro_usd == 0:
        return await consult(desk.adviser, snapshot, desk.settings.adviser_timeout_seconds)
    day = await retrying(lambda: _reserve(desk, tenant_id, most_micro_usd))
    if day is None:
        budget_usd = f"{desk.settings.adviser_budget_usd:.2f} USD"
        failure = f"adviser_budget: too little is left of this tenant's {budget_usd} for advice today"
        return escalation(desk.adviser.name, failure, latency_ms=0)
    record = await consult(desk.adviser, snapshot, desk.settings.adviser_timeout_seconds)
    if record.cost_micro_usd is not None:
        cost_micro_usd = record.cost_micro_usd
        await retrying(lambda: _settle(desk, tenant_id, day, most_micro_usd, cost_micro_usd))
    return record


async def _reserve(desk: Desk, tenant_id: UUID, most_micro_usd: int) -> date | None:
    async with transaction(desk.pool, tenant_id) as connection:
        return await budget.reserve(connection, most_micro_usd, int(desk.settings.adviser_budget_usd * 1_000_000))


async def _settle(desk: Desk, tenant_id: UUID, day: date, most_micro_usd: int, cost_micro_usd: int) -> None:
    async with transaction(desk.pool, tenant_id) as connection:
        await budget.settle(connection, day, most_micro_usd, cost_micro_usd)
