"""How results look: amounts read exactly, cells that cannot play tricks, nothing cut where a program reads."""

import io
from typing import Any

import pytest
from rich.console import Console

from paywarden.cli.amounts import parse_amount
from paywarden.cli.payments import COLUMNS as PAYMENT_COLUMNS
from paywarden.cli.progress import shown_progress
from paywarden.cli.screen import Columns, amount, cell, listed, screen, sheet, table
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


@pytest.mark.parametrize("text", ["0", "0.00", "10000000000000.01", "99999999999999999.00"])
def test_an_amount_out_of_range_is_told_the_range_in_its_currency(text: str) -> None:
    with pytest.raises(InvalidFieldError, match=r"must be from \$0\.01 to \$10,000,000,000,000\.00"):
        parse_amount(text, "usd", "AMOUNT")


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


def _drawn(width: int, rows: list[dict[str, Any]], columns: Columns = PAYMENT_COLUMNS) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table(rows, columns))
    return stream.getvalue().splitlines()


PAYMENT = {
    "id": "pay_01h455vb4pex5vsknk084sn02q", "kind": "refund", "display": "$1,234.50", "status": "outcome_unknown",
    "customer": "customer-of-acme-4711", "agent": "refund-bot", "oversight": "reviewed",
    "reason": "duplicate_suspected: the same agent, customer and amount", "created_at": "2026-11-21T07:44:48Z",
}  # fmt: skip


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_row_that_does_not_fit_is_a_block_of_lines_with_nothing_broken(width: int) -> None:
    lines = _drawn(width, [PAYMENT, {**PAYMENT, "reason": None, "id": "pay_11h455vb4pex5vsknk084sn02q"}])
    text = "\n".join(lines)
    for whole in (*(str(PAYMENT[name]) for name in ("id", "display", "status", "customer")), "2026-11-21 07:44:48"):
        assert whole in text
    assert "pay_11h455vb4pex5vsknk084sn02q" in text
    assert max(len(line) for line in lines) <= width
    assert [line.split()[0] for line in lines if line.strip()][:3] == ["id", "kind", "amount"]
    assert [line for line in lines if line.startswith("reason")] == [
        line for line in lines if "duplicate_suspected" in line
    ]
    assert lines.count("") + sum(1 for line in lines if line and not line.strip()) == 1


@pytest.mark.parametrize("width", [80, 100])
def test_a_table_that_fits_stays_one_and_breaks_no_word(width: int) -> None:
    rows = [{"id": PAYMENT["id"], "why": "duplicate_suspected: the same agent, customer and amount", "n": 7}]
    lines = _drawn(width, rows, {"id": "id", "why": "why", "n >": "n"})
    assert lines[1].split() == ["id", "why", "n"]
    assert max(len(line) for line in lines) <= width
    words = " ".join(lines).split()
    assert {PAYMENT["id"], "duplicate_suspected:", "customer", "7"} <= set(words)


@pytest.mark.parametrize("columns", range(1, 8))
def test_a_table_is_drawn_exactly_as_wide_as_it_must_be(columns: int) -> None:
    shown: Columns = {f"c{number}": f"c{number}" for number in range(columns)}
    row = {name: "x" * 20 for name in shown}
    needed = 20 * columns + 3 * columns - 1
    assert any(line.count("x" * 20) == columns for line in _drawn(needed, [row], shown))
    if columns > 1:
        assert all(line.count("x" * 20) <= 1 for line in _drawn(needed - 1, [row], shown))


def test_a_pipe_gets_a_table_whatever_is_in_it() -> None:
    stream = io.StringIO()
    screen(stream).print(table([{**PAYMENT, "customer": "c" * 255, "reason": "r" * 255}], PAYMENT_COLUMNS))
    assert stream.getvalue().splitlines()[1].split()[:3] == ["id", "kind", "amount"]
    assert str(PAYMENT["id"]) in stream.getvalue()


def test_a_list_that_is_cut_off_says_so() -> None:
    def said(**page: Any) -> str:
        stream = io.StringIO()
        screen(stream).print(listed({"data": [{"id": "x"}], **page}, {"id": "id"}))
        return stream.getvalue()

    assert "1 shown; more: --cursor abc" in said(has_more=True, next_cursor="abc")
    assert "1 shown; there are more" in said(has_more=True, next_cursor=None)
    assert "shown" not in said(has_more=False, next_cursor=None)


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
