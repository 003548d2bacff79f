"""Carts at a checkout: small ones, large ones of shoppers who paid before, large ones of strangers."""

from dataclasses import dataclass
from typing import Literal

PRICES = {"desk": 42_000, "lamp": 3_900, "chair": 17_500}
"""Minor units of usd."""
TRUSTED_AT_FIRST_MINOR = 50_000
"""What somebody who never paid before may owe on trust, in minor units."""
# Three who stay with something small, three who come back for more, three who want much at once.
_SMALL: tuple[dict[str, int], ...] = (
    {"lamp": 1}, {"lamp": 2}, {"chair": 1}, {"chair": 2}, {"desk": 1}, {"lamp": 3, "chair": 1},
)  # fmt: skip
_LARGE: tuple[dict[str, int], ...] = ({"desk": 2}, {"desk": 1, "chair": 2}, {"chair": 4})


@dataclass(frozen=True, slots=True)
class Cart:
    """What somebody wants to buy. ``round`` 2 comes when the carts of round 1 are paid."""

    number: int
    round: Literal[1, 2]
    shopper: int
    items: dict[str, int]

    @property
    def amount_minor(self) -> int:
        """Its price in minor units of usd."""
        return sum(PRICES[item] * count for item, count in self.items.items())


def load_carts() -> list[Cart]:
    """The carts of a run: shoppers 1 to 6 buy something small, 4 to 6 come back, 7 to 9 are new and want much."""
    small = [(1, shopper, items) for shopper, items in enumerate(_SMALL, start=1)]
    back = [(2, shopper, items) for shopper, items in enumerate(_LARGE, start=4)]
    strangers = [(2, shopper, items) for shopper, items in enumerate(reversed(_LARGE), start=7)]
    return [
        Cart(number, 1 if of_round == 1 else 2, shopper, items)
        for number, (of_round, shopper, items) in enumerate([*small, *back, *strangers], start=1)
    ]
