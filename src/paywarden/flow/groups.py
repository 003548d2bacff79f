"""The group commits of one process: each kind of write has its own, made when it is first used."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from paywarden.flow.batch import GroupCommit

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
Source = TypeVar("Source")
Write = Callable[[Source, Sequence[tuple[UUID, Item]]], Awaitable[Sequence[Outcome | Exception]]]


class Groups:
    """What writes together, by the function that writes it."""

    def __init__(self) -> None:
        self._made: dict[Callable[..., Any], GroupCommit[Any, Any]] = {}

    def of(self, write: Write[Source, Item, Outcome], source: Source) -> GroupCommit[Item, Outcome]:
        """The group of ``write``, which is given the ``source`` of the first call and each batch."""
        if write not in self._made:
            self._made[write] = GroupCommit(partial(write, source))
        return self._made[write]
