"""The ladder: which oversight a payment gets, whom it waits for, which rule denied it."""

from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from paywarden.guardrails import cedar, oversight
from paywarden.guardrails.facts import AdviceFacts, Approval, PaymentFacts, PaymentKind, PrincipalKind, Verdict
from paywarden.guardrails.oversight import decide
from paywarden.kit.roles import REVIEW_ROLES, ROLES
from tests.unit.guarded import (
    ADVICE,
    BY_AGENT,
    BY_PERSON,
    CHARGE,
    INITIATOR,
    PAYOUT,
    REFUND,
    REVIEWER,
    TEXT,
    advised,
    policies,
    without_rule,
)
from tests.unit.test_policies import ERRING_FORBID

OWN = Approval(INITIATOR, "person", "review")


@pytest.mark.parametrize(
    ("facts", "level", "rule"),
    [
        (CHARGE, "autonomous", "charge_autonomous"),
        (advised(), "advised", "refund_advised"),
        (replace(REFUND, approvals=(BY_AGENT,)), "reviewed", "reviewed"),
        (replace(PAYOUT, approvals=(BY_PERSON,)), "reviewed", "payout_reviewed_by_person"),
        (replace(advised(verdict="deny", confidence=79), approvals=(BY_AGENT,)), "reviewed", "reviewed"),
    ],
)
def test_the_first_level_permitted_is_the_oversight(facts: PaymentFacts, level: str, rule: str) -> None:
    decision = decide(cedar.shipped(), facts)
    assert (decision.outcome, decision.oversight, decision.determining) == ("allow", level, (rule,))
    assert (decision.checks[-1].rule, decision.checks[-1].result) == (f"policy.{level}", "pass")


@pytest.mark.parametrize(
    ("facts", "reviewer_kind"),
    [
        (REFUND, "any"),
        (advised(confidence=10), "any"),
        (replace(CHARGE, duplicate_suspected=True), "person"),
        (replace(CHARGE, duplicate_suspected=True, approvals=(BY_AGENT,)), "person"),
        (PAYOUT, "person"),
        (replace(REFUND, approvals=(OWN,)), "any"),
    ],
)
def test_what_only_lacks_an_approval_waits_for_it(facts: PaymentFacts, reviewer_kind: str) -> None:
    decision = decide(cedar.shipped(), facts)
    assert (decision.outcome, decision.required_role, decision.reviewer_kind) == ("review", "review", reviewer_kind)
    assert decision.oversight is None


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        (replace(CHARGE, tenant_active=False), "tenant_inactive"),
        (replace(REFUND, principal_active=False, approvals=(BY_PERSON,)), "principal_inactive"),
        (replace(CHARGE, principal_roles=frozenset({"settle"})), "principal_lacks_initiate"),
        (replace(REFUND, refund_of_known=False), "refund_of_unknown_payment"),
    ],
)
def test_what_no_approval_could_help_is_denied_by_name(facts: PaymentFacts, rule: str) -> None:
    decision = decide(cedar.shipped(), facts)
    assert (decision.outcome, decision.determining) == ("deny", (rule,))
    assert decision.checks[-1].result == "fail"


def test_silence_of_the_policies_is_the_rule_default_deny() -> None:
    assert decide(policies(""), CHARGE).determining == ("default_deny",)


def test_an_erring_rule_denies_at_whatever_level_it_errs() -> None:
    decision = decide(policies(TEXT + ERRING_FORBID), replace(REFUND, approvals=(BY_PERSON,)))
    assert (decision.outcome, decision.determining) == ("deny", ("policy_error",))
    only_reviewed = ERRING_FORBID.replace("when {", 'when { context.autonomy == "reviewed" &&')
    assert decide(policies(TEXT + only_reviewed), CHARGE).outcome == "allow"
    assert decide(policies(TEXT + only_reviewed), REFUND).determining == ("policy_error",)


def test_a_self_approval_counts_neither_in_code_nor_in_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(REFUND, principal_roles=frozenset({"initiate", "review"}), approvals=(OWN,))
    assert decide(cedar.shipped(), facts).outcome == "review"
    assert decide(without_rule("self_approval"), facts).outcome == "review"
    monkeypatch.setattr(oversight, "counted_approvals", lambda given_facts: given_facts.approvals)
    same_kind = replace(facts, approvals=(replace(OWN, reviewer_kind="agent"),))
    assert decide(cedar.shipped(), same_kind).determining == ("self_approval",)
    assert decide(without_rule("self_approval"), same_kind).outcome == "allow"


