"""Named statements. Each room keeps its SQL in ``queries.sql``:

    -- name: lock_payment
    -- One payment, locked until the transaction ends.
    select * from paywarden.payments where ...

The name, one or more lines that say what for, one statement with ``%(name)s`` parameters. An unknown name, a repeated
name or a statement without a purpose is an error at import, not in the night.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from uuid import UUID

FILE = "queries.sql"
NEWEST = (str(2**64 - 1), UUID(int=2**128 - 1))
"""A cursor (transaction, id) after which every row comes: where a list begins that shows the newest first."""

_HEAD = re.compile(r"^-- name:(.*)$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ROOT = "paywarden"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a room, as psycopg takes it."""

    name: str
    purpose: str
    sql: str


class Queries:
    """The statements of one room by name: ``SQL.lock_payment`` or ``SQL["lock_payment"]`` is the text."""

    def __init__(self, package: str, statements: list[Statement]) -> None:
        self._package = package
        self._by_name = {each.name: each for each in statements}

    def __getattr__(self, name: str) -> str:
        if name.startswith("_") or name not in self._by_name:
            raise AttributeError(f"{self._package}/{FILE} has no statement {name!r}")
        return self._by_name[name].sql

    def __getitem__(self, name: str) -> str:
        return getattr(self, name)  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Statement]:
        return iter(self._by_name.values())


def load(package: str) -> Queries:
    """The statements of the room ``package``. Raises ValueError when its file breaks the form."""
    return Queries(package, parse(resources.files(package).joinpath(FILE).read_text("utf-8"), f"{package}/{FILE}"))


def parse(text: str, source: str) -> list[Statement]:
    """The statements of one file; ``source`` names it in errors."""
    before, *parts = _HEAD.split(text)
    if before.strip():
        raise ValueError(f"{source}: text before the first '-- name:' line")
    statements = [_statement(name.strip(), body, source) for name, body in zip(parts[::2], parts[1::2], strict=True)]
    names = [each.name for each in statements]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{source}: repeated {sorted(repeated)}")
    return statements


def all_statements() -> dict[str, Statement]:
    """Every named statement of the installed package, by ``room.name``."""
    rooms = sorted(room.name for room in resources.files(_ROOT).iterdir() if room.joinpath(FILE).is_file())
    return {f"{room}.{each.name}": each for room in rooms for each in load(f"{_ROOT}.{room}")}


def _statement(name: str, body: str, source: str) -> Statement:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{source}: {name!r} is no name for a statement")
    lines = body.strip().splitlines()
    purpose = []
    while lines and lines[0].startswith("--"):
        purpose.append(lines.pop(0).removeprefix("--").strip())
    sql = "\n".join(lines).strip().removesuffix(";")
    if not any(purpose) or not sql or ";" in sql:
        raise ValueError(f"{source}: {name} needs a line that says what for, and exactly one statement")
    return Statement(name, " ".join(purpose), sql)
