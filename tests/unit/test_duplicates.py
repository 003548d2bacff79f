"""The fingerprint of a payment: the same for a repeat, another for anything else."""

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from paywarden.guardrails.duplicates import fingerprint

PARTS: dict[str, Any] = {
    "principal_id": UUID(int=1),
    "kind": "charge",
    "counterparty": "user_42",
    "amount_minor": 2500,
    "currency": "usd",
    "reference": "ORD-1",
}
OTHERS: dict[str, list[Any]] = {
    "principal_id": [UUID(int=2)],
    "kind": ["refund"],
    "counterparty": ["user_4", "", "user_42,2500"],
    "amount_minor": [2501],
    "currency": ["eur"],
    "reference": [None, "None", "null", "", "ORD-2"],
}


def test_the_same_parts_give_the_same_32_bytes() -> None:
    assert fingerprint(**PARTS) == fingerprint(**PARTS)
    assert len(fingerprint(**PARTS)) == 32


def test_every_part_counts() -> None:
    changed = {fingerprint(**PARTS | {name: value}) for name, values in OTHERS.items() for value in values}
    assert len(changed | {fingerprint(**PARTS)}) == 1 + sum(map(len, OTHERS.values()))


@given(st.tuples(st.text("ab|,"), st.text("ab|,")), st.tuples(st.text("ab|,"), st.text("ab|,")))
def test_parts_cannot_be_shifted_into_each_other(one: tuple[str, str], other: tuple[str, str]) -> None:
    prints = [fingerprint(**PARTS | {"counterparty": pair[0], "reference": pair[1]}) for pair in (one, other)]
    assert (prints[0] == prints[1]) == (one == other)
