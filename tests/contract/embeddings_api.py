"""An embeddings API on loopback, on the scripted server: vectors that follow from the texts, in any shape of answer."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from paywarden.memory.embedder import Vector
from tests.contract.messages_api import Scripted

KEY = "pa-canary-0123456789"


def vector_of(text: str, dimension: int) -> Vector:
    """Always the same for a text, of length one."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    raw = np.random.default_rng(seed).normal(size=dimension)
    return np.asarray(raw / np.linalg.norm(raw), dtype=np.float32)


def data(body: dict[str, Any]) -> list[dict[str, Any]]:
    """What the API answers for every text of a request, in their order."""
    dimension = body.get("output_dimension", body.get("dimensions"))
    return [
        {"object": "embedding", "index": index, "embedding": vector_of(text, dimension).tolist()}
        for index, text in enumerate(body["input"])
    ]


def good(body: dict[str, Any]) -> Scripted:
    """A sound answer, its vectors in the reverse order: only their index says whose they are."""
    return answer(list(reversed(data(body))))


def answer(vectors: Any, **changes: Any) -> Scripted:
    """An answer with these vectors, and with these fields of its envelope."""
    envelope = {"object": "list", "data": vectors, "model": "m", "usage": {"total_tokens": 7}}
    return Scripted(body=json.dumps(envelope | changes).encode())


def bent(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[dict[str, Any]], Scripted]:
    """A sound answer but for what ``change`` makes of its vectors, in place or as a new list."""

    def answered(body: dict[str, Any]) -> Scripted:
        vectors = data(body)
        return answer(change(vectors) or vectors)

    return answered
