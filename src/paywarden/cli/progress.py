"""Progress of long work on a stream: bars where somebody watches, a line per finished part elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from paywarden.cli.screen import screen

Tell = Callable[[str, int, int], None]


@contextmanager
def shown_progress(stream: TextIO) -> Iterator[Tell]:
    """A function to tell what is being done, how much of it is done, and how much there is."""
    if not stream.isatty():
        yield _lines(stream)
        return
    columns = (TextColumn("{task.description:<38}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen(stream)) as bars:
        yield _bars(bars)


def _bars(bars: Progress) -> Tell:
    tasks = {}

    def tell(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)

    return tell


def _lines(stream: TextIO) -> Tell:
    def tell(what: str, done: int, total: int) -> None:
        if done == total:
            stream.write(f"{what}: {total}\n")
            stream.flush()

    return tell
