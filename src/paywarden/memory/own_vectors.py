"""Vectors that a caller brings: kept as given, compared only with vectors of the same dimension."""

import math
from collections.abc import Sequence

import numpy as np

from paywarden.kit.errors import InvalidFieldError
from paywarden.memory.embedder import Vector

MAX_DIMENSION = 2_000
# Beyond these lengths the squares of single-precision numbers overflow or vanish, and a cosine is no number.
_SHORTEST, _LONGEST = 1e-15, 1e15
_PROBLEM = f"must be 1 to {MAX_DIMENSION} finite numbers of ordinary size, not all of them zero"


def checked_vector(values: Sequence[object]) -> Vector:
    """The caller's numbers as a vector. Raises InvalidFieldError for ``embedding``: NaN, infinity, overflow, zero."""
    if not 1 <= len(values) <= MAX_DIMENSION:
        raise InvalidFieldError("embedding", _PROBLEM)
    numbers = [_number(value) for value in values]
    # Also false for NaN and infinities, which no comparison lets through.
    if not _SHORTEST <= math.hypot(*numbers) <= _LONGEST:
        raise InvalidFieldError("embedding", _PROBLEM)
    return np.array(numbers, dtype=np.float32)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidFieldError("embedding", _PROBLEM)
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidFieldError("embedding", _PROBLEM) from error
