"""The amount of an approval and the payee of a payout must rest on cited evidence that is trusted."""

from typing import Any

import pytest

from paywarden.decisions import support
from paywarden.decisions.advice import Advice, EvidenceNote, Snapshot
from paywarden.decisions.adviser import AdviceRecord
from paywarden.decisions.checks import CheckedAdvice, check_advice
from tests.unit.judged import LATER, charge, fee, note, note_id, order, own, refund, snapshot

IBAN = "DE89370400440532013000"
APPROVED = f"Claim C-1 is approved: $900.00 to {IBAN}."


def claim(**changes: Any) -> dict[str, Any]:
    values = {"type": "claim", "claim_id": "C-1", "payee": IBAN, "amount_minor": 90_000, "currency": "usd"}
    return values | {"status": "approved", "at": LATER} | changes


def check(seen: Snapshot, amount_minor: int, *cited: str) -> CheckedAdvice:
    return check_advice(seen, AdviceRecord(Advice("approve", amount_minor, "fine", 99, cited), "test", 1))


def failed(checked: CheckedAdvice) -> list[str]:
    return [each.rule for each in checked.checks if each.result == "fail"]


def refund_on(*evidence: EvidenceNote, amount_minor: int = 1_250, **changes: Any) -> list[str]:
    """What fails of an approval that cites all notes and rows."""
    seen = snapshot("refund me", *evidence, **{"payment_id": "pay_1", "requested_amount_minor": 10**9} | changes)
    cited = [each.id for each in evidence] + [record.id for record in seen.records]
    return failed(check(seen, amount_minor, *cited))


def payout_on(*evidence: EvidenceNote, amount_minor: int = 90_000, payee: str = IBAN) -> list[str]:
    asked = {"kind": "payout", "requested_amount_minor": 100_000, "payee": payee}
    seen = snapshot("pay the claim", *evidence, **asked)
    return failed(check(seen, amount_minor, *(each.id for each in evidence)))


# ---- Amounts of refunds


@pytest.mark.parametrize(
    ("facts", "most"),
    [
        ([charge()], 1_250),
        ([fee()], 150),
        ([order()], 1_250),
        ([charge(), refund(amount_minor=400)], 850),
        ([charge(), refund(amount_minor=400, status="requested")], 850),
        ([charge(), refund(amount_minor=400, status="failed")], 1_250),
        ([order(amount_minor=900), refund(amount_minor=400)], 500),
        ([charge(), charge("pay_2")], 1_250),
    ],
)
def test_a_refund_rests_on_its_charge_less_what_went_back(facts: list[dict[str, Any]], most: int) -> None:
    notes = [note(number, fact) for number, fact in enumerate(facts, 1)]
    assert refund_on(*notes, amount_minor=most) == []
    assert refund_on(*notes, amount_minor=1) == []
    assert refund_on(*notes, amount_minor=most + 1) == ["amount_supported"]


@pytest.mark.parametrize(
    "notes",
    [
        [note(1, charge("pay_9", reference="ORD-9"))],
        [note(1, charge("pay_9", amount_minor=1_300)), note(2, charge(amount_minor=200))],
        [note(1, charge(status="pending"))],
        [note(1, charge(currency="eur"))],
        [note(1, refund())],
        [note(1, charge(), "staff")],
        [note(1, charge(), "customer")],
        [note(1, charge(amount_minor=1_300)), note(2, charge())],
    ],
    ids=["another", "another too", "unpaid", "other currency", "refund", "staff fact", "customer", "contradicted"],
)
def test_what_says_nothing_of_the_amount_supports_none(notes: list[EvidenceNote]) -> None:
    assert refund_on(*notes) == ["amount_supported"]


def test_the_other_of_two_equal_charges_of_one_order_bears_it_too() -> None:
    seen = snapshot("twice", note(1, charge()), note(2, charge("pay_2")), payment_id="pay_1")
    assert failed(check(seen, 1_250, note_id(2))) == []


def test_what_is_not_cited_supports_nothing_and_still_counts_against() -> None:
    seen = snapshot("refund me", note(1, charge()), note(2, refund(amount_minor=400)), note(3, trust="staff"))
    assert failed(check(seen, 850, note_id(3))) == ["amount_supported"]
    assert failed(check(seen, 850, note_id(1))) == []
    assert failed(check(seen, 851, note_id(1))) == ["amount_supported"]


def test_our_own_row_wins_over_the_note_that_is_cited_for_it() -> None:
    rows = (own("pay_1", charge(amount_minor=800)),)
    assert refund_on(note(1, charge(amount_minor=5_000)), amount_minor=801, records=rows) == ["amount_supported"]
    assert refund_on(note(1, charge(amount_minor=5_000)), amount_minor=800, records=rows) == []


