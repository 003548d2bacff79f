"""The report of the demo: money by where it went, reasons without what differs, and a page of 80 columns."""

import io

import pytest
from rich.console import Console

from paywarden.cli.demonstrate import draw
from paywarden.demo.report import RESULTS, Outcome, Report, Story

BOOKS = {
    "findings": [], "matched": 3, "since": "2026-11-21T09:00:00.000Z", "until": "2026-11-21T09:05:00.000Z",
    "books": [{"currency": "usd", "ledger_minor": 1, "provider_minor": 1, "difference_minor": 0,
               "ledger_display": "$0.01", "provider_display": "$0.01"}], "has_statement": True,
}  # fmt: skip
LONG = "By rules: the records do not say the order, and whether it was canceled or returned within policy."


def outcome(result: str, amount_minor: int = 1_234_567, reason: str = LONG, oversight: str | None = None) -> Outcome:
    return Outcome("INV-0a1b2c3d-01", amount_minor, result, reason, oversight, "pay_1")  # type: ignore[arg-type]


EVERY = Story(
    "billing", "38 invoices that billing-agent was told to collect",
    [*map(outcome, RESULTS), outcome("paid", oversight="reviewed"), outcome("paid", oversight="advised")],
    [1_863_080],
)  # fmt: skip


def test_every_cent_that_was_asked_for_went_somewhere() -> None:
    went = EVERY.money()
    assert sum(went.values()) == len(EVERY.outcomes) * 1_234_567
    assert went["moved"] == 4 * 1_234_567
    assert went["postponed"] == 1_234_567
    assert went["held"] == 2 * 1_234_567


@pytest.mark.parametrize(
    ("said", "general"),
    [
        ("By rules: invoice INV-0a1b2c3d-07 of $12.00 is extended until 2026-12-03.",
         "By rules: the invoice of $... is extended until ..."),
        ("By rules: order ORD-0a1b2c3d-007 is recorded as returned within policy.",
         "By rules: the order is recorded as returned within policy."),
        ("By rules: 2 charges of $1,012.44 for ORD-0a1b2c3d-007 within 48 hours are recorded.",
         "By rules: 2 charges of $... for the order within 48 hours are recorded."),
        ("paid before: 1 order", "paid before: 1 order"),
    ],
)  # fmt: skip
def test_reasons_are_counted_without_what_differs(said: str, general: str) -> None:
    assert Story("support", "", [outcome("denied", reason=said)]).reasons("denied") == [(general, 1)]


def test_it_is_tables_on_a_window_of_80_columns() -> None:
    drawn = io.StringIO()
    Console(file=drawn, width=80).print(draw(Report("run", 39.6, [EVERY, EVERY], BOOKS, None)))
    lines = drawn.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "2 stories in 40 s"
    assert sum(line.split() == ["outcome", "decided", "by", "requests", "money"] for line in lines) == 2
    assert "Of what was asked for: $49,382.68 moved" in drawn.getvalue()
