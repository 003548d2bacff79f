"""Embedders of others, over HTTP. What is embedded leaves the machine: the texts of notes, and what is asked."""

import asyncio
import random
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

from paywarden.kit.errors import EmbedderUnavailableError
from paywarden.memory.embedder import RefusedTextError, TextKind, Vector, embeddable
from paywarden.memory.embedding_answer import UnreadableAnswerError, read_answer

# A token is at least a byte: what is sent together stays below every model's limit of tokens in a call (120,000).
_CALL_BYTES = 100_000
_CALL_TEXTS = 100
# A number of a vector as JSON, and what stands around the vectors.
_NUMBER_BYTES, _FRAME_BYTES = 40, 65_536
_ATTEMPTS = 3
_FIRST_PAUSE_SECONDS = 0.25
_LATER_SECONDS = 30
_LONGEST_WAIT_SECONDS = 3_600
_WORTH_REPEATING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_REFUSED = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class HostedService:
    """What services differ in: their name, address and usual model, and how a call is written."""

    name: str
    base_url: str
    model: str
    body: Callable[[str, int, list[str], TextKind], dict[str, Any]]


class HostedEmbedder:
    """Vectors of one model at one service. Each call ends within ``timeout_seconds``, repeats included."""

    at_once = _CALL_TEXTS

    def __init__(
        self,
        service: HostedService,
        api_key: str,
        *,
        model: str | None,
        dimension: int,
        base_url: str | None,
        timeout_seconds: float,
    ) -> None:
        self._service, self._model, self.dimension = service, model or service.model, dimension
        self.id = f"{service.name}:{self._model}:{dimension}"
        self._timeout_seconds = timeout_seconds
        self._url = f"{(base_url or service.base_url).rstrip('/')}/embeddings"
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}", "Accept-Encoding": "identity", "User-Agent": "paywarden"},
            timeout=httpx.Timeout(None),
            follow_redirects=False,
            trust_env=False,
            verify=_trusted_certificates(),
        )

    async def preload(self) -> None:
        """There is nothing to load, and a call costs money."""

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def embed(self, texts: Sequence[str], kind: TextKind) -> list[Vector]:
        """One unit vector for each text, in order. Raises InvalidFieldError for a text that cannot be embedded.

        Raises EmbedderUnavailableError when the service does not give them in time, RefusedTextError when it will not.
        """
        vectors: list[Vector] = []
        for call in _calls([embeddable(text) for text in texts]):
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    vectors += await self._asked(call, kind)
            except TimeoutError:
                raise self._unavailable(f"did not answer within {self._timeout_seconds:g} seconds") from None
        return vectors

    async def _asked(self, texts: list[str], kind: TextKind) -> list[Vector]:
        """The answer to one call, asked for again while that may help. The caller bounds the whole."""
        body = self._service.body(self._model, self.dimension, texts, kind)
        for attempt in range(1, _ATTEMPTS + 1):
            pause_seconds = _FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - not a secret
            try:
                status, told_seconds, content = await self._post(body, len(texts))
            except httpx.HTTPError as error:
                problem, told_seconds = f"cannot be reached ({type(error).__name__})", None
            else:
                if status == 200:
                    return self._read(content, len(texts))
                if status not in _WORTH_REPEATING:
                    raise self._refusal(status)
                problem = f"answers HTTP {status}"
            wait_seconds = pause_seconds if told_seconds is None else told_seconds
            if attempt == _ATTEMPTS or wait_seconds >= self._timeout_seconds:
                break
            await asyncio.sleep(wait_seconds)
        raise self._unavailable(problem, told_seconds)

    async def _post(self, body: dict[str, Any], count: int) -> tuple[int, float | None, bytes]:
        """Status, how long to wait if it says so, and content. Raises httpx.HTTPError when no whole answer comes."""
        most_bytes = _FRAME_BYTES + count * self.dimension * _NUMBER_BYTES
        async with self._client.stream("POST", self._url, json=body) as answer:
            content = b""
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise self._unavailable("compresses its answer, which was asked for as it is")
            async for chunk in answer.aiter_raw():
                content += chunk
                if len(content) > most_bytes:
                    raise self._unavailable(f"answers with more than {most_bytes} bytes")
            return answer.status_code, _told_seconds(answer.headers.get("retry-after")), content

    def _read(self, content: bytes, count: int) -> list[Vector]:
        try:
            return read_answer(content, count, self.dimension)
        except UnreadableAnswerError as error:
            raise self._unavailable(f"gives an answer that cannot be used: {error}") from None

    def _refusal(self, status: int) -> EmbedderUnavailableError:
        if status in _REFUSED:
            detail = f"The embedder {self.id} refuses the call: HTTP {status}."
            return RefusedTextError(detail, retry_after_seconds=_LATER_SECONDS)
        return self._unavailable("does not accept its key: HTTP 401" if status == 401 else f"answers HTTP {status}")

    def _unavailable(self, problem: str, told_seconds: float | None = None) -> EmbedderUnavailableError:
        after = _LATER_SECONDS if told_seconds is None else max(1, round(told_seconds))
        return EmbedderUnavailableError(f"The embedder {self.id} {problem}.", retry_after_seconds=after)


def voyage() -> HostedService:
    """Voyage AI: it tells notes from queries."""

    def body(model: str, dimension: int, texts: list[str], kind: TextKind) -> dict[str, Any]:
        asked = "document" if kind == "note" else "query"
        return {"input": texts, "model": model, "input_type": asked, "output_dimension": dimension}

    return HostedService("voyage", "https://api.voyageai.com/v1", "voyage-4", body)


def openai() -> HostedService:
    """OpenAI, or whatever speaks its embeddings API: notes and queries alike."""

    def body(model: str, dimension: int, texts: list[str], kind: TextKind) -> dict[str, Any]:
        return {"input": texts, "model": model, "dimensions": dimension, "encoding_format": "float"}

    return HostedService("openai", "https://api.openai.com/v1", "text-embedding-3-small", body)


def _calls(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, as many in a call as it bears."""
    call: list[str] = []
    size_bytes = 0
    for text in texts:
        text_bytes = len(text.encode())
        if call and (len(call) == _CALL_TEXTS or size_bytes + text_bytes > _CALL_BYTES):
            yield call
            call, size_bytes = [], 0
        call.append(text)
        size_bytes += text_bytes
    if call:
        yield call


def _told_seconds(header: str | None) -> float | None:
    """Retry-After in seconds; an hour at most, and nothing where it is a date or no number."""
    if header is None or not (header.isascii() and header.isdigit() and len(header) < 9):
        return None
    return min(float(header), _LONGEST_WAIT_SECONDS)


@cache
def _trusted_certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
