"""What a call costs: by list price, rounded up, unknown when the price is."""

import pytest

from paywarden.decisions.prices import PRICES, TokenUsage, cost_micro_usd, most_micro_usd

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("usage", "micro_usd"),
    [
        (TokenUsage(MILLION, 0), 2 * MILLION),
        (TokenUsage(0, MILLION), 10 * MILLION),
        (TokenUsage(0, 0, cache_read=MILLION), MILLION // 10),
        (TokenUsage(0, 0, cache_write=MILLION), 2_500_000),
        (TokenUsage(0, 0, cache_read=1), 1),
        (TokenUsage(3, 2, 11, 1), 6 + 20 + 4),
        (TokenUsage(0, 0), 0),
    ],
)
def test_every_kind_of_token_has_its_price(usage: TokenUsage, micro_usd: int) -> None:
    assert cost_micro_usd("claude-sonnet-5-5", usage) == micro_usd


def test_a_dated_model_costs_what_its_alias_costs() -> None:
    usage = TokenUsage(1000, 100)
    assert cost_micro_usd("claude-opus-5-5-20260901", usage) == cost_micro_usd("claude-opus-5-5", usage) == 6000


@pytest.mark.parametrize(
    "model", ["", "claude-sonnet-5-5-latest", "claude-sonnet-5-5-2026090", "claude-sonnet-99", "gpt"]
)
def test_an_unknown_price_is_not_zero(model: str) -> None:
    assert cost_micro_usd(model, TokenUsage(1, 1)) is None


def test_at_most_means_also_by_a_model_of_unknown_price() -> None:
    most = most_micro_usd("claude-sonnet-99", 1000, 1000)
    assert most == max(most_micro_usd(model, 1000, 1000) for model in PRICES)


@pytest.mark.parametrize("model", PRICES)
def test_nothing_costs_more_than_at_most(model: str) -> None:
    for usage in (
        TokenUsage(1000, 50),
        TokenUsage(0, 50, 1000),
        TokenUsage(0, 50, 0, 1000),
        TokenUsage(400, 50, 300, 300),
    ):
        cost = cost_micro_usd(model, usage)
        assert cost is not None
        assert cost <= most_micro_usd(model, 1000, 50)
