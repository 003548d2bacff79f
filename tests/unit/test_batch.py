"""Group commit: who shares a batch, in which order, and what one caller's fate does to the others."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from paywarden.flow.batch import LEAST_TOGETHER, GroupCommit
from paywarden.kit.errors import OverloadedError

ANN, BEN = UUID(int=1), UUID(int=2)
Batch = Sequence[tuple[UUID, str]]


class Store:
    """Writes when it is let; remembers each batch."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[UUID, str]]] = []
        self.gate = asyncio.Event()
        self.most_at_once = 0
        self._at_once = 0

    async def write(self, batch: Batch) -> list[str | Exception]:
        self.batches.append(list(batch))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await self.gate.wait()
        self._at_once -= 1
        return [ValueError(item) if item.startswith("bad") else f"wrote {item}" for _, item in batch]


async def started(*calls: "asyncio.Task[str]") -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(call.done() for call in calls)


def submit(group: GroupCommit[str, str], tenant: UUID, *items: str) -> list["asyncio.Task[str]"]:
    return [asyncio.create_task(group.submit(tenant, item)) for item in items]


async def test_what_arrives_while_a_batch_is_written_shares_the_next_one() -> None:
    store = Store()
    group = GroupCommit(store.write, most_in_flight=1)
    first = submit(group, ANN, "a")
    await started(*first)
    rest = submit(group, ANN, "b", "c", "d")
    await started(*rest)
    assert store.batches == [[(ANN, "a")]]
    store.gate.set()
    assert await asyncio.gather(*first, *rest) == ["wrote a", "wrote b", "wrote c", "wrote d"]
    assert store.batches == [[(ANN, "a")], [(ANN, "b"), (ANN, "c"), (ANN, "d")]]


async def test_no_more_batches_are_in_flight_than_allowed_and_none_is_larger() -> None:
    store = Store()
    group = GroupCommit(store.write, most_in_flight=2, most_a_batch=3)
    calls: list[asyncio.Task[str]] = []
    for number in range(11):
        calls += submit(group, ANN, f"{number}")
        await started(*calls)
    assert len(store.batches) == 2
    store.gate.set()
    assert await asyncio.gather(*calls) == [f"wrote {number}" for number in range(11)]
    assert store.most_at_once == 2
    assert max(len(batch) for batch in store.batches) == 3
    assert sorted(item for batch in store.batches for _, item in batch) == sorted(str(number) for number in range(11))


async def test_batches_in_flight_share_those_who_are_there() -> None:
    store = Store()
    group = GroupCommit(store.write, most_in_flight=2)
    calls = submit(group, ANN, *(str(number) for number in range(60)))
    await started(*calls)
    late = submit(group, ANN, "late")
    await started(*late)
    assert [len(batch) for batch in store.batches] == [30, 30]
    store.gate.set()
    await asyncio.gather(*calls, *late)


async def test_a_few_are_not_divided() -> None:
    store = Store()
    group = GroupCommit(store.write, most_in_flight=2)
    calls = submit(group, ANN, *(str(number) for number in range(LEAST_TOGETHER)))
    await started(*calls)
    assert [len(batch) for batch in store.batches] == [LEAST_TOGETHER]
    store.gate.set()
    await asyncio.gather(*calls)


async def test_a_flood_of_one_tenant_does_not_delay_another() -> None:
    store = Store()
    group = GroupCommit(store.write, most_in_flight=1, most_a_batch=4)
    calls = submit(group, ANN, "a0")
    await started(*calls)
    calls += submit(group, ANN, *[f"a{number}" for number in range(1, 20)])
    calls += submit(group, BEN, "b1", "b2")
    await started(*calls)
    store.gate.set()
    await asyncio.gather(*calls)
    assert store.batches[1] == [(ANN, "a1"), (BEN, "b1"), (ANN, "a2"), (BEN, "b2")]


async def test_each_member_has_its_own_outcome() -> None:
    store = Store()
    store.gate.set()
    group = GroupCommit(store.write)
    good, bad, other = await asyncio.gather(*submit(group, ANN, "good", "bad", "other"), return_exceptions=True)
    assert (good, other) == ("wrote good", "wrote other")
    assert isinstance(bad, ValueError)


