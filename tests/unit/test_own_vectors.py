"""Vectors that callers bring, hostile ones too."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paywarden.kit.errors import InvalidFieldError
from paywarden.memory.own_vectors import MAX_DIMENSION, checked_vector


@pytest.mark.parametrize("values", [[1], [0.1, -0.2], [0, 0, 1], [1.0] * MAX_DIMENSION, [1e15], [1e-15]])
def test_ordinary_numbers_are_kept_as_given(values: list[float]) -> None:
    assert np.array_equal(checked_vector(values), np.array(values, dtype=np.float32))


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1.0] * (MAX_DIMENSION + 1),
        [0.0, 0, -0.0],
        [float("nan")],
        [1.0, float("inf")],
        [float("-inf")],
        [1e39],
        [1e20, 1e20],
        [1e308] * 10,
        [10**400],
        [1e-30],
        [5e-324],
        [True],
        ["1"],
        [None],
        [[1.0]],
        [1j],
    ],
)
def test_anything_else_names_the_field(values: list[Any]) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        checked_vector(values)
    assert caught.value.param == "embedding"


@given(st.lists(st.floats() | st.integers() | st.booleans() | st.none(), max_size=20))
def test_what_is_accepted_has_a_cosine_in_single_precision(values: list[Any]) -> None:
    try:
        vector = checked_vector(values)
    except InvalidFieldError:
        return
    squares = np.sum(vector * vector, dtype=np.float32)
    assert np.isfinite(squares)
    assert squares > 0