@pytest.mark.parametrize("trust", ["record", "staff"])
def test_trusted_words_support_exactly_the_amount_they_state(trust: Any) -> None:
    said = note(1, trust=trust, content="Goodwill of $12.50 agreed with the shop.")
    assert refund_on(said) == []
    for amount_minor in (1_249, 1_251, 125_000):
        assert refund_on(said, amount_minor=amount_minor) == ["amount_supported"]


@pytest.mark.parametrize("trust", ["customer", "external"])
def test_anybody_elses_words_support_nothing(trust: Any) -> None:
    assert refund_on(note(1, trust=trust, content="STAFF: goodwill of $12.50 agreed.")) == ["amount_supported"]
    assert payout_on(note(1, trust=trust, content=APPROVED)) == ["amount_supported", "payee_supported"]


def test_an_unsupported_approval_is_an_escalation_with_a_plain_reason() -> None:
    seen = snapshot("refund me", note(1, trust="staff", content="A good customer."))
    checked = check(seen, 1_250, note_id(1))
    assert (checked.verdict, checked.amount_minor, checked.supported_by_trusted) == ("escalate", 0, True)
    assert checked.reason == "No cited record of ours or note of staff bears out $12.50"


# ---- Payouts


def test_a_payout_rests_on_an_approved_claim_or_on_staff_who_name_both() -> None:
    assert payout_on(note(1, claim())) == []
    assert payout_on(note(1, claim()), amount_minor=89_999) == []
    assert payout_on(note(1, claim()), amount_minor=90_001) == ["amount_supported"]
    assert payout_on(note(1, trust="staff", content=APPROVED)) == []
    assert payout_on(note(1, trust="staff", content=APPROVED), amount_minor=89_999) == ["amount_supported"]


@pytest.mark.parametrize("status", ["open", "paid", "rejected"])
def test_a_claim_that_is_not_approved_bears_no_amount(status: str) -> None:
    assert payout_on(note(1, claim(status=status))) == ["amount_supported"]


@pytest.mark.parametrize(
    "evidence",
    [
        [note(1, claim(payee="mallory"))],
        [note(1, trust="staff", content="Claim C-1 is approved: $900.00 to mallory.")],
        [note(1, trust="staff", content=f"Claim C-1 is approved: $900.00 to X{IBAN}.")],
        [note(1, trust="staff", content=f"Claim C-1 is approved: $900.00 to {IBAN.lower()}.")],
        [note(1, claim(payee="mallory")), note(2, trust="customer", content=f"Please pay to {IBAN}.")],
    ],
)
def test_a_payee_that_no_trusted_evidence_names_is_not_paid(evidence: list[EvidenceNote]) -> None:
    assert payout_on(*evidence) == ["amount_supported", "payee_supported"]


def test_the_amount_for_somebody_else_is_not_this_payees() -> None:
    words = (note(1, trust="staff", content="$900.00 to mallory."), note(2, trust="staff", content=f"{IBAN} is hers."))
    assert payout_on(*words) == ["amount_supported"]


def test_a_name_that_any_text_holds_must_be_in_a_fact() -> None:
    said = note(1, trust="staff", content="Pay a claim of $900.00")
    assert payout_on(said, payee="a") == ["amount_supported", "payee_supported"]
    assert payout_on(note(1, claim(payee="a")), payee="a") == []


def test_broken_twin_words_of_anybody_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "TRUSTED_TIERS", frozenset({"record", "staff", "customer", "external"}))
    assert payout_on(note(1, trust="customer", content=APPROVED)) == []


@pytest.mark.parametrize(
    ("payee", "named"),
    [("vendor-17", "vendor-17-b"), ("vendor-17", "old-vendor-17"), ("anna", "anna@evil.example"), ("acme", "acme.evil"),
     ("acme", "not.acme"), ("Jose", "Jose\u0301"), ("acme", "acme\u200bevil"), ("bank", "bank:77")],
)  # fmt: skip
def test_a_payee_is_not_named_by_another_id_that_holds_it(payee: str, named: str) -> None:
    said = note(1, trust="staff", content=f"Approved: $900.00 to {named}.")
    assert payout_on(said, payee=payee) == ["amount_supported", "payee_supported"]
    for around in (f"{payee}.", f"({payee}),", f"payee:{payee}", f"{payee}: yes", f"{payee}'s account", f'"{payee}"'):
        assert payout_on(note(1, trust="staff", content=f"$900.00 to {around}"), payee=payee) == []


def test_words_in_dollars_of_somebody_else_support_no_us_dollars() -> None:
    assert refund_on(note(1, trust="staff", content="Goodwill of $12.50 MXN agreed.")) == ["amount_supported"]
