"""The ledger's door for many callers at once: what arrives together is written in one commit, tenants side by side."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from paywarden.db.pool import Pool
from paywarden.db.transaction import at_once, retrying
from paywarden.flow.batch import GroupCommit
from paywarden.ledger import door
from paywarden.ledger.intents import Intent, Outcome, Post, Reserve

Intents = Sequence[Intent]
_Placed = tuple[int, UUID, Intent]


class LedgerGroup:
    """Writes the intents of one request after another, many requests in a commit."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._group: GroupCommit[Intents, list[Outcome]] = GroupCommit(self._write, size_of=len)

    async def write(self, tenant_id: UUID, intents: Intents) -> list[Outcome]:
        """One outcome for each intent, once it is durable. Raises OverloadedError: nobody knows what was written."""
        return await self._group.submit(tenant_id, intents)

    async def _write(self, members: Sequence[tuple[UUID, Intents]]) -> list[list[Outcome]]:
        """A key that comes twice waits for the next commit, which then finds it stored."""
        given = [(tenant_id, intent) for tenant_id, intents in members for intent in intents]
        left: list[_Placed] = [(place, tenant_id, intent) for place, (tenant_id, intent) in enumerate(given)]
        outcomes: dict[int, Outcome] = {}
        while left:
            slices, left = _first_of_each_key(left)
            answers = await write(self._pool, [(tenant, [intent for _, intent in part]) for tenant, part in slices])
            for (_, part), told in zip(slices, answers, strict=True):
                outcomes |= {place: outcome for (place, _), outcome in zip(part, told, strict=True)}
        in_order = iter([outcomes[place] for place in range(len(given))])
        return [[next(in_order) for _ in intents] for _, intents in members]


async def write(pool: Pool, slices: Sequence[tuple[UUID, Intents]]) -> list[list[Outcome]]:
    """Write slices of several tenants, in the order of tenants and each once, in one commit and one round trip."""
    return await retrying(lambda: door.write_group(partial(at_once, pool), slices))


def _first_of_each_key(placed: Sequence[_Placed]) -> tuple[list[tuple[UUID, list[tuple[int, Intent]]]], list[_Placed]]:
    """A slice for each tenant in the order of tenants, and what has to wait because its key is in there already."""
    slices: dict[UUID, list[tuple[int, Intent]]] = {}
    seen: set[tuple[UUID, UUID, str]] = set()
    waiting: list[_Placed] = []
    for place, tenant_id, intent in placed:
        key = intent.key if isinstance(intent, Reserve | Post) else None
        if key is not None:
            named = (tenant_id, key.principal_id, key.key)
            if named in seen:
                waiting.append((place, tenant_id, intent))
                continue
            seen.add(named)
        slices.setdefault(tenant_id, []).append((place, intent))
    return sorted(slices.items()), waiting