approvals = st.builds(
    Approval,
    st.sampled_from([INITIATOR, REVIEWER, UUID(int=3)]),
    st.sampled_from(get_args(PrincipalKind)),
    st.sampled_from(ROLES),
)
any_facts = st.builds(
    PaymentFacts,
    tenant_active=st.booleans(),
    principal_id=st.just(INITIATOR),
    principal_kind=st.sampled_from(get_args(PrincipalKind)),
    principal_active=st.booleans(),
    principal_roles=st.frozensets(st.sampled_from(["initiate", "review", "settle", "administer"])),
    kind=st.sampled_from(get_args(PaymentKind)),
    amount_minor=st.integers(1, 10**15),
    currency=st.sampled_from(["usd", "jpy"]),
    counterparty=st.text(max_size=5),
    payee_known=st.booleans(),
    duplicate_suspected=st.booleans(),
    local_hour=st.integers(0, 23),
    refund_of_known=st.none() | st.booleans(),
    advice=st.none()
    | st.builds(
        AdviceFacts,
        st.sampled_from(get_args(Verdict)),
        st.integers(0, 10**15),
        st.integers(0, 100),
        st.booleans(),
        st.booleans(),
    ),
    approvals=st.lists(approvals, max_size=3).map(tuple),
)


@given(any_facts)
def test_no_facts_at_all_let_money_out_alone(facts: PaymentFacts) -> None:
    """Whatever is true of a payment: what leaves needs trusted advice within limits, or somebody else's approval."""
    decision = decide(cedar.shipped(), facts)
    others = [one for one in facts.approvals if one.reviewer_id != INITIATOR and one.role in REVIEW_ROLES]
    if decision.outcome != "allow":
        return
    assert facts.tenant_active
    assert facts.principal_active
    assert "initiate" in facts.principal_roles
    match decision.oversight:
        case "autonomous":
            assert facts.kind == "charge"
            assert not facts.duplicate_suspected
        case "advised":
            assert facts.kind == "refund"
            assert facts.advice
            assert facts.advice.supported_by_trusted
            assert facts.amount_minor <= min(facts.advice.amount_minor, 10_000)
        case _:
            assert others
            if facts.kind == "payout" or facts.duplicate_suspected:
                assert any(one.reviewer_kind == "person" for one in others)


@given(any_facts)
def test_an_advice_only_ever_matters_at_the_advised_level(facts: PaymentFacts) -> None:
    """Without advice a payment is allowed, or held, or denied exactly as with advice that escalates."""
    silent = decide(cedar.shipped(), replace(facts, advice=None))
    escalating = decide(cedar.shipped(), replace(facts, advice=replace(ADVICE, verdict="escalate")))
    assert (silent.outcome, silent.oversight) == (escalating.outcome, escalating.oversight)


RISK_AND_FINANCE = """
@id("both")
permit (principal, action == Action::"refund", resource)
when { context.autonomy == "reviewed" && context.approved_roles.containsAll(["risk", "finance"]) };
"""
TWO_PEOPLE = """
@id("two_people")
permit (principal, action == Action::"refund", resource)
when { context.autonomy == "reviewed" && context.person_approvals >= 2 };
"""
ONE_OF_RISK_A_PERSON = """
@id("risk_and_person")
permit (principal, action == Action::"refund", resource)
when { context.autonomy == "reviewed" && context.approved_roles.contains("risk") && context.person_approvals >= 1 };
"""


def chain(text: str, kinds: tuple[PrincipalKind, ...] = ("agent",)) -> list[tuple[str | None, str | None]]:
    """Whom a refund waits for, one after another, when each approves as it is asked to."""
    facts, waited = REFUND, []
    for number in range(8):
        decision = decide(policies(text), facts)
        if decision.outcome != "review":
            return [*waited, (decision.outcome, None)]
        waited.append((decision.required_role, decision.reviewer_kind))
        kind: PrincipalKind = "person" if decision.reviewer_kind == "person" else kinds[number % len(kinds)]
        given_by = Approval(UUID(int=100 + number), kind, decision.required_role or "")
        facts = replace(facts, approvals=(*facts.approvals, given_by))
    raise AssertionError("it waits for ever")


@pytest.mark.parametrize(
    ("text", "kinds", "waited"),
    [
        (RISK_AND_FINANCE, ("agent",), [("risk", "any"), ("finance", "any")]),
        (TWO_PEOPLE, ("agent",), [("review", "person"), ("review", "person")]),
        (ONE_OF_RISK_A_PERSON, ("agent",), [("risk", "any"), ("review", "person")]),
        (ONE_OF_RISK_A_PERSON, ("person",), [("risk", "any")]),
        (RISK_AND_FINANCE + ONE_OF_RISK_A_PERSON, ("person",), [("risk", "any")]),
    ],
    ids=["roles", "two people", "a role and a person", "a person in the role", "the shorter way"],
)
def test_several_approvals_are_asked_for_one_after_another(
    text: str, kinds: tuple[PrincipalKind, ...], waited: list[tuple[str, str]]
) -> None:
    assert chain(text, kinds) == [*waited, ("allow", None)]


def test_the_same_principal_twice_is_one_approval() -> None:
    twice = (Approval(REVIEWER, "person", "review"), Approval(REVIEWER, "person", "finance"))
    assert decide(policies(TWO_PEOPLE), replace(REFUND, approvals=twice)).outcome == "review"


def test_more_approvals_than_anybody_may_be_asked_for_are_a_denial() -> None:
    many = TWO_PEOPLE.replace(">= 2", f">= {4 * oversight.MOST_APPROVALS + 1}")
    assert decide(policies(many), REFUND).determining == ("default_deny",)
