"""How results look on a terminal: tables, cells that cannot play tricks, amounts for people."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from paywarden.kit.money import display

Read = str | Callable[[Mapping[str, Any]], Any]
Columns = Mapping[str, Read]
# Wide enough for ids when the output goes to a file or a pipe.
_PIPE_COLUMNS = 200
# A column of sentences narrower than this is a column of syllables; a word up to this long is never broken.
_ROOM_COLUMNS, _WORD_COLUMNS = 24, 60
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
    """Rows under headings; a heading that ends in `` >`` is a column of figures. Nothing to show is said in words.

    In a window that is too narrow for all columns each row is a block of ``name  value`` lines; never in a pipe.
    """
    shown = [[cell(_value(row, read)) for read in columns.values()] for row in rows]
    return _Rows(tuple(columns), shown) if shown else Text("Nothing to show.")


def listed(page: Mapping[str, Any], columns: Columns) -> RenderableType:
    """A page of a list, and how to see the rest of it."""
    drawn = table(page["data"], columns)
    if not page.get("has_more"):
        return drawn
    cursor = page.get("next_cursor")
    rest = f"more: --cursor {cursor}" if cursor else "there are more"
    return Group(drawn, cell(f"{len(page['data'])} shown; {rest}"))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Cells that become a table or blocks, as the window allows."""

    headings: tuple[str, ...]
    cells: list[list[Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = [self._least_columns(place) for place in range(len(self.headings))]
        # Between two columns stand a blank of each and a divider; outside of them an edge on each side.
        if sum(least) + 3 * len(least) - 1 <= options.max_width:
            yield self._table(least)
        else:
            yield self._table() if options.max_width >= _PIPE_COLUMNS else self._blocks()

    def _least_columns(self, place: int) -> int:
        """How wide a column must be so that neither ids nor figures nor words are broken."""
        heading = self.headings[place]
        texts = [heading.removesuffix(" >"), *(row[place].plain for row in self.cells)]
        natural = max(cell_len(text) for text in texts)
        if _is_whole(heading):
            return natural
        longest_word = max(cell_len(word) for text in texts for word in text.split(" "))
        return min(natural, max(min(longest_word, _WORD_COLUMNS), _ROOM_COLUMNS))

    def _table(self, least: Sequence[int] | None = None) -> Table:
        drawn = Table(box=LINES, header_style="bold", pad_edge=False)
        for place, heading in enumerate(self.headings):
            drawn.add_column(
                heading.removesuffix(" >"),
                justify="right" if heading.endswith(" >") else "left",
                no_wrap=_is_whole(heading),
                overflow="fold",
                min_width=least[place] if least else None,
            )
        for row in self.cells:
            drawn.add_row(*row)
        return drawn

    def _blocks(self) -> Table:
        drawn = _lines()
        for number, row in enumerate(self.cells):
            if number:
                drawn.add_row()
            for heading, text in zip(self.headings, row, strict=True):
                if text.plain != "-":
                    drawn.add_row(heading.removesuffix(" >"), text)
        return drawn


def _is_whole(heading: str) -> bool:
    return heading == "id" or heading.endswith(" >")


def _value(row: Mapping[str, Any], read: Read) -> Any:
    return row.get(read) if isinstance(read, str) else read(row)


def sheet(row: Mapping[str, Any], names: Sequence[str]) -> RenderableType:
    """One object, line by line; what is not set is left out."""
    drawn = _lines()
    for name in names:
        if row.get(name) not in (None, [], ""):
            drawn.add_row(name.replace("_", " "), cell(row[name]))
    return drawn


def beside(rows: Iterable[Sequence[Text]]) -> RenderableType | None:
    """Rows without headings whose last cell takes the room that is left; None when there are no rows."""
    shown = list(rows)
    if not shown:
        return None
    drawn = Table.grid(padding=(0, 2))
    for _ in shown[0][:-1]:
        drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for row in shown:
        drawn.add_row(*row)
    return drawn


def _lines() -> Table:
    """Names in bold with their values beside them."""
    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(style="bold", no_wrap=True)
    drawn.add_column(overflow="fold")
    return drawn


def moment(text: Any) -> str:
    """An instant as people read it: date and time in UTC, to the second."""
    return str(text or "")[:19].replace("T", " ")


def amount(amount_minor: int, asset_or_currency: str) -> str:
    """An amount with its sign and currency; the ledger's ``USD/2`` is understood too."""
    return display(amount_minor, asset_or_currency.partition("/")[0].lower())
