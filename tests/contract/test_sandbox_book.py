"""The book tells whoever waits for changes, also when the caller that made one has gone away."""

import asyncio
import threading
from pathlib import Path

from paywarden.sandbox.book import Book, Transaction


async def test_a_change_whose_caller_has_gone_is_told_once_it_is_committed(tmp_path: Path) -> None:
    """Else an event of that change would wait for the next request."""
    book = Book(tmp_path)
    begun, may_end = threading.Event(), threading.Event()

    def write(transaction: Transaction) -> None:
        transaction.run("INSERT INTO events VALUES ('evt_1', NULL, '{}', 0)")
        begun.set()
        assert may_end.wait(20)

    caller = asyncio.create_task(book.run(write))
    assert await asyncio.to_thread(begun.wait, 20)
    caller.cancel()
    await asyncio.wait({caller})
    assert not book.written.is_set()
    may_end.set()
    async with asyncio.timeout(20):
        await book.written.wait()
    assert await book.run(lambda transaction: transaction.one("SELECT id FROM events")) is not None
    book.close()


async def test_reading_is_no_change(tmp_path: Path) -> None:
    book = Book(tmp_path)
    await book.run(lambda transaction: transaction.all("SELECT id FROM events"))
    await asyncio.sleep(0)
    assert not book.written.is_set()
    book.close()
