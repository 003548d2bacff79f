"""The state table of docs/decisions/0001-states.md, every pair for every cause, written out here a second time by hand.

Nothing is computed from ``kit.states``: a changed move there must be changed here too, by somebody who meant it.
"""

import pytest

from paywarden.kit.states import AT_PROVIDER, BEFORE_SUBMIT, FINAL, Cause, Status, allowed_from

ORDER = [
    "pending", "needs_facts", "in_review", "reserved", "submitting", "outcome_unknown", "requires_action", "authorized",
    "processing", "failed", "canceled", "expired", "succeeded", "denied",
]  # fmt: skip

# One line per present state, one column per target in the order above: x is allowed, . is refused.
REQUESTS = """
pending         . x x x . . . . . . x . . x
needs_facts     x . . . . . . . . . x . . x
in_review       . . . x . . . . . . x . . x
reserved        . . . . x . . . . . x . . x
submitting      . . . . . . . . . . . . . .
outcome_unknown . . . . . . . . . . . . . .
requires_action . . . . x . . . . . . . . .
authorized      . . . . . . . . . . . . . .
processing      . . . . . . . . . . . . . .
failed          . . . . . . . . . . . . . .
canceled        . . . . . . . . . . . . . .
expired         . . . . . . . . . . . . . .
succeeded       . . . . . . . . . . . . . .
denied          . . . . . . . . . . . . . .
"""
LAPSES = """
pending         . . . . . . . . . . . x . .
needs_facts     . . . . . . . . . . . x . .
in_review       . . . . . . . . . . . x . .
reserved        . . . . . . . . . . . x . .
submitting      . . . . . x . . . . . . . .
outcome_unknown . . . . x . . . . . . . . .
requires_action . . . . . . . . . . . . . .
authorized      . . . . . . . . . . . . . .
processing      . . . . . . . . . . . . . .
failed          . . . . . . . . . . . . . .
canceled        . . . . . . . . . . . . . .
expired         . . . . . . . . . . . . . .
succeeded       . . . . . . . . . . . . . .
denied          . . . . . . . . . . . . . .
"""
FACTS = """
pending         . . . . . . . . . . . . x .
needs_facts     . . . . . . . . . . . . x .
in_review       . . . . . . . . . . . . x .
reserved        . . . . . . . . . . . . x .
submitting      . . . . . . x x x x x . x .
outcome_unknown . . . . . . x x x x x . x .
requires_action . . . . . . . x x x x . x .
authorized      . . . . . . . . x x x . x .
processing      . . . . . . . . . x x . x .
failed          . . . . . . . . . . . . x .
canceled        . . . . . . . . . . . . x .
expired         . . . . . . . . . . . . x .
succeeded       . . . . . . . . . . . . . .
denied          . . . . . . . . . . . . . .
"""
TABLES: dict[Cause, str] = {"request": REQUESTS, "lapse": LAPSES, "fact": FACTS}
# The ranks of docs/decisions/0001-states.md.
RANK = {
    "pending": 0, "needs_facts": 0, "in_review": 0, "reserved": 0, "submitting": 1, "outcome_unknown": 1,
    "requires_action": 2, "authorized": 3, "processing": 4, "failed": 5, "canceled": 5, "expired": 5, "succeeded": 6,
    "denied": 7,
}  # fmt: skip


def moves(table: str) -> set[tuple[str, str]]:
    found = set()
    for line in table.strip().splitlines():
        current, *marks = line.split()
        assert len(marks) == len(ORDER), line
        found |= {(current, target) for target, mark in zip(ORDER, marks, strict=True) if mark == "x"}
    return found


def actual(cause: Cause) -> set[tuple[str, str]]:
    return {(source.value, target.value) for target in Status for source in allowed_from(target, cause)}


def test_the_tables_name_every_state_once() -> None:
    assert sorted(ORDER) == sorted(status.value for status in Status)
    for table in TABLES.values():
        assert [line.split()[0] for line in table.strip().splitlines()] == ORDER


@pytest.mark.parametrize("cause", ["request", "lapse", "fact"])
def test_exactly_these_moves_are_allowed(cause: Cause) -> None:
    assert actual(cause) == moves(TABLES[cause])


@pytest.mark.parametrize("cause", ["request", "lapse"])
def test_no_request_and_no_lapse_leaves_a_final_state(cause: Cause) -> None:
    assert not {(source, target) for source, target in actual(cause) if source in FINAL}


def test_facts_only_rise() -> None:
    assert all(RANK[source] < RANK[target] for source, target in actual("fact"))


def test_only_a_success_leaves_an_ended_payment_and_nothing_leaves_a_refusal() -> None:
    left = {(source, target) for source, target in actual("fact") if source in FINAL}
    assert {target for _, target in left} == {"succeeded"}
    assert {source for source, _ in left} == {"failed", "canceled", "expired"}


def test_nobody_but_a_provider_ends_what_may_have_been_sent() -> None:
    asked = {(source, target) for cause in ("request", "lapse") for source, target in actual(cause)}  # type: ignore[arg-type]
    assert not {(source, target) for source, target in asked if source in AT_PROVIDER and target in FINAL}


def test_only_a_fact_fails_or_succeeds() -> None:
    asked = {target for cause in ("request", "lapse") for _, target in actual(cause)}  # type: ignore[arg-type]
    assert not asked & {"failed", "succeeded", "processing", "requires_action", "authorized"}


def test_the_point_of_no_return_has_one_request_before_it() -> None:
    into = {source for source, target in actual("request") if target == "submitting"}
    assert into == {"reserved", "requires_action"}
    assert Status.RESERVED in BEFORE_SUBMIT
    assert frozenset(Status) == BEFORE_SUBMIT | AT_PROVIDER | FINAL
    assert not BEFORE_SUBMIT & AT_PROVIDER
    assert not (BEFORE_SUBMIT | AT_PROVIDER) & FINAL
