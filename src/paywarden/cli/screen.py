"""How results look on a terminal: tables, cells that cannot play tricks, amounts for people."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from paywarden.kit.money import display

Read = str | Callable[[Mapping[str, Any]], Any]
Columns = Mapping[str, Read]
# Wide enough for ids when the output goes to a file or a pipe.
_PIPE_COLUMNS = 200
LINES = box.SIMPLE_HEAD
_STYLES = {
    "succeeded": "green",
    "active": "green",
    "approve": "green",
    "approved": "green",
    "pass": "green",
    "ok": "green",
    "failed": "red",
    "denied": "red",
    "deny": "red",
    "reject": "red",
    "rejected": "red",
    "fail": "red",
    "broken": "red",
    "suspended": "red",
    "revoked": "red",
    "in_review": "yellow",
    "needs_facts": "yellow",
    "open": "yellow",
    "escalate": "yellow",
    "need_facts": "yellow",
    "outcome_unknown": "yellow",
}


def screen(stream: TextIO) -> Console:
    """A console on a stream, wide where nobody looks at a window."""
    return Console(file=stream, width=None if stream.isatty() else _PIPE_COLUMNS, highlight=False)


def cell(value: Any, style: str | None = None) -> Text:
    """A value as text: nothing in it is markup or a control character, whoever wrote it."""
    text = _plain(value)
    return Text(text, style=style or _STYLES.get(text, ""))


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(each) for each in value) or "-"
    return "".join(_visible(character) for character in str(value))


def _visible(character: str) -> str:
    """Control, format and surrogate characters could move the cursor or turn the text around."""
    if character in "\n\t":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in {"Cc", "Cf", "Cs"} else character


def table(rows: Iterable[Mapping[str, Any]], columns: Columns) -> RenderableType:
    """Rows under headings; a heading that ends in `` >`` is a column of figures. Nothing to show is said in words."""
    drawn = Table(box=LINES, header_style="bold", pad_edge=False)
    for heading in columns:
        name, figures = heading.removesuffix(" >"), heading.endswith(" >")
        whole = figures or name == "id"
        drawn.add_column(name, justify="right" if figures else "left", no_wrap=whole, overflow="fold")
    for row in rows:
        drawn.add_row(*(cell(_value(row, read)) for read in columns.values()))
    return drawn if drawn.row_count else Text("Nothing to show.")


def _value(row: Mapping[str, Any], read: Read) -> Any:
    return row.get(read) if isinstance(read, str) else read(row)


def sheet(row: Mapping[str, Any], names: Sequence[str]) -> RenderableType:
    """One object, line by line; what is not set is left out."""
    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(style="bold")
    drawn.add_column(overflow="fold")
    for name in names:
        if row.get(name) not in (None, [], ""):
            drawn.add_row(name.replace("_", " "), cell(row[name]))
    return drawn


def moment(text: Any) -> str:
    """An instant as people read it: date and time in UTC, to the second."""
    return str(text or "")[:19].replace("T", " ")


def amount(amount_minor: int, asset_or_currency: str) -> str:
    """An amount with its sign and currency; the ledger's ``USD/2`` is understood too."""
    return display(amount_minor, asset_or_currency.partition("/")[0].lower())
