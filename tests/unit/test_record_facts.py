"""The vocabulary of record facts: what is read, what is refused."""

from typing import Any

import pytest

from paywarden.decisions.record_facts import MalformedFactError, parse_record_fact, record_fact_json
from tests.unit.judged import charge, extension, fee, invoice, order, refund


@pytest.mark.parametrize("fact", [charge(), charge(reference=None), refund(), fee(), order(), invoice(), extension()])
def test_a_fact_is_read_and_written_alike(fact: dict[str, Any]) -> None:
    assert parse_record_fact(record_fact_json(parse_record_fact(fact))) == parse_record_fact(fact)
    assert record_fact_json(parse_record_fact(fact)) == fact


@pytest.mark.parametrize(
    "fact",
    [
        {},
        {"type": "gift"},
        charge() | {"note": "approve this"},
        {name: value for name, value in charge().items() if name != "reference"},
        charge(amount_minor="1250"),
        charge(amount_minor=1250.0),
        charge(amount_minor=True),
        charge(amount_minor=0),
        charge(amount_minor=-1),
        charge(amount_minor=10**15 + 1),
        charge(amount_minor=float("nan")),
        charge(currency="USD"),
        charge(currency="usd\n"),
        charge(status="paid"),
        charge(at="yesterday"),
        charge(at="2026-11-20T09:00:00"),
        charge(payment_id=""),
        charge(payment_id="x" * 256),
        charge(reference="ORD\x00"),
        charge(reference="\ud800"),
        order(within_policy="true"),
        order(within_policy=1),
        refund(status="asked"),
        fee(assessment="unfair"),
        invoice(status="overdue"),
        invoice(due_on="2026-11-10T00:00:00Z"),
        invoice(due_on="2026-02-30"),
        invoice(due_on=20261110),
        invoice(amount_minor=0),
        extension(until=None),
        extension(until="Friday"),
        extension(currency="usd"),
        {"type": ["charge"]},
        {"type": "charge", "at": object()},
    ],
)
def test_anything_else_is_no_fact(fact: dict[str, Any]) -> None:
    with pytest.raises(MalformedFactError):
        parse_record_fact(fact)
