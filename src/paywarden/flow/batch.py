"""Group commit: what arrives while a batch is being written becomes the next batch.

No timer: the first item of an idle group is written at once, alone. Under load a commit is shared by as many as came
while the last one was under way, which is how one durable commit serves many requests (group commit as in DeWitt et
al., "Implementation techniques for main memory database systems", 1984, 5.2).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from paywarden.kit.errors import OverloadedError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MOST_A_BATCH = 128
MOST_IN_FLIGHT = 2
# So few share a commit in any case.
LEAST_TOGETHER = 24
MOST_WAITING = 4096
MOST_OF_ONE_TENANT = 1024


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Outcome]):
    item: Item
    answer: "asyncio.Future[Outcome]"


def _one(_: object) -> int:
    return 1


class GroupCommit(Generic[Item, Outcome]):
    """Writes items of many callers and tenants together, and gives each caller its own outcome.

    ``write`` takes (tenant, item) pairs and returns one outcome or exception for each, in order; what it raises, every
    member of that batch is told. A batch is full once the sizes of its items (1 each, or ``size_of``) reach
    ``most_a_batch``. Tenants take turns, one item each, so that one tenant's flood delays nobody else.
    A caller that goes away before its item is taken leaves nothing; after that the item is written all the same.
    """

    def __init__(
        self,
        write: Callable[[Sequence[tuple[UUID, Item]]], Awaitable[Sequence[Outcome | Exception]]],
        *,
        size_of: Callable[[Item], int] = _one,
        most_a_batch: int = MOST_A_BATCH,
        most_in_flight: int = MOST_IN_FLIGHT,
        most_waiting: int = MOST_WAITING,
        most_of_one_tenant: int = MOST_OF_ONE_TENANT,
    ) -> None:
        self._write = write
        self._size_of = size_of
        self._most_a_batch = most_a_batch
        self._most_in_flight = most_in_flight
        self._most_waiting = most_waiting
        self._most_of_one_tenant = most_of_one_tenant
        # In the order in which tenants take their turns.
        self._queues: dict[UUID, deque[_Waiting[Item, Outcome]]] = {}
        self._waiting = 0
        self._being_written = 0
        self._writers: set[asyncio.Task[None]] = set()

    async def submit(self, tenant_id: UUID, item: Item) -> Outcome:
        """The outcome of ``item``, once it is durable. Raises OverloadedError at once when too many wait."""
        queue = self._queues.get(tenant_id, ())
        if self._waiting >= self._most_waiting or len(queue) >= self._most_of_one_tenant:
            raise OverloadedError("too many requests wait to be written", retry_after_seconds=1)
        waiting: _Waiting[Item, Outcome] = _Waiting(item, asyncio.get_running_loop().create_future())
        self._queues.setdefault(tenant_id, deque()).append(waiting)
        self._waiting += 1
        if len(self._writers) < self._most_in_flight:
            writer = asyncio.create_task(self._write_until_empty())
            self._writers.add(writer)
        return await waiting.answer

    async def _write_until_empty(self) -> None:
        writer = asyncio.current_task()
        assert writer is not None  # noqa: S101  it is one
        try:
            while batch := self._take():
                await self._write_batch(batch)
        finally:
            # At once, not in a callback: whoever comes between the last look and the callback would wait for nobody.
            self._writers.discard(writer)

    def _take(self) -> list[tuple[UUID, _Waiting[Item, Outcome]]]:
        """The next batch: one item of each tenant in turn, those left out whose callers are gone.

        At most an equal share, for each batch that may be in flight, of those who wait or are being written: if all
        were one batch, their callers would come back at once, and whoever writes and whoever answers would take turns.
        """
        most = max(LEAST_TOGETHER, -(-(self._waiting + self._being_written) // self._most_in_flight))
        batch: list[tuple[UUID, _Waiting[Item, Outcome]]] = []
        size = 0
        while self._queues and size < self._most_a_batch and len(batch) < most:
            tenant_id = next(iter(self._queues))
            queue = self._queues.pop(tenant_id)
            waiting = queue.popleft()
            self._waiting -= 1
            if queue:
                self._queues[tenant_id] = queue
            if not waiting.answer.done():
                batch.append((tenant_id, waiting))
                size += self._size_of(waiting.item)
        return batch

    async def _write_batch(self, batch: Sequence[tuple[UUID, _Waiting[Item, Outcome]]]) -> None:
        self._being_written += len(batch)
        try:
            outcomes = await self._write([(tenant_id, waiting.item) for tenant_id, waiting in batch])
            if len(outcomes) != len(batch):
                raise RuntimeError(f"{len(outcomes)} outcomes for {len(batch)} items")
        except Exception as error:
            outcomes = [error] * len(batch)
        except BaseException:
            for _, waiting in batch:
                waiting.answer.cancel()
            raise
        finally:
            self._being_written -= len(batch)
        for (_, waiting), outcome in zip(batch, outcomes, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(outcome, Exception):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)
