"""What a run may spend on a model: the most a call can cost is set aside before it is made."""

import asyncio


class Purse:
    """Millionths of a US dollar. A call whose cost nobody learned counts with the most it may have cost."""

    def __init__(self, budget_micro_usd: int) -> None:
        self._left_micro_usd = budget_micro_usd
        self._out = 0
        self._changed = asyncio.Condition()

    async def reserve(self, most_micro_usd: int) -> bool:
        """Set it aside, once the calls that are out have left enough.

        False when no call is out any more and too little is left: then the call must not be made.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: most_micro_usd <= self._left_micro_usd or not self._out)
            if most_micro_usd > self._left_micro_usd:
                return False
            self._left_micro_usd -= most_micro_usd
            self._out += 1
            return True

    async def settle(self, most_micro_usd: int, cost_micro_usd: int | None) -> None:
        """A call ended: give back what it did not cost."""
        async with self._changed:
            self._out -= 1
            if cost_micro_usd is not None:
                self._left_micro_usd += most_micro_usd - cost_micro_usd
            self._changed.notify_all()
