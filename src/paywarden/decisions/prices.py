"""What a call to a model costs by its list price. A model that is not listed has no known cost, which is not zero."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

_SNAPSHOT_DATE = re.compile(r"-[0-9]{8}\Z")


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one call. ``input`` are those that were neither read from the prompt cache nor written to it."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """US dollars per million tokens, which is micro-dollars per token. ``cache_write`` is for a cache of 5 minutes."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal


def _price(input_usd: str, output_usd: str, cache_read_usd: str, cache_write_usd: str) -> ModelPrice:
    return ModelPrice(Decimal(input_usd), Decimal(output_usd), Decimal(cache_read_usd), Decimal(cache_write_usd))


# Anthropic's list prices of November 2026.
PRICES: Mapping[str, ModelPrice] = {
    "claude-fable-5-1": _price("10", "50", "0.25", "12.50"),
    "claude-opus-5-5": _price("4", "20", "0.20", "5"),
    "claude-sonnet-5-5": _price("2", "10", "0.10", "2.50"),
    "claude-sonnet-5": _price("2", "10", "0.20", "2.50"),
    "claude-haiku-4-5": _price("1", "5", "0.10", "1.25"),
}


def cost_micro_usd(model: str, usage: TokenUsage) -> int | None:
    """Millionths of a US dollar, rounded up; None when the model's price is not known.

    A dated model costs what its alias costs.
    """
    price = PRICES.get(_SNAPSHOT_DATE.sub("", model))
    return None if price is None else _cost(price, usage)


def most_micro_usd(model: str, input_tokens: int, output_tokens: int) -> int:
    """What so many tokens cost at most. A model of unknown price is taken for the dearest that is listed."""
    price = PRICES.get(_SNAPSHOT_DATE.sub("", model)) or max(PRICES.values(), key=lambda known: known.output)
    return _cost(price, TokenUsage(input=0, output=output_tokens, cache_write=input_tokens))


def _cost(price: ModelPrice, usage: TokenUsage) -> int:
    cost = usage.input * price.input + usage.output * price.output
    cost += usage.cache_read * price.cache_read + usage.cache_write * price.cache_write
    return int(cost.to_integral_value(ROUND_CEILING))
