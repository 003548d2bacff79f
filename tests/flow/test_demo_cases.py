"""The demo's made-up world: real messages, deterministic records, and outcomes that follow from them."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from paywarden.decisions.advice import EvidenceNote, OwnRecord, Snapshot, Verdict
from paywarden.decisions.record_facts import ChargeFact, parse_record_fact
from paywarden.decisions.rules import judge
from paywarden.demo.cases import CURRENCY, Case, load_cases, make_case, record_of
from paywarden.kit.text import clean_text

pytestmark = pytest.mark.shared_sandbox

AT = datetime(2030, 1, 1, tzinfo=UTC)
CASES = load_cases()
INTENTS = {
    "transaction_charged_twice": 60,
    "request_refund": 60,
    "card_payment_fee_charged": 60,
    "Refund_not_showing_up": 48,
    "card_payment_not_recognised": 24,
    "cash_withdrawal_not_recognised": 24,
    "direct_debit_payment_not_recognised": 24,
}


def _verdict(case: Case) -> Verdict:
    """What the offline adviser makes of a case, with our own payment rows and the record note before it."""
    paid = [f"pay_{case.number}_{number}" for number in range(case.charges)]
    own = [
        OwnRecord(each, ChargeFact("charge", each, case.amount_minor, CURRENCY, "ORD-1", "succeeded", AT))
        for each in paid
    ]
    record = record_of(case, paid[0], "ORD-1", "2030-01-01T00:00:00.000Z")
    notes = [EvidenceNote("note_1", b"", 0.9, "customer", case.message)]
    if record is not None:
        notes.append(EvidenceNote("note_2", b"", 0.5, "record", record.content, record.facts))
    asked = (case.message, "c", "refund", case.refund_minor, CURRENCY, paid[-1])
    snapshot = Snapshot(*asked, tuple(own), tuple(notes), datetime(2030, 1, 1, tzinfo=UTC))
    return judge(snapshot).verdict


def test_the_sample_is_real_messages_of_seven_intents() -> None:
    assert Counter(case.intent for case in CASES) == INTENTS
    assert len({case.message for case in CASES}) == 300
    for case in CASES:
        assert clean_text(case.message, "message") == case.message


def test_a_message_always_makes_the_same_case_and_a_part_is_a_mix() -> None:
    assert load_cases() == CASES
    assert load_cases(30) == CASES[:30]
    assert make_case(7, CASES[6].message, CASES[6].intent) == CASES[6]
    assert {case.truth for case in CASES[:30]} == {"match", "contradict", "lack"}
    assert len({case.intent for case in CASES[:30]}) >= 5


def test_half_of_the_records_match_a_quarter_contradicts_a_quarter_is_missing() -> None:
    shares = Counter(case.truth for case in CASES)
    assert 130 <= shares["match"] <= 170
    assert min(shares.values()) >= 60


def test_some_are_above_what_an_adviser_may_decide_and_some_above_the_mandate() -> None:
    assert 5 <= sum(10_000 < case.refund_minor <= 12_000 for case in CASES) <= 40
    assert 10 <= sum(case.refund_minor > 12_000 for case in CASES) <= 40
    for case in CASES:
        assert 0 < case.refund_minor <= case.amount_minor


def test_every_record_is_of_the_advisers_vocabulary() -> None:
    for case in CASES:
        record = record_of(case, "pay_1", "ORD-1", "2030-01-01T00:00:00.000Z")
        assert (record is None) == (case.truth == "lack")
        if record is not None:
            clean_text(record.content, "content")
            assert record.facts is None or parse_record_fact(record.facts)


@pytest.mark.parametrize("intent", INTENTS)
def test_the_adviser_approves_nothing_that_the_records_do_not_support(intent: str) -> None:
    verdicts = Counter((case.truth, _verdict(case)) for case in CASES if case.intent == intent)
    approved = {truth for (truth, verdict), count in verdicts.items() if verdict == "approve" and count}
    if intent.endswith("not_recognised"):
        assert not approved
    else:
        assert approved == {"match"}
        matched = sum(count for (truth, _), count in verdicts.items() if truth == "match")
        assert verdicts["match", "approve"] >= 0.75 * matched
