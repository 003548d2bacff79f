"""Canonical JSON and the digests that approvals and fingerprints are bound to: one value, one byte string."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from paywarden.kit.canonical import canonical_json, digest, loads_strict
from paywarden.kit.errors import InvalidFieldError

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text("abc", max_size=3), inner))
)


def test_the_example_of_rfc_8785() -> None:
    value = {"numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001], "literals": [None, True]}
    assert canonical_json(value) == b'{"literals":[null,true],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}'
    assert canonical_json({"\u20ac": 1, "\r": 2, "1": 3}) == '{"\\r":2,"1":3,"€":1}'.encode()


@given(VALUES)
def test_the_order_of_keys_does_not_matter_and_the_value_comes_back(value: Any) -> None:
    shuffled = json.loads(json.dumps(value), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert canonical_json(shuffled) == canonical_json(value)
    assert loads_strict(canonical_json(value)) == value


@given(
    st.recursive(
        st.one_of(SCALARS, st.floats(-1e9, 1e9)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=4)),
    )
)
def test_the_bytes_are_those_of_the_reference(value: Any) -> None:
    try:
        expected = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises(InvalidFieldError):
            canonical_json(value)
    else:
        assert canonical_json(value) == expected


@given(VALUES, VALUES)
def test_two_values_share_a_digest_only_when_they_are_equal(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))


def test_one_cent_one_letter_or_one_type_more_is_another_digest() -> None:
    told = {"amount_minor": 100, "currency": "usd", "bare": False, "payee": None}
    others = [{"amount_minor": 101}, {"currency": "eur"}, {"bare": None}, {"payee": ""}, {"amount_minor": "100"}]
    assert len({digest(told | change) for change in [{}, *others]}) == len(others) + 1
    assert len(digest(told)) == 32


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), 2**53, -(2**53), "\ud800", {"\udfff": 1}, [b"x"], {1: 2}],
    ids=repr,
)  # fmt: skip
def test_what_json_cannot_carry_is_refused(value: Any) -> None:
    with pytest.raises(InvalidFieldError):
        canonical_json(value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b"\xff\xfe",
        b'{"a": "\xc3\x28"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\x00",
        b"'a'",
        b"1 2",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_strict_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the contract names no message
        loads_strict(body)


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_but_a_value_error(body: bytes) -> None:
    try:
        loads_strict(body)
    except ValueError:
        return
    json.loads(body)


@given(VALUES | st.dictionaries(st.text(max_size=3), SCALARS | st.floats(allow_nan=False, allow_infinity=False)))
def test_the_short_way_writes_what_the_long_way_writes(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)
