"""What a run may spend on a model: the most a call can cost is set aside before it is made."""


class Purse:
    """Millionths of a US dollar. A call whose cost nobody learned counts with the most it may have cost."""

    def __init__(self, budget_micro_usd: int) -> None:
        self._left_micro_usd = budget_micro_usd

    def reserve(self, most_micro_usd: int) -> bool:
        """Set it aside; False when too little is left, and then the call must not be made."""
        if most_micro_usd > self._left_micro_usd:
            return False
        self._left_micro_usd -= most_micro_usd
        return True

    def settle(self, most_micro_usd: int, cost_micro_usd: int | None) -> None:
        """Give back what a call did not cost."""
        if cost_micro_usd is not None:
            self._left_micro_usd += most_micro_usd - cost_micro_usd
