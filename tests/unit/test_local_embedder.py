"""Texts that wait for the one thread of an embedder: read together, and nobody's text costs others theirs."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from paywarden.memory.embedder import Vector
from paywarden.memory.local_embedder import LocalEmbedder

LIMIT_SECONDS = 20


class Model:
    """Tells what it was given at once; holds the thread until it may go on; stumbles over one text."""

    def __init__(self) -> None:
        self.given: list[list[str]] = []
        self.busy, self.may_go_on = threading.Event(), threading.Event()

    def encode(self, texts: list[str]) -> Sequence[Vector]:
        self.given.append(texts)
        if texts == ["first"]:
            self.busy.set()
            assert self.may_go_on.wait(LIMIT_SECONDS)
        if "stumble" in texts:
            raise ValueError("stumbled")
        return [np.array([len(text), 1], dtype=np.float32) for text in texts]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
async def busy(model: Model) -> AsyncIterator[LocalEmbedder]:
    """An embedder whose thread reads its first text, and goes on when told."""
    embedder = LocalEmbedder("test", 2, lambda: model.encode)
    first = asyncio.create_task(embedder.embed(["first"], "note"))
    assert await asyncio.to_thread(model.busy.wait, LIMIT_SECONDS)
    yield embedder
    model.may_go_on.set()
    await first
    await embedder.close()


async def started(embedder: LocalEmbedder, *texts: list[str]) -> list["asyncio.Task[list[Vector]]"]:
    """Requests, one for each list of texts, that wait for the thread in this order."""
    tasks = [asyncio.create_task(embedder.embed(each, "note")) for each in texts]
    await asyncio.sleep(0)
    return tasks


def slope(vector: Vector) -> float:
    """Of ``Model``: how long the text was."""
    return round(float(vector[0] / vector[1]), 3)


async def test_what_waits_is_read_together_and_everybody_gets_their_own(busy: LocalEmbedder, model: Model) -> None:
    tasks = await started(busy, ["a"], ["bb", "ccc"], ["a"])
    model.may_go_on.set()
    answers = await asyncio.gather(*tasks)
    assert model.given == [["first"], ["a", "bb", "ccc"]]
    assert [[slope(vector) for vector in answer] for answer in answers] == [[1], [2, 3], [1]]


async def test_no_more_are_read_together_than_keeps_others_waiting(busy: LocalEmbedder, model: Model) -> None:
    tasks = await started(busy, ["a"], [f"b{number}" for number in range(busy.at_once)], ["c"], ["d"])
    model.may_go_on.set()
    await asyncio.gather(*tasks)
    assert [len(given) for given in model.given] == [1, 1, busy.at_once, 2]


async def test_a_text_over_which_the_model_stumbles_costs_nobody_else_theirs(busy: LocalEmbedder, model: Model) -> None:
    tasks = await started(busy, ["a"], ["stumble"], ["bb"])
    model.may_go_on.set()
    a, stumble, bb = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(stumble, ValueError)
    assert isinstance(a, list)
    assert isinstance(bb, list)
    assert [slope(a[0]), slope(bb[0])] == [1, 2]


async def test_who_has_gone_away_is_not_read(busy: LocalEmbedder, model: Model) -> None:
    gone, stays = await started(busy, ["gone"], ["stays"])
    gone.cancel()
    await asyncio.sleep(0)
    model.may_go_on.set()
    await stays
    assert model.given == [["first"], ["stays"]]


async def test_nobody_waits_for_an_embedder_that_is_closed(busy: LocalEmbedder) -> None:
    (task,) = await started(busy, ["a"])
    await busy.close()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, LIMIT_SECONDS)
