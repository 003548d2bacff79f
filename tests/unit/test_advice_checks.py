"""The code's checks of an advice: it can only lower what the adviser allowed."""

from typing import Any

import pytest

from paywarden.decisions.advice import Advice, Snapshot
from paywarden.decisions.adviser import AdviceRecord, escalation
from paywarden.decisions.checks import CheckedAdvice, check_advice
from tests.unit.judged import charge, note, note_id, own, snapshot

SEEN = snapshot(
    "refund me",
    note(1, charge()),
    note(2, trust="staff"),
    note(3, trust="customer"),
    note(4, trust="external"),
    records=(own("pay_1", charge()),),
)


def checked(seen: Snapshot = SEEN, **changes: Any) -> CheckedAdvice:
    values = {"verdict": "approve", "amount_minor": 1250, "reason": "because", "confidence": 95}
    advice = Advice(**values | {"evidence": (note_id(1),)} | changes)
    return check_advice(seen, AdviceRecord(advice, "test", 1))


def failed(result: CheckedAdvice) -> list[str]:
    return [check.rule for check in result.checks if check.result == "fail"]


def test_a_sound_approval_stands() -> None:
    result = checked()
    assert (result.approve, result.amount_minor, result.reason) == (True, 1250, "because")
    assert (result.citations_verified, result.supported_by_trusted, failed(result)) == (True, True, [])


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"amount_minor": 1251}, "advice_amount"),
        ({"amount_minor": 10**15}, "advice_amount"),
        ({"evidence": ()}, "advice_citations"),
        ({"evidence": (note_id(1), note_id(99))}, "advice_citations"),
        ({"evidence": ("pay_2",)}, "advice_citations"),
        ({"evidence": (f"{note_id(1)} ",)}, "advice_citations"),
    ],
)
def test_an_approval_that_fails_a_check_approves_nothing(changes: dict[str, Any], rule: str) -> None:
    result = checked(**changes)
    assert failed(result)[0] == rule
    assert (result.approve, result.verdict, result.amount_minor) == (False, "escalate", 0)
    assert result.reason == next(check.detail for check in result.checks if check.result == "fail")
    assert result.advice.verdict == "approve"


def test_nothing_retrieved_means_nothing_approved() -> None:
    assert not checked(snapshot("refund me")).approve
    assert not checked(snapshot("refund me"), evidence=()).approve


@pytest.mark.parametrize("verdict", ["deny", "escalate", "need_facts"])
def test_only_an_approval_has_an_amount(verdict: str) -> None:
    result = checked(verdict=verdict, amount_minor=500)
    assert (result.verdict, result.amount_minor, result.approve) == (verdict, 0, False)


@pytest.mark.parametrize(
    ("evidence", "trusted"),
    [
        ((note_id(1),), True),
        ((note_id(2),), True),
        (("pay_1",), True),
        ((note_id(3), note_id(4)), False),
        ((note_id(3), note_id(2)), True),
        ((), False),
    ],
)
def test_support_is_trusted_when_a_record_or_staff_is_cited(evidence: tuple[str, ...], trusted: bool) -> None:
    assert checked(evidence=evidence).supported_by_trusted is trusted


def test_a_missing_advice_is_an_escalation_with_its_reason() -> None:
    result = check_advice(SEEN, escalation("claude", "adviser_timeout: no answer", latency_ms=5))
    assert (result.approve, result.verdict, result.amount_minor) == (False, "escalate", 0)
    assert failed(result) == ["adviser_answered"]
    assert "adviser_timeout" in result.reason


def test_unreadable_facts_are_noted() -> None:
    result = checked(snapshot("refund me", note(1, {"type": "gift"})))
    assert ("record_facts", "note") in [(check.rule, check.result) for check in result.checks]
