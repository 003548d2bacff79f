"""The schema's revisions: numbered SQL files in ``migrations/versions``. Adding the next file is all it takes."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import psycopg

VERSION_SCHEMA = "alembic"
IS_VERSIONED = "select to_regclass('alembic.alembic_version') is not null"
PRESENT_VERSION = "select version_num from alembic.alembic_version"


@dataclass(frozen=True, slots=True)
class Revision:
    """One step of the schema: its four-digit number, what it is about, and the SQL that takes the step."""

    number: str
    title: str
    sql: str


def revisions() -> list[Revision]:
    """All revisions in their order. Raises ValueError unless the numbers run 0001, 0002, ... without a gap."""
    folder = resources.files("paywarden.db").joinpath("migrations", "versions")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    found = [
        Revision(number, title.removesuffix(".sql"), file.read_text("utf-8"))
        for file in files
        for number, _, title in [file.name.partition("_")]
    ]
    if [each.number for each in found] != [f"{place:04}" for place in range(1, len(found) + 1)]:
        raise ValueError(f"revisions must be numbered without gap or repetition: {[file.name for file in files]}")
    return found


async def is_current(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the database is at this program's last revision. The role must be paywarden_app or paywarden_system."""
    cursor = connection.cursor(row_factory=psycopg.rows.scalar_row)
    await cursor.execute(IS_VERSIONED)
    if not await cursor.fetchone():
        return False
    await cursor.execute(PRESENT_VERSION)
    return await cursor.fetchone() == _last_number()


@cache
def _last_number() -> str:
    return revisions()[-1].number
