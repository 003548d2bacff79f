"""Invariants: small questions whose answer must be no rows, asked of every tenant of a running database.

Each is a file in ``rules/``: a first line that says what must hold, then a query for the rows that break it.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from psycopg import AsyncConnection

Connection = AsyncConnection[dict[str, Any]]
_MOST_ROWS_TOLD = 20


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule by its file's name, what it says, and the query for the rows that break it."""

    name: str
    says: str
    query: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: the rows that break it, at most 20 of them."""

    invariant: Invariant
    broken: list[dict[str, Any]]


@cache
def all_invariants() -> tuple[Invariant, ...]:
    """Every rule, by name."""
    found = sorted(files("paywarden.audit").joinpath("rules").iterdir(), key=lambda file: file.name)
    return tuple(_read(file.name, file.read_text("utf-8")) for file in found if file.name.endswith(".sql"))


def _read(name: str, text: str) -> Invariant:
    first, _, query = text.partition("\n")
    return Invariant(name.removesuffix(".sql"), first.removeprefix("--").strip(), query)


async def check(connection: Connection) -> list[Finding]:
    """Ask every rule; each is one statement and so sees one moment. Needs the system role."""
    findings = []
    for invariant in all_invariants():
        query = f"select * from ({invariant.query}) as broken limit {_MOST_ROWS_TOLD}"  # noqa: S608  our own files
        findings.append(Finding(invariant, await (await connection.execute(query)).fetchall()))
    return findings
