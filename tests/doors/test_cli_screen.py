"""How results look: amounts read exactly, cells that cannot play tricks, nothing cut where a program reads."""

import io

import pytest
from rich.console import Console

from paywarden.cli.amounts import parse_amount
from paywarden.cli.progress import shown_progress
from paywarden.cli.screen import amount, cell, screen, sheet, table
from paywarden.kit.errors import InvalidFieldError


@pytest.mark.parametrize(
    ("text", "currency", "amount_minor"),
    [
        ("12.50", "usd", 1250),
        ("12.5", "usd", 1250),
        ("12", "usd", 1200),
        ("0.01", "usd", 1),
        ("1250", "jpy", 1250),
        ("1.234", "kwd", 1234),
        ("10000000000000.00", "usd", 10**15),
    ],
)
def test_amounts_are_read_exactly(text: str, currency: str, amount_minor: int) -> None:
    assert parse_amount(text, currency, "--amount") == amount_minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("12.505", "usd"), ("1.5", "jpy"), ("-1", "usd"), ("+1", "usd"), ("1e3", "usd"), ("1,000.00", "usd"),
        (".5", "usd"), ("1.", "usd"), ("", "usd"), ("NaN", "usd"), ("１２", "usd"), ("0", "usd"), ("0.00", "usd"),
        ("$5", "usd"), (" 5", "usd"), ("5\n", "usd"), ("10000000000000.01", "usd"), ("5", "USD"), ("5", "xyz"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_by_name(text: str, currency: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        parse_amount(text, currency, "--amount")
    assert refused.value.param in {"--amount", "currency"}


def test_amounts_of_the_ledger_are_shown_in_their_currency() -> None:
    assert amount(1250, "USD/2") == "$12.50"
    assert amount(-1250, "jpy") == "-¥1,250"


def test_a_cell_is_text_whoever_wrote_it() -> None:
    hostile = "[red]x[/red]\x1b[2J\x07\u202egnp\ud800\nsecond line"
    shown = cell(hostile).plain
    assert shown.startswith("[red]x[/red]")
    assert not set("\x1b\x07\u202e\ud800\n") & set(shown)
    assert shown.endswith("gnp\N{REPLACEMENT CHARACTER} second line")
    assert cell(None).plain == "-"
    assert cell(["a", "b"]).plain == "a, b"


def test_a_table_is_whole_in_a_pipe() -> None:
    stream = io.StringIO()
    identifier = "pay_01h455vb4pex5vsknk084sn02q"
    rows = [{"id": identifier, "reason": "because " * 20, "n": 1}]
    screen(stream).print(table(rows, {"id": "id", "why": "reason", "n >": "n", "late": lambda row: row.get("late")}))
    assert identifier in stream.getvalue()
    assert "…" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_ids_stay_whole_on_a_small_window() -> None:
    stream = io.StringIO()
    identifier = "pay_01h455vb4pex5vsknk084sn02q"
    Console(file=stream, width=60).print(
        table([{"id": identifier, "why": "because " * 20}], {"id": "id", "why": "why"})
    )
    assert identifier in stream.getvalue()


def test_nothing_is_said_in_words() -> None:
    stream = io.StringIO()
    screen(stream).print(table([], {"id": "id"}))
    screen(stream).print(sheet({"id": "x", "empty": None, "none": []}, ["id", "empty", "none"]))
    assert stream.getvalue().split("\n")[0] == "Nothing to show."
    assert "empty" not in stream.getvalue()


def test_progress_in_a_file_is_a_line_for_each_part() -> None:
    stream = io.StringIO()
    with shown_progress(stream) as tell:
        for done in (1, 2, 3):
            tell("Counting", done, 3)
    assert stream.getvalue() == "Counting: 3\n"
