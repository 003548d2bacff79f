"""Amounts in words: read in one way or not at all."""

import pytest

from paywarden.decisions.stated_amounts import stated_minor


@pytest.mark.parametrize(
    ("text", "currency", "stated"),
    [
        ("Approved: $900 to her account.", "usd", {90_000}),
        ("$1,250.50 now and 30 USD later", "usd", {125_050, 3_000}),
        ("(usd 12.50)", "usd", {1_250}),
        ("EUR 40 and $40", "eur", {4_000}),
        ("¥1,200 or 5 jpy", "jpy", {1_200, 5}),
        ("1.234 KWD", "kwd", {1_234}),
        ("from $3-$4", "usd", {300}),
        ("$500 USD, and 40 EUR", "usd", {50_000}),
        ("$7 CAD and MXN $8", "mxn", set()),
        ("7 MXN, not CAD $8", "mxn", {700}),
    ],
)
def test_what_is_stated(text: str, currency: str, stated: set[int]) -> None:
    assert stated_minor(text, currency) == stated


@pytest.mark.parametrize(
    "text",
    ["900", "order 900 of 2026", "1.250 USD", "1 250 USD", "$5 000", "$5k", "$5 million", "$12.5", "$12.505", "$1,00",
     "$10,00", "-$5", "US$7", "A$7", "5 USDT", "€5", "5 EUR", "x5 USD", "v1.5 USD", "$\uff15", "5.00.1 USD", "",
     "$1,000 MXN", "$500.00 (CAD)", "CAD $500", "$500 cad", "MXN 40 USD", "$5'000", "1'500 USD", "1’500.00 USD",
     "–$5.00", "$5 Million", "$5 mio", "$5 k"],
)  # fmt: skip
def test_what_could_be_read_otherwise_is_not_stated(text: str) -> None:
    assert stated_minor(text, "usd") == frozenset()
