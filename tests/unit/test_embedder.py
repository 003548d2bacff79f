"""The real embedder: unit vectors, the same for the same text, near for what means the same."""

import asyncio
import time

import numpy as np
import pytest

from paywarden.kit.errors import InvalidFieldError
from paywarden.memory.embedder import MAX_EMBEDDED_CHARACTERS
from paywarden.memory.local_embedder import UniversalSentenceEmbedder


@pytest.mark.parametrize("text", ["I was charged twice", "日本語", "😀", "\u200b", "!", "\u0301", "x" * 20_000])
async def test_every_text_has_a_unit_vector(embedder: UniversalSentenceEmbedder, text: str) -> None:
    (vector,) = await embedder.embed([text], "note")
    assert (vector.shape, vector.dtype) == ((embedder.dimension,), np.float32)
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


@pytest.mark.parametrize("text", ["", "  \n", "\ud800", "fine \udfff"])
async def test_what_is_no_text_is_refused(embedder: UniversalSentenceEmbedder, text: str) -> None:
    with pytest.raises(InvalidFieldError):
        await embedder.embed(["fine", text], "note")


async def test_vectors_come_in_order_and_repeat(embedder: UniversalSentenceEmbedder) -> None:
    texts = ["one fee", "a refund", "one fee", "cash"]
    alone = [(await UniversalSentenceEmbedder().embed([text], "note"))[0] for text in texts[:1]]
    together = await embedder.embed(texts, "note")
    assert np.array_equal(together[0], together[2])
    assert np.allclose(together[0], alone[0], atol=1e-6)
    assert np.array_equal((await embedder.embed(["cash"], "query"))[0], together[3])
    assert await embedder.embed([], "note") == []


async def test_what_means_the_same_is_near(embedder: UniversalSentenceEmbedder) -> None:
    asked, near, far = await embedder.embed(
        ["I was charged twice for one purchase", "There is a duplicate charge", "Where is my new card?"], "query"
    )
    assert asked @ near > asked @ far + 0.1


async def test_only_the_beginning_of_a_long_text_counts(embedder: UniversalSentenceEmbedder) -> None:
    beginning = ("The order was returned. " * 200)[:MAX_EMBEDDED_CHARACTERS]
    cut, whole = await embedder.embed([beginning, beginning + " and then some"], "note")
    assert np.array_equal(cut, whole)


async def test_the_event_loop_never_waits_for_it(embedder: UniversalSentenceEmbedder) -> None:
    work = asyncio.create_task(embedder.embed([f"message {number} " * 100 for number in range(50)], "note"))
    started = last = time.perf_counter()
    longest = 0.0
    while not work.done():
        await asyncio.sleep(0)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    assert len(await work) == 50
    assert longest < (last - started) / 2
