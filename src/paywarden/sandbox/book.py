"""The durable book: one SQLite file, one thread, one transaction per request, on the disk before the answer is sent."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from paywarden.kit.clock import rfc3339, utc_now
from paywarden.kit.ids import new_uuid

Result = TypeVar("Result")
# Letters only: a long run of digits in an id would be taken for a card number by whoever looks for those.
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the control API can change; kept in the book, so that a restart keeps it.

    ``duplicate_webhooks`` counts the extra copies of every event; ``clock_offset_ms`` is how far the clock was moved.
    """

    webhook_url: str | None = None
    webhook_delay_seconds: float = 2.0
    duplicate_webhooks: int = 0
    shuffle_webhooks: bool = False
    clock_offset_ms: int = 0


@dataclass(frozen=True, slots=True)
class Transaction:
    """One open transaction with the instant and the settings it works under."""

    connection: sqlite3.Connection
    now_ms: int
    settings: Settings

    def all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        return self.connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self.connection.execute(sql, values).fetchone()
        return row

    def run(self, sql: str, *values: Any) -> None:
        self.connection.execute(sql, values)


class Book:
    """The open book. All work runs in one thread, so transactions are serial; an error rolls its transaction back.

    ``written`` is set after every transaction that changed something; whoever waits for changes clears it.
    """

    def __init__(self, folder: Path) -> None:
        self.written = asyncio.Event()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="book")
        self._connection = self._thread.submit(_open, folder / "sandbox.sqlite3").result()
        self._settings = self._thread.submit(_load_settings, self._connection).result()

    async def run(self, work: Callable[[Transaction], Result]) -> Result:
        """The result of ``work`` in a transaction that is durable when this returns.

        A caller that goes away meanwhile undoes nothing: what was begun is committed, and ``written`` tells of it.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._transact, work, loop)

    async def change_settings(self, **changes: Any) -> Settings:
        """Replace the named settings and keep them."""

        def store(transaction: Transaction) -> Settings:
            changed = replace(transaction.settings, **changes)
            for name, value in asdict(changed).items():
                transaction.run("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, json.dumps(value))
            return changed

        self._settings = await self.run(store)
        # Again: whoever was woken by the commit may have looked at the former settings.
        self.written.set()
        return self._settings

    @property
    def settings(self) -> Settings:
        return self._settings

    def close(self) -> None:
        self._thread.submit(self._connection.close).result()
        self._thread.shutdown()

    def _transact(self, work: Callable[[Transaction], Result], loop: asyncio.AbstractEventLoop) -> Result:
        now_ms = int(utc_now().timestamp() * 1000) + self._settings.clock_offset_ms
        changes = self._connection.total_changes
        with self._connection:
            self._connection.execute("BEGIN")
            result = work(Transaction(self._connection, now_ms, self._settings))
        if self._connection.total_changes > changes:
            loop.call_soon_threadsafe(self.written.set)
        return result


def new_id(kind: str) -> str:
    """A fresh id of the sandbox, e.g. ``sbxpay_...``."""
    return f"sbx{kind}_{new_uuid().hex.translate(_LETTERS)}"


def instant(milliseconds: int) -> str:
    """An instant of the book as the API shows it."""
    return rfc3339(datetime.fromtimestamp(milliseconds / 1000, UTC))


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=2)
    connection.row_factory = sqlite3.Row
    # Exclusive: a second sandbox on the same book would deliver every event twice.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript(files("paywarden.sandbox").joinpath("schema.sql").read_text("utf-8"))
    return connection


def _load_settings(connection: sqlite3.Connection) -> Settings:
    rows = connection.execute("SELECT name, value FROM settings").fetchall()
    return Settings(**{row["name"]: json.loads(row["value"]) for row in rows})
