"""Strict parsing of what an adviser answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paywarden.decisions.advice import Advice, MalformedAdviceError, Snapshot, parse_advice
from tests.unit.judged import charge, fee, note, order, own, refund, snapshot

GOOD: dict[str, Any] = {
    "verdict": "approve",
    "amount_minor": 1250,
    "reason": "The order was returned.",
    "confidence": 95,
    "evidence": ["note_1"],
    "missing_facts": [],
}


def test_a_good_answer_is_read() -> None:
    assert parse_advice(json.dumps(GOOD)) == Advice("approve", 1250, "The order was returned.", 95, ("note_1",), ())
    assert parse_advice(json.dumps(parse_advice(json.dumps(GOOD)).as_json())) == parse_advice(json.dumps(GOOD))


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "APPROVE"},
        {"verdict": None},
        {"amount_minor": "1250"},
        {"amount_minor": 12.5},
        {"amount_minor": 1250.0},
        {"amount_minor": True},
        {"amount_minor": -1},
        {"amount_minor": 10**15 + 1},
        {"amount_minor": 0},
        {"confidence": 101},
        {"confidence": -1},
        {"confidence": "95"},
        {"confidence": 0.95},
        {"reason": ""},
        {"reason": "   "},
        {"reason": "x" * 2001},
        {"reason": "\x00"},
        {"reason": "card 4242 4242 4242 4242"},
        {"evidence": "note_1"},
        {"evidence": [1]},
        {"evidence": ["x"] * 51},
        {"evidence": ["\x07"]},
        {"missing_facts": None},
        {"verdict": "need_facts", "missing_facts": []},
        {"note": "one field more"},
    ],
)
def test_anything_else_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedAdviceError):
        parse_advice(json.dumps(GOOD | changes))


@pytest.mark.parametrize("field", sorted(GOOD))
def test_every_field_must_be_there(field: str) -> None:
    with pytest.raises(MalformedAdviceError):
        parse_advice(json.dumps({name: value for name, value in GOOD.items() if name != field}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "approve",
        "null",
        "[]",
        "```json\n" + json.dumps(GOOD) + "\n```",
        json.dumps(GOOD) + " I hope this helps",
        json.dumps(GOOD)[:-1],
        json.dumps(GOOD).replace("95", "NaN"),
        json.dumps(GOOD).replace("1250", "1e999"),
        json.dumps(GOOD)[:-1] + ', "verdict": "approve"}',
        '{"verdict": "\\ud800"}',
        "[" * 100_000,
        "\ud800",
    ],
)
def test_what_is_not_exactly_one_json_object_is_malformed(text: str) -> None:
    with pytest.raises(MalformedAdviceError):
        parse_advice(text)


@given(
    st.text() | st.dictionaries(st.sampled_from(sorted(GOOD)), st.text() | st.integers() | st.none()).map(json.dumps)
)
def test_no_answer_at_all_breaks_the_parser(text: str) -> None:
    with pytest.raises(MalformedAdviceError):
        parse_advice(text)


def test_an_error_quotes_nothing_of_the_answer() -> None:
    with pytest.raises(MalformedAdviceError) as caught:
        parse_advice(json.dumps(GOOD | {"confidence": "canary-7"}))
    assert "canary-7" not in str(caught.value)
    assert "confidence" in str(caught.value)


def test_a_snapshot_is_json() -> None:
    seen = snapshot("refund me", note(1, charge(), content="paid"), records=(own("pay_1", charge()),))
    assert json.loads(json.dumps(seen.as_json()))["evidence"][0]["facts"] == charge()
    assert seen.as_json()["records"] == [{"id": "pay_1", "fact": charge()}]


def test_a_stored_snapshot_is_read_back_as_it_was() -> None:
    """Else a replay would be about another case."""
    records = tuple(own(f"pay_{place}", fact()) for place, fact in enumerate((charge, refund, fee, order)))
    whole = snapshot(
        "twice", note(1, charge()), note(2, trust="customer", content="half \u20ac"), records=records, complete=False
    )
    bare = snapshot("twice", payment_id="pay_1")
    for seen in (whole, bare):
        assert Snapshot.from_json(json.loads(json.dumps(seen.as_json()))) == seen
