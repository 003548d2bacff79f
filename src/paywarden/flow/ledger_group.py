"""The ledger's door for many callers at once: what arrives together is written in one commit, tenants side by side."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import count, islice
from uuid import UUID

from paywarden.db.pool import Pool
from paywarden.db.transaction import at_once, retrying
from paywarden.flow.batch import GroupCommit
from paywarden.ledger import door
from paywarden.ledger.intents import Intent, Outcome

Intents = Sequence[Intent]


class LedgerGroup:
    """Writes the intents of one request after another, many requests in a commit."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._group: GroupCommit[Intents, list[Outcome]] = GroupCommit(self._write, size_of=len)

    async def write(self, tenant_id: UUID, intents: Intents) -> list[Outcome]:
        """One outcome for each intent, once it is durable. Raises OverloadedError: nobody knows what was written."""
        return await self._group.submit(tenant_id, intents)

    async def _write(self, members: Sequence[tuple[UUID, Intents]]) -> list[list[Outcome]]:
        slices: dict[UUID, list[tuple[int, Intent]]] = defaultdict(list)
        for place, (tenant_id, intent) in enumerate((tenant, each) for tenant, own in members for each in own):
            slices[tenant_id].append((place, intent))
        in_order = sorted(slices.items())
        answers = await write(self._pool, [(tenant, [intent for _, intent in part]) for tenant, part in in_order])
        outcomes: dict[int, Outcome] = {}
        for (_, part), told in zip(in_order, answers, strict=True):
            outcomes |= {place: outcome for (place, _), outcome in zip(part, told, strict=True)}
        arrived = (outcomes[place] for place in count())
        return [list(islice(arrived, len(own))) for _, own in members]


async def write(pool: Pool, slices: Sequence[tuple[UUID, Intents]]) -> list[list[Outcome]]:
    """Write slices of several tenants, in the order of tenants and each once, in one commit and one round trip."""
    return await retrying(lambda: door.write_group(partial(at_once, pool), slices))
