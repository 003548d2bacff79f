"""What an embeddings API answered, believed only when it is exactly what was asked for."""

import json
import math
from typing import Any

import numpy as np

from paywarden.memory.embedder import Vector, unit

# Models give vectors of about length one; what is far from it says nothing, or was tampered with.
_SHORTEST, _LONGEST = 1e-6, 1e6


class UnreadableAnswerError(ValueError):
    """The answer is not what was asked for; says how, without a word of its content."""


def read_answer(content: bytes, count: int, dimension: int) -> list[Vector]:
    """The ``count`` vectors in the order of the texts, at unit length. Raises UnreadableAnswerError."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise UnreadableAnswerError("it is not JSON") from None
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or len(data) != count:
        raise UnreadableAnswerError(f"it does not hold {count} vectors")
    by_index: dict[int, Vector] = {}
    for entry in data:
        if not isinstance(entry, dict) or type(entry.get("index")) is not int:
            raise UnreadableAnswerError("a vector does not say whose it is")
        by_index[entry["index"]] = _vector(entry.get("embedding"), dimension)
    if set(by_index) != set(range(count)):
        raise UnreadableAnswerError("a text has no vector, or two")
    return [by_index[index] for index in range(count)]


def _vector(numbers: Any, dimension: int) -> Vector:
    if not isinstance(numbers, list) or len(numbers) != dimension:
        raise UnreadableAnswerError(f"a vector does not have {dimension} numbers")
    if not all(type(number) in (int, float) for number in numbers):
        raise UnreadableAnswerError("a vector holds what is no number")
    try:
        length = math.hypot(*numbers)
    except OverflowError:
        length = math.inf
    # Also false for NaN and infinities, which no comparison lets through.
    if not _SHORTEST <= length <= _LONGEST:
        raise UnreadableAnswerError("a vector is not of ordinary length")
    return unit(np.array(numbers, dtype=np.float32))
