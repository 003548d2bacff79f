"""Notes in CSV and JSONL files, read line by line: each is a note or a refusal that names the line and the field."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from paywarden.kit.canonical import canonical_json, loads_strict
from paywarden.kit.errors import InvalidFieldError
from paywarden.kit.text import clean_id, clean_text
from paywarden.kit.trust import TRUST_TIERS

Format = Literal["csv", "jsonl"]
# A note and its facts have 20,000 characters each at most; a longer line is none of ours and is not kept in memory.
MAX_LINE_CHARACTERS = 200_000
_IDS = ("customer", "source", "invoice", "case")
FIELDS = ("customer", "content", "trust", "source", "invoice", "case", "facts", "valid_until")


@dataclass(frozen=True, slots=True)
class NoteLine:
    """A note and the line it begins on, as ``/v1/notes:import`` takes it."""

    number: int
    note: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that is not imported, the field at fault if it is one, and why; never the text itself."""

    number: int
    field: str | None
    problem: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How the file names what a note says, and the trust of notes that state none."""

    form: Format
    customer: str = "customer"
    content: str = "content"
    trust: str = "customer"

    def column(self, field: str) -> str:
        """What the file calls a field of a note."""
        return {"customer": self.customer, "content": self.content}.get(field, field)


class _LineTooLongError(Exception):
    """A line is longer than any note; it was passed over."""


class Lines:
    """The lines of a text, none longer than the limit, and the ``number`` of the last one."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self.number = 0

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_LINE_CHARACTERS)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) < MAX_LINE_CHARACTERS or _ends(line):
            return line
        while (line := self._text.readline(MAX_LINE_CHARACTERS)) and not _ends(line):
            pass
        raise _LineTooLongError


def _ends(line: str) -> bool:
    return line.endswith(("\n", "\r"))


def opened(path: Path) -> TextIO:
    """The file as text: UTF-8, with or without a mark; what is not stays visible as what no note may contain."""
    try:
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise InvalidFieldError("FILE", f"cannot be read: {error.strerror}") from error


def count_lines(path: Path) -> int:
    """How many lines there are, however long they are."""
    count, ended = 0, True
    with opened(path) as text:
        for part in iter(lambda: text.readline(MAX_LINE_CHARACTERS), ""):
            ended = _ends(part)
            count += ended
    return count + (not ended)


def layout_of(path: Path, form: str | None, customer: str, content: str, trust: str) -> Layout:
    """The layout as the options say it; the form as the file's name ends. Raises InvalidFieldError."""
    named = form or path.suffix.lower().removeprefix(".")
    if trust not in TRUST_TIERS:
        raise InvalidFieldError("--trust", f"must be one of {', '.join(TRUST_TIERS)}")
    if named == "csv":
        return Layout("csv", customer, content, trust)
    if named == "jsonl":
        return Layout("jsonl", customer, content, trust)
    raise InvalidFieldError("--format", "must be csv or jsonl")


def read_notes(lines: Lines, layout: Layout) -> Iterator[NoteLine | Refusal]:
    """Every line of the file. Raises InvalidFieldError when a CSV file lacks a column that is needed."""
    records = _csv_records(lines, layout) if layout.form == "csv" else _json_records(lines)
    for found in records:
        yield found if isinstance(found, Refusal) else _checked(found, layout)


def _csv_records(lines: Lines, layout: Layout) -> Iterator[NoteLine | Refusal]:
    reader = csv.reader(lines, strict=True)
    heading = _heading(reader, layout)
    while True:
        first = lines.number + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except _LineTooLongError:
            yield Refusal(first, None, f"is longer than {MAX_LINE_CHARACTERS:,} characters")
            continue
        except csv.Error as error:
            yield Refusal(first, None, f"is no CSV up to line {lines.number}: {error}; is a quote left open?")
            continue
        if values and len(values) != len(heading):
            yield Refusal(first, None, f"has {len(values)} columns where the heading has {len(heading)}")
        elif values:
            yield NoteLine(first, {name: value for name, value in zip(heading, values, strict=True) if value != ""})


def _heading(reader: Iterator[list[str]], layout: Layout) -> list[str]:
    try:
        heading = next(reader, [])
    except (_LineTooLongError, csv.Error) as error:
        raise InvalidFieldError("FILE", "does not begin with a CSV heading") from error
    for column in (layout.customer, layout.content):
        if heading.count(column) != 1:
            raise InvalidFieldError("FILE", f"must have the column '{column}' once in its heading")
    if repeated := [column for column in FIELDS if heading.count(column) > 1]:
        raise InvalidFieldError("FILE", f"has the column '{repeated[0]}' more than once")
    return heading


def _json_records(lines: Lines) -> Iterator[NoteLine | Refusal]:
    while True:
        try:
            line = next(lines)
        except StopIteration:
            return
        except _LineTooLongError:
            yield Refusal(lines.number, None, f"is longer than {MAX_LINE_CHARACTERS:,} characters")
            continue
        if line.strip():
            value = _object(line)
            number = lines.number
            yield Refusal(number, None, "is no JSON object in UTF-8") if value is None else NoteLine(number, value)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = loads_strict(text.encode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _checked(found: NoteLine, layout: Layout) -> NoteLine | Refusal:
    """The note that a record states, or the first field of it that is wrong."""
    named = ((field, found.note.get(layout.column(field))) for field in FIELDS)
    note = {"trust": layout.trust} | {field: value for field, value in named if value is not None}
    for field in ("customer", "content"):
        if field not in note:
            return Refusal(found.number, field, "is required")
    for field, value in note.items():
        try:
            note[field] = _valid(field, value)
        except InvalidFieldError as error:
            return Refusal(found.number, field, error.detail.removeprefix(f"{error.param} "))
    return NoteLine(found.number, note)


def _valid(field: str, value: Any) -> Any:
    if field == "facts":
        return _facts(value)
    if not isinstance(value, str):
        raise InvalidFieldError(field, "must be a text")
    if field == "trust" and value not in TRUST_TIERS:
        raise InvalidFieldError(field, f"must be one of {', '.join(TRUST_TIERS)}")
    if field in _IDS or field == "valid_until":
        return clean_id(value, field)
    return clean_text(value, field)


def _facts(value: Any) -> Mapping[str, Any]:
    facts = _object(value) if isinstance(value, str) else value
    if not isinstance(facts, dict):
        raise InvalidFieldError("facts", "must be a JSON object")
    canonical_json(facts)
    return facts