async def test_a_batch_that_fails_is_told_to_each_of_its_members_and_the_next_one_is_written() -> None:
    store = Store()
    failed = [False]

    async def write(batch: Batch) -> list[str | Exception]:
        if not failed[0]:
            failed[0] = True
            raise OverloadedError("the database is busy", retry_after_seconds=1)
        return await store.write(batch)

    store.gate.set()
    group = GroupCommit(write)
    answers = await asyncio.gather(*submit(group, ANN, "a", "b"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OverloadedError, OverloadedError]
    assert await group.submit(ANN, "c") == "wrote c"


async def test_an_answer_too_few_is_an_error_for_all() -> None:
    async def write(batch: Batch) -> list[str | Exception]:
        return ["one"] * (len(batch) - 1)

    group = GroupCommit(write)
    answers = await asyncio.gather(*submit(group, ANN, "a", "b"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RuntimeError, RuntimeError]


async def test_too_many_waiting_are_refused_at_once_and_told_when_to_return() -> None:
    store = Store()
    group = GroupCommit(store.write, most_in_flight=1, most_waiting=2)
    calls = submit(group, ANN, "written")
    await started(*calls)
    calls += submit(group, ANN, "b", "c")
    await started(*calls)
    with pytest.raises(OverloadedError) as refused:
        await group.submit(BEN, "d")
    assert refused.value.retry_after_seconds == 1
    store.gate.set()
    assert await asyncio.gather(*calls) == ["wrote written", "wrote b", "wrote c"]
    assert await group.submit(BEN, "d") == "wrote d"


async def test_one_tenants_flood_is_refused_before_it_fills_the_queue_of_all() -> None:
    store = Store()
    group = GroupCommit(store.write, most_in_flight=1, most_waiting=10, most_of_one_tenant=2)
    calls = submit(group, ANN, "written")
    await started(*calls)
    calls += submit(group, ANN, "b", "c")
    await started(*calls)
    with pytest.raises(OverloadedError):
        await group.submit(ANN, "d")
    calls += submit(group, BEN, "e")
    await started(*calls)
    store.gate.set()
    assert await asyncio.gather(*calls) == ["wrote written", "wrote b", "wrote c", "wrote e"]


async def test_a_caller_that_goes_before_its_turn_leaves_nothing() -> None:
    store = Store()
    group = GroupCommit(store.write, most_in_flight=1)
    calls = submit(group, ANN, "a")
    await started(*calls)
    gone, stays = submit(group, ANN, "gone", "stays")
    await started(gone, stays)
    gone.cancel()
    store.gate.set()
    assert await stays == "wrote stays"
    assert store.batches == [[(ANN, "a")], [(ANN, "stays")]]


async def test_a_caller_that_goes_in_flight_harms_nobody() -> None:
    store = Store()
    group = GroupCommit(store.write, most_in_flight=1)
    gone, stays = submit(group, ANN, "gone", "stays")
    await started(gone, stays)
    gone.cancel()
    store.gate.set()
    assert await stays == "wrote stays"
    assert store.batches == [[(ANN, "gone"), (ANN, "stays")]]
    assert await group.submit(ANN, "next") == "wrote next"


async def test_a_batch_is_full_by_the_sizes_of_its_items() -> None:
    store = Store()
    group = GroupCommit(store.write, most_in_flight=1, most_a_batch=4, size_of=len)
    calls = submit(group, ANN, "a")
    await started(*calls)
    calls += submit(group, ANN, "bbb", "ccc", "d", "eeeee", "f")
    await started(*calls)
    store.gate.set()
    await asyncio.gather(*calls)
    assert [[item for _, item in batch] for batch in store.batches] == [["a"], ["bbb", "ccc"], ["d", "eeeee"], ["f"]]


async def test_a_caller_that_comes_the_moment_another_is_answered_is_written_too() -> None:
    store = Store()
    store.gate.set()
    group = GroupCommit(store.write, most_in_flight=1)

    async def again_and_again(name: str) -> None:
        for number in range(20):
            await group.submit(ANN, f"{name}{number}")

    await asyncio.wait_for(asyncio.gather(again_and_again("a"), again_and_again("b")), 5)
    assert sum(map(len, store.batches)) == 40
