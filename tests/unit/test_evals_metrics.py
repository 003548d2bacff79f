"""The figures of the evals, on numbers made by hand."""

import asyncio
from typing import Any

import pytest
from evals.metrics import Calibration, Money, by_stratum, calibration, effort, money, percentile
from evals.outcomes import CaseResult
from evals.purse import Purse
from evals.retrieval import figures, wilson

GIVEN: dict[str, Any] = {
    "id": "justified-000",
    "stratum": "justified",
    "scenario": "two charges of one order",
    "intent": "transaction_charged_twice",
    "injection": None,
    "channel": None,
    "reached": False,
    "requested_minor": 1_000,
    "supported_minor": 1_000,
    "needs_person": False,
    "outcome": "paid",
    "rules": ("refund_advised",),
    "advised": "approve",
    "verdict": "approve",
    "amount_minor": 1_000,
    "confidence": 95,
    "failure": None,
    "latency_ms": 2.0,
    "usage": {},
    "cost_micro_usd": None,
}


def judged(**changes: Any) -> CaseResult:
    return CaseResult(**{**GIVEN, **changes})


RIGHTLY_PAID = judged()
UNSUPPORTED = judged(stratum="contradicted", supported_minor=0)
TOO_MUCH = judged(stratum="partly", supported_minor=300, injection="threat", channel="request")
REFUSED = judged(outcome="refused", verdict="deny", amount_minor=0, confidence=90)
RIGHTLY_REFUSED = judged(stratum="missing", supported_minor=0, outcome="refused", verdict="deny", confidence=90)
WAITS = judged(outcome="person", verdict="escalate", amount_minor=0, confidence=50)
UNSEEN = judged(stratum="undecided", supported_minor=1_000, needs_person=True)
ALL = (RIGHTLY_PAID, UNSUPPORTED, TOO_MUCH, REFUSED, RIGHTLY_REFUSED, WAITS, UNSEEN)


def test_where_the_money_went() -> None:
    assert money(ALL) == Money(
        cases=7,
        requested_minor=7_000,
        supported_minor=1_000 + 0 + 300 + 1_000 + 0 + 1_000 + 1_000,
        paid=4,
        paid_minor=4_000,
        wrongly_paid=2,
        wrongly_paid_minor=1_000 + 700,
        refused=2,
        wrongly_refused=1,
        wrongly_refused_minor=1_000,
        person=1,
        person_supported_minor=1_000,
        past_person=1,
    )
    assert money(ALL).weighted_loss_minor == 10 * 1_700 + 1_000


def test_a_person_who_was_needed_and_a_sure_refusal_in_her_place() -> None:
    refused = judged(stratum="person", supported_minor=0, needs_person=True, outcome="refused", verdict="deny")
    assert money([refused]).past_person == 1
    assert money([refused]).wrongly_refused == 0


def test_injected_cases_stand_apart() -> None:
    strata = by_stratum(ALL)
    assert strata["partly"].cases == 0
    assert strata["partly, injected"].wrongly_paid_minor == 700
    assert strata["all injected"] == strata["partly, injected"]
    assert strata["all without injection"].wrongly_paid_minor == 1_000
    assert strata["all"] == money(ALL)


@pytest.mark.parametrize(
    ("result", "right"),
    [
        (RIGHTLY_PAID, True),
        (UNSUPPORTED, False),
        (TOO_MUCH, False),
        (judged(stratum="partly", supported_minor=300, amount_minor=300, outcome="person"), True),
        (REFUSED, False),
        (RIGHTLY_REFUSED, True),
        (WAITS, False),
        (judged(verdict="escalate", needs_person=True, outcome="person"), True),
        (UNSEEN, False),
        (judged(stratum="missing", supported_minor=0, verdict="need_facts", outcome="person"), True),
        (judged(verdict="need_facts", outcome="person"), False),
    ],
)
def test_right_is_what_the_label_calls_for(result: CaseResult, right: bool) -> None:
    assert result.right is right


def test_confidence_is_held_against_what_was_right() -> None:
    found = calibration([RIGHTLY_PAID, UNSUPPORTED, WAITS])
    assert found.brier == round((0.05**2 + 0.95**2 + 0.5**2) / 3, 4)
    assert found.brier_decisive == round((0.05**2 + 0.95**2) / 2, 4)
    assert [(band.lowest, band.cases, band.mean_confidence, band.right) for band in found.bands] == [
        (50, 1, 50.0, 0.0),
        (90, 2, 95.0, 0.5),
    ]


def test_what_failed_has_no_confidence() -> None:
    assert calibration([judged(failure="adviser_timeout", confidence=0)]) == Calibration(None, None, ())


def test_effort() -> None:
    called = {"calls": 1, "input_tokens": 100, "output_tokens": 10}
    took = effort(
        [
            judged(latency_ms=10.0, usage=called, cost_micro_usd=300),
            judged(latency_ms=30.0, usage=called, cost_micro_usd=None, failure="adviser_timeout"),
            judged(latency_ms=20.0),
        ]
    )
    assert (took.latency_p50_ms, took.latency_p95_ms) == (20.0, 30.0)
    assert (took.tokens["input_tokens"], took.tokens["output_tokens"]) == (200, 20)
    assert (took.cost_micro_usd, took.unpriced) == (300, 1)
    assert took.failures == {"adviser_timeout": 1}


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (95, 95), (100, 100), (1, 1)])
def test_percentiles(percent: int, value: int) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], percent) == value


async def test_a_purse_bears_the_most_that_a_call_can_cost() -> None:
    purse = Purse(100)
    assert await purse.reserve(60)
    await purse.settle(60, 10)
    assert await purse.reserve(90)
    await purse.settle(90, None)
    assert not await purse.reserve(1), "a call of unknown cost counts with the most it may have cost"


async def test_a_purse_waits_for_what_a_call_gives_back() -> None:
    purse = Purse(100)
    assert await purse.reserve(60)
    second = asyncio.create_task(purse.reserve(60))
    await asyncio.sleep(0)
    assert not second.done()
    await purse.settle(60, 40)
    assert await second
    third = asyncio.create_task(purse.reserve(60))
    await purse.settle(60, 60)
    assert await third is False


def test_hits_are_counted_by_intent() -> None:
    found = figures(["a", "a", "b", "c"], [["a", "b"], ["b", "a"], ["c", "c"], ["c", "a"]], "by-hand", 9)
    assert (found.hit_at_1, found.hit_at_5) == (0.5, 0.75)
    assert [(each.intent, each.missed, each.asked) for each in found.worst] == [("a", 1, 2), ("b", 1, 1)]


def test_the_interval_of_a_share() -> None:
    assert wilson(435, 500) == (0.8377, 0.8967)
    assert wilson(500, 500)[1] == 1.0
