"""Voyage's and OpenAI's embeddings over real HTTP: what is sent, and what is never believed."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from paywarden.kit.errors import EmbedderUnavailableError, InvalidFieldError
from paywarden.memory import embedding_answer
from paywarden.memory.embedder import RefusedTextError
from paywarden.memory.hosted_embedder import HostedEmbedder, HostedService, openai, voyage
from tests.contract.embeddings_api import KEY, answer, bent, data, good, vector_of
from tests.contract.messages_api import MessagesApi, Scripted, messages_api

DIMENSION = 64
Answering = Callable[[dict[str, Any]], Scripted]
JSON = (("Content-Type", "application/json"),)


@asynccontextmanager
async def embedder_at(url: str, service: HostedService | None = None, **changes: Any) -> AsyncIterator[HostedEmbedder]:
    options: dict[str, Any] = {"model": None, "dimension": DIMENSION, "timeout_seconds": 20}
    embedder = HostedEmbedder(service or voyage(), KEY, base_url=f"{url}/v1/", **options | changes)
    try:
        yield embedder
    finally:
        await embedder.close()


@asynccontextmanager
async def embedding(
    otherwise: Answering = good, *script: Scripted, **changes: Any
) -> AsyncIterator[tuple[HostedEmbedder, MessagesApi]]:
    async with messages_api(*script) as api, embedder_at(api.url, **changes) as embedder:
        api.otherwise = otherwise
        yield embedder, api


async def refused(otherwise: Answering, *script: Scripted, **changes: Any) -> tuple[EmbedderUnavailableError, int]:
    """The error that two texts end with, and how often they were asked for."""
    async with embedding(otherwise, *script, **changes) as (embedder, api):
        with pytest.raises(EmbedderUnavailableError) as caught:
            await embedder.embed(["one", "two"], "note")
        assert KEY not in str(caught.value)
        return caught.value, len(api.requests)


async def test_voyage_is_told_notes_from_queries() -> None:
    async with embedding() as (embedder, api):
        assert (embedder.id, embedder.dimension) == ("voyage:voyage-4:64", 64)
        (vector,) = await embedder.embed(["a note"], "note")
        await embedder.embed(["a question"], "query")
    assert np.allclose(vector, vector_of("a note", DIMENSION), atol=1e-6)
    assert [request.path for request in api.requests] == ["/v1/embeddings"] * 2
    assert api.requests[0].headers["authorization"] == f"Bearer {KEY}"
    common = {"model": "voyage-4", "output_dimension": 64}
    assert [request.body for request in api.requests] == [
        {"input": ["a note"], "input_type": "document", **common},
        {"input": ["a question"], "input_type": "query", **common},
    ]


async def test_openai_is_told_how_long_a_vector_is() -> None:
    async with embedding(service=openai(), model="text-embedding-3-large") as (embedder, api):
        assert embedder.id == "openai:text-embedding-3-large:64"
        await embedder.embed(["a note"], "note")
    assert api.requests[0].body == {
        "input": ["a note"], "model": "text-embedding-3-large", "dimensions": 64, "encoding_format": "float",
    }  # fmt: skip


async def test_vectors_are_put_in_order_and_have_length_one() -> None:
    texts = [f"text {number}" for number in range(7)]

    def longer(vectors: list[dict[str, Any]]) -> None:
        for each in vectors:
            each["embedding"] = [3 * number for number in each["embedding"]]

    for answering in (good, bent(longer)):
        async with embedding(answering) as (embedder, api):
            vectors = await embedder.embed(texts, "note")
        expected = [vector_of(text, DIMENSION) for text in texts]
        assert np.allclose(vectors, expected, atol=1e-6)
        assert (len(api.requests), vectors[0].dtype) == (1, np.float32)


async def test_a_call_holds_no_more_than_a_model_takes_and_of_a_text_what_counts() -> None:
    texts = [*["x" * 20_000] * 60, *["💶" * 2_000] * 20, *["short"] * 250]
    async with embedding() as (embedder, api):
        vectors = await embedder.embed(texts, "note")
        assert await embedder.embed([], "note") == []
    sizes = [(len(call.body["input"]), sum(len(text.encode()) for text in call.body["input"])) for call in api.requests]
    assert sum(count for count, _ in sizes) == len(vectors) == len(texts)
    assert max(count for count, _ in sizes) == 100
    assert max(size for _, size in sizes) <= 100_000
    assert max(len(text) for call in api.requests for text in call.body["input"]) == 2_000


@pytest.mark.parametrize("text", ["", " \n", "\ud800"])
async def test_what_is_no_text_is_not_sent(text: str) -> None:
    async with embedding() as (embedder, api):
        with pytest.raises(InvalidFieldError):
            await embedder.embed(["fine", text], "note")
    assert api.requests == []


def without_last(vectors: list[Any]) -> list[Any]:
    return vectors[:-1]


def with_number(value: Any) -> Callable[[list[Any]], None]:
    def change(vectors: list[Any]) -> None:
        vectors[1]["embedding"][3] = value

    return change


def with_index(value: Any) -> Callable[[list[Any]], None]:
    def change(vectors: list[Any]) -> None:
        vectors[1]["index"] = value

    return change


BENT: dict[str, Answering] = {
    "one too few": bent(without_last),
    "one too many": bent(lambda vectors: [*vectors, vectors[0]]),
    "two for one text": bent(with_index(0)),
    "an index beyond": bent(with_index(2)),
    "an index that is true": bent(with_index(True)),
    "no index": bent(lambda vectors: [{"embedding": each["embedding"]} for each in vectors]),
    "too short": bent(lambda vectors: [vectors[0], vectors[1] | {"embedding": vectors[1]["embedding"][:-1]}]),
    "a word": bent(with_number("0.5")),
    "a truth": bent(with_number(True)),
    "nothing": bent(with_number(None)),
    "NaN": bent(with_number(float("nan"))),
    "infinity": bent(with_number(float("-inf"))),
    "beyond all size": bent(with_number(1e300)),
    "an integer beyond all size": bent(with_number(10**400)),
    "all zero": bent(lambda vectors: [each | {"embedding": [0.0] * DIMENSION} for each in vectors]),
    "no list": bent(lambda vectors: {"0": vectors}),
    "a list of words": bent(lambda vectors: ["x"] * len(vectors)),
    "no data": lambda body: Scripted(body=b"{}", headers=JSON),
    "no object": lambda body: Scripted(body=b"[1]", headers=JSON),
    "no JSON": lambda body: Scripted(body=b"<html>", headers=JSON),
    "nothing at all": lambda body: Scripted(body=b"", headers=JSON),
    "nested without end": lambda body: Scripted(body=b"[" * 60_000, headers=JSON),
    "no text": lambda body: Scripted(body=b'{"data": "\xff"}', headers=JSON),
}  # fmt: skip


@pytest.mark.parametrize("name", BENT)
async def test_an_answer_that_is_not_what_was_asked_for_is_not_believed(name: str) -> None:
    error, asked = await refused(BENT[name])
    assert "gives an answer that cannot be used" in error.detail
    assert asked == 1, "what was answered and charged is not asked for again"


@pytest.mark.parametrize("name", ["too short", "NaN", "a word"])
async def test_broken_twin_without_the_check_of_numbers_nonsense_comes_through(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        embedding_answer, "_vector", lambda numbers, dimension: np.array(numbers, dtype=object).astype(np.float32)
    )
    async with embedding(BENT[name]) as (embedder, _):
        vectors = await embedder.embed(["one", "two"], "note")
    assert len(vectors[1]) != DIMENSION or not np.isclose(np.linalg.norm(vectors[1]), 1, atol=1e-3)


async def test_an_answer_without_end_is_cut_off() -> None:
    endless = Scripted(body=b'{"data": [' + b" " * 2_000_000, headers=JSON, promised_bytes=10**9)
    error, _ = await refused(lambda _: endless)
    assert "answers with more than" in error.detail
    packed = Scripted(body=gzip.compress(b" " * 10**8), headers=(*JSON, ("Content-Encoding", "gzip")))
    error, _ = await refused(lambda _: packed)
    assert "compresses its answer" in error.detail


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
async def test_what_passes_is_waited_for(status: int) -> None:
    soon = (("Retry-After", "0"),)
    async with embedding(good, Scripted(status, b"{}", soon), Scripted(cut=True)) as (embedder, api):
        assert len(await embedder.embed(["one"], "note")) == 1
    assert len(api.requests) == 3
    error, asked = await refused(lambda _: Scripted(status, b"{}", soon))
    assert (asked, type(error), f"HTTP {status}" in error.detail) == (3, EmbedderUnavailableError, True)


async def test_a_wait_that_is_too_long_is_left_to_the_caller() -> None:
    error, asked = await refused(lambda _: Scripted(429, b"{}", (("Retry-After", "61"),)))
    assert (asked, error.retry_after_seconds, error.status, error.code) == (1, 61, 503, "embedder_unavailable")
    error, _ = await refused(lambda _: Scripted(429, b"{}", (("Retry-After", "99999999"),)))
    assert error.retry_after_seconds == 3_600
    for odd in ("Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e9", "", "٣"):
        header = (("Retry-After", odd.encode().decode("latin-1")),)
        async with embedding(good, Scripted(429, b"{}", header)) as (embedder, api):
            assert len(await embedder.embed(["one"], "note")) == 1
        assert len(api.requests) == 2


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (400, RefusedTextError, "HTTP 400"),
        (413, RefusedTextError, "HTTP 413"),
        (422, RefusedTextError, "HTTP 422"),
        (401, EmbedderUnavailableError, "does not accept its key"),
        (403, EmbedderUnavailableError, "HTTP 403"),
        (404, EmbedderUnavailableError, "HTTP 404"),
        (302, EmbedderUnavailableError, "HTTP 302"),
        (204, EmbedderUnavailableError, "HTTP 204"),
    ],
)
async def test_what_does_not_pass_is_not_asked_for_again(status: int, kind: type[Exception], says: str) -> None:
    elsewhere = (("Location", "http://127.0.0.1:9/v1/embeddings"),)
    error, asked = await refused(lambda _: Scripted(status, b'{"error": "pa-canary-0123456789"}', elsewhere))
    assert (type(error), says in error.detail, asked) == (kind, True, 1)


async def test_silence_costs_the_time_out_and_no_more() -> None:
    async with asyncio.timeout(10):
        error, _ = await refused(lambda _: Scripted(silent=True), timeout_seconds=0.2)
    assert "did not answer within 0.2 seconds" in error.detail


async def test_half_an_answer_and_no_service_at_all() -> None:
    half = answer(data({"input": ["one", "two"], "dimensions": DIMENSION}))
    cut = Scripted(body=half.body[:500], headers=JSON, promised_bytes=len(half.body) - 500)
    error, asked = await refused(lambda _: cut)
    assert ("cannot be reached" in error.detail, asked) == (True, 3)
    async with messages_api() as api:
        url = api.url
    async with embedder_at(url) as embedder:
        with pytest.raises(EmbedderUnavailableError, match="cannot be reached"):
            await embedder.embed(["one"], "note")


async def test_neither_key_nor_text_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="httpx"):
        async with embedding() as (embedder, _):
            await embedder.embed(["a secret of a customer"], "note")
        await refused(lambda _: Scripted(400, b"{}"))
    assert caplog.records
    assert not [line for line in caplog.messages if KEY in line or "secret of a customer" in line]
