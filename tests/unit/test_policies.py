"""The shipped Cedar policies, rule by rule, and what happens to policies that are wrong."""

import hashlib
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from paywarden.guardrails import cedar, thresholds
from paywarden.guardrails.cedar import Answer, PolicySet, shipped
from paywarden.guardrails.facts import Approval, PaymentFacts, PrincipalKind
from paywarden.kit.errors import ConfigurationError
from paywarden.kit.money import display
from tests.unit.guarded import (
    ADVICE,
    BY_AGENT,
    BY_PERSON,
    CHARGE,
    INITIATOR,
    PAYOUT,
    REFUND,
    TEXT,
    advised,
    policies,
    with_text,
    without_rule,
)

OWN = Approval(INITIATOR, "agent", "review")
# Erring on every amount above 1: 64 bits are not enough.
ERRING_FORBID = """
@id("erring")
forbid (principal, action, resource) when { context.amount_minor * 9223372036854775807 > 0 };
"""


def test_the_version_names_the_exact_text() -> None:
    assert shipped().version == "default@" + hashlib.sha256(TEXT.encode()).hexdigest()[:12]
    assert policies(TEXT + "\n").version != policies().version


def test_a_charge_passes_by_itself() -> None:
    assert shipped().ask(CHARGE, "autonomous", ()) == Answer(True, ("charge_autonomous",), ())


@pytest.mark.parametrize(
    ("rule", "facts"),
    [
        ("tenant_inactive", replace(CHARGE, tenant_active=False)),
        ("principal_inactive", replace(CHARGE, principal_active=False)),
    ],
)
def test_each_switch_forbids_and_only_its_own_rule_does(rule: str, facts: PaymentFacts) -> None:
    assert shipped().ask(facts, "autonomous", ()) == Answer(False, (rule,), ())
    assert without_rule(rule).ask(facts, "autonomous", ()).allowed


def test_who_lacks_the_role_initiate_is_forbidden_whatever_a_permit_says() -> None:
    facts = replace(CHARGE, principal_roles=frozenset({"review", "administer"}))
    generous = TEXT + '@id("generous") permit (principal, action, resource);'
    assert policies(generous).ask(facts, "autonomous", ()) == Answer(False, ("principal_lacks_initiate",), ())
    twin = generous.replace('Role::"initiate" };', 'Role::"review" };')
    assert policies(twin).ask(facts, "autonomous", ()).allowed


def test_a_suspected_duplicate_never_passes_by_itself() -> None:
    facts = replace(CHARGE, duplicate_suspected=True)
    assert not shipped().ask(facts, "autonomous", ()).allowed
    twin = with_text(
        'context.autonomy == "autonomous" &&\n  !context.duplicate_suspected', 'context.autonomy == "autonomous"'
    )
    assert twin.ask(facts, "autonomous", ()).allowed


@pytest.mark.parametrize("kind", ["agent", "person", "service"])
def test_nobody_refunds_or_pays_out_alone(kind: PrincipalKind) -> None:
    everybody = frozenset({"initiate", "review", "settle", "administer"})
    for facts in (REFUND, PAYOUT):
        actor = replace(facts, principal_kind=kind, principal_roles=everybody)
        assert not shipped().ask(actor, "autonomous", ()).allowed
        assert not shipped().ask(actor, "reviewed", ()).allowed


def test_a_confident_supported_advice_lets_a_small_refund_pass() -> None:
    assert shipped().ask(advised(), "advised", ()) == Answer(True, ("refund_advised",), ())


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "deny"},
        {"verdict": "escalate"},
        {"verdict": "need_facts"},
        {"confidence": thresholds.ADVISED_MIN_CONFIDENCE - 1},
        {"citations_verified": False},
        {"supported_by_trusted": False},
        {"amount_minor": REFUND.amount_minor - 1},
    ],
)
def test_every_weakness_of_an_advice_stops_it(changes: dict[str, object]) -> None:
    assert not shipped().ask(advised(**changes), "advised", ()).allowed


def test_an_advised_refund_has_its_own_limit() -> None:
    most = thresholds.ADVISED_REFUND_MAX_MINOR
    exactly = replace(REFUND, amount_minor=most, advice=replace(ADVICE, amount_minor=10 * most))
    assert shipped().ask(exactly, "advised", ()).allowed
    assert not shipped().ask(replace(exactly, amount_minor=most + 1), "advised", ()).allowed


def test_the_limit_is_the_number_in_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "ADVISED_REFUND_MAX_MINOR", REFUND.amount_minor - 1)
    assert not shipped().ask(advised(), "advised", ()).allowed


def test_an_advice_never_lets_a_duplicate_a_charge_or_a_payout_pass() -> None:
    for facts in (replace(REFUND, duplicate_suspected=True), CHARGE, PAYOUT):
        assert not shipped().ask(replace(facts, advice=ADVICE), "advised", ()).allowed


OVERDUE = replace(CHARGE, purpose="overdue invoice", advice=ADVICE)


def test_an_overdue_invoice_is_never_collected_on_an_agents_word() -> None:
    unadvised = replace(OVERDUE, advice=None)
    assert shipped().ask(unadvised, "autonomous", ()) == Answer(False, ("overdue_invoice_not_autonomous",), ())
    assert not shipped().ask(OVERDUE, "autonomous", ()).allowed
    assert without_rule("overdue_invoice_not_autonomous").ask(unadvised, "autonomous", ()).allowed
    assert shipped().ask(OVERDUE, "advised", ()) == Answer(True, ("overdue_invoice_advised",), ())


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "deny"},
        {"verdict": "escalate"},
        {"verdict": "need_facts"},
        {"confidence": thresholds.ADVISED_MIN_CONFIDENCE - 1},
        {"citations_verified": False},
        {"supported_by_trusted": False},
        {"amount_minor": CHARGE.amount_minor - 1},
    ],
)
def test_every_weakness_of_an_advice_on_an_invoice_stops_it(changes: dict[str, Any]) -> None:
    weak = replace(OVERDUE, advice=replace(ADVICE, **changes))
    assert not shipped().ask(weak, "advised", ()).allowed


def test_an_advised_invoice_has_its_own_limit_and_is_no_duplicate() -> None:
    most = thresholds.ADVISED_INVOICE_MAX_MINOR
    exactly = replace(OVERDUE, amount_minor=most, advice=replace(ADVICE, amount_minor=10 * most))
    assert shipped().ask(exactly, "advised", ()).allowed
    assert not shipped().ask(replace(exactly, amount_minor=most + 1), "advised", ()).allowed
    assert shipped().ask(replace(exactly, amount_minor=most + 1), "reviewed", [BY_AGENT]).allowed
    assert not shipped().ask(replace(exactly, duplicate_suspected=True), "advised", ()).allowed


def test_a_sure_denial_ends_an_agents_collection_and_no_persons() -> None:
    denied = replace(OVERDUE, advice=replace(ADVICE, verdict="deny", confidence=thresholds.DENIED_MIN_CONFIDENCE))
    assert shipped().ask(denied, "reviewed", [BY_PERSON]) == Answer(False, ("adviser_denied_surely",), ())
    assert shipped().ask(replace(denied, principal_kind="person"), "reviewed", [BY_PERSON]).allowed


def test_a_large_checkout_needs_somebody_in_the_role_risk() -> None:
    least = thresholds.CHECKOUT_RISK_FROM_MINOR
    large = replace(CHARGE, purpose="checkout", amount_minor=least)
    assert shipped().ask(replace(large, amount_minor=least - 1), "autonomous", ()).allowed
    assert shipped().ask(replace(large, purpose="order"), "autonomous", ()).allowed
    assert shipped().ask(large, "autonomous", ()) == Answer(False, ("large_checkout_not_autonomous",), ())
    assert without_rule("large_checkout_not_autonomous").ask(large, "autonomous", ()).allowed
    assert shipped().ask(large, "reviewed", [BY_PERSON]) == Answer(False, ("large_checkout_without_risk",), ())
    assert without_rule("large_checkout_without_risk").ask(large, "reviewed", [BY_PERSON]).allowed
    assert shipped().ask(large, "reviewed", [replace(BY_AGENT, role="risk")]).allowed


def test_what_a_rule_says_of_an_amount_is_the_number_that_it_compares_with() -> None:
    least = display(thresholds.CHECKOUT_RISK_FROM_MINOR, "usd").removeprefix("$")
    for rule in ("large_checkout_not_autonomous", "large_checkout_without_risk"):
        assert f"from {least} on" in str(policies().says(rule))


def test_an_advisers_no_beats_another_permit() -> None:
    generous = TEXT + '@id("generous") permit (principal, action, resource);'
    denied = advised(verdict="deny", confidence=79)
    assert policies(generous).ask(denied, "advised", ()) == Answer(False, ("adviser_denied",), ())
    twin = generous.replace('context.advice.verdict == "deny"', 'context.advice.verdict == "no"')
    assert policies(twin).ask(denied, "advised", ()).allowed


def test_a_sure_denial_ends_an_agents_refund_and_no_persons() -> None:
    denied = advised(verdict="deny", confidence=thresholds.DENIED_MIN_CONFIDENCE)
    assert shipped().ask(denied, "reviewed", [BY_PERSON]) == Answer(False, ("adviser_denied_surely",), ())
    assert shipped().ask(replace(denied, principal_kind="person"), "reviewed", [BY_PERSON]).allowed
    unsure = advised(verdict="deny", confidence=thresholds.DENIED_MIN_CONFIDENCE - 1)
    assert shipped().ask(unsure, "reviewed", [BY_PERSON]).allowed
    assert without_rule("adviser_denied_surely").ask(denied, "reviewed", [BY_PERSON]).allowed


@pytest.mark.parametrize("known", [False, None])
def test_a_refund_of_a_payment_that_is_not_ours_is_forbidden(known: bool | None) -> None:
    facts = replace(REFUND, refund_of_known=known)
    assert shipped().ask(facts, "reviewed", [BY_PERSON]) == Answer(False, ("refund_of_unknown_payment",), ())
    assert without_rule("refund_of_unknown_payment").ask(facts, "reviewed", [BY_PERSON]).allowed


@pytest.mark.parametrize(
    ("facts", "by_agent", "by_person"),
    [
        (REFUND, True, True),
        (replace(CHARGE, duplicate_suspected=True), False, True),
        (replace(REFUND, duplicate_suspected=True), False, True),
        (PAYOUT, False, True),
    ],
)
def test_whose_approval_counts(facts: PaymentFacts, by_agent: bool, by_person: bool) -> None:
    assert shipped().ask(facts, "reviewed", [BY_AGENT]).allowed is by_agent
    assert shipped().ask(facts, "reviewed", [BY_PERSON]).allowed is by_person


def test_an_approval_without_the_role_review_counts_for_nothing() -> None:
    powerless = replace(BY_PERSON, role="administer")
    assert not shipped().ask(REFUND, "reviewed", [powerless]).allowed


def test_the_policy_itself_refuses_a_self_approval() -> None:
    facts = replace(REFUND, principal_roles=frozenset({"initiate", "review"}))
    assert shipped().ask(facts, "reviewed", [OWN]) == Answer(False, ("self_approval",), ())
    assert without_rule("self_approval").ask(facts, "reviewed", [OWN]).allowed


def test_a_rule_that_errs_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cedar leaves an erring forbid out and says Allow: without the check of its errors the charge would pass."""
    erring = policies(TEXT + ERRING_FORBID)
    answer = erring.ask(CHARGE, "autonomous", ())
    assert not answer.allowed
    assert "overflow" in answer.errors[0]
    monkeypatch.setattr(cedar, "_answer", lambda result: result.decision == cedar.cedarpy.Decision.Allow)
    assert erring.ask(CHARGE, "autonomous", ())


@pytest.mark.parametrize("amount", [2**63, -(2**70), 1.5, "2500", None])
def test_facts_that_cedar_cannot_read_are_an_error_and_no_exception(amount: object) -> None:
    answer = shipped().ask(replace(CHARGE, amount_minor=amount), "autonomous", ())
    assert not answer.allowed
    assert answer.errors


@pytest.mark.parametrize("name", ['a"b', "x\ny", "\u2028", 'Customer::"y"', "", "x" * 255, "\ud800"])
def test_any_counterparty_is_an_answer(name: str) -> None:
    answer = shipped().ask(replace(CHARGE, counterparty=name), "autonomous", ())
    assert answer.allowed or answer.errors


@pytest.mark.parametrize(
    "text",
    [
        '@id("a") permit (principal, action, resource) when { context.amount > 1 };',
        '@id("a") permit (principal, action, resource) when { context.advice.confidence > 1 };',
        '@id("a") permit (principal, action == Action::"steal", resource);',
        '@id("a") permit (principal in User::"me", action, resource);',
        '@id("a") permit (principal, action, resource) when { context.amount_minor > "1" };',
        "permit (principal, action, resource);",
        '// @id("hidden in a comment")\npermit (principal, action, resource);',
        '@id("") permit (principal, action, resource);',
        '@id("a") permit (principal, action, resource); @id("a") forbid (principal, action, resource);',
        '@id("a") permit (principal, action, resource)',
        "allow everything",
    ],
)
def test_a_wrong_policy_is_refused_when_it_is_loaded(text: str) -> None:
    with pytest.raises(ConfigurationError, match="policy 'test'"):
        policies(text)


def test_a_wrong_schema_is_refused_when_it_is_loaded() -> None:
    with pytest.raises(ConfigurationError, match="schema"):
        policies(schema="entity Agent {")


def test_an_empty_policy_set_permits_nothing() -> None:
    assert policies("").ask(CHARGE, "autonomous", ()) == Answer(False, (), ())


def test_a_principal_is_the_one_of_its_public_id() -> None:
    named = f'@id("one") permit (principal == Agent::"{"agt_" + "0" * 25 + "1"}", action, resource);'
    assert policies(named).ask(CHARGE, "autonomous", ()).allowed
    assert not policies(named).ask(replace(CHARGE, principal_id=UUID(int=3)), "autonomous", ()).allowed


SOME_CUSTOMERS = """
@id("not_this_one")
forbid (principal, action, resource {}) when {{ {} }};
"""
MANY = [
    replace(CHARGE, amount_minor=amount, counterparty=name, purpose=purpose, duplicate_suspected=suspected)
    for amount in (1, 49_999, 50_000, 2**70)
    for name in ("user_42", "user_43")
    for purpose in (None, "checkout", "overdue invoice")
    for suspected in (False, True)
]


def of_many(asked: PolicySet) -> list[Answer]:
    """Each of many, alone and as one of all, twice: the second time it is remembered."""
    alone = [asked.ask(each, "autonomous", ()) for each in MANY if each.amount_minor < 2**63]
    for _ in range(2):
        assert asked.ask_all([each for each in MANY if each.amount_minor < 2**63], "autonomous") == alone
    return alone


@pytest.mark.parametrize(
    "extra",
    [
        "",
        ERRING_FORBID,
        SOME_CUSTOMERS.format('== Customer::"user_42"', "true"),
        SOME_CUSTOMERS.format("", 'context.autonomy == "autonomous" && resource == Customer::"user_42"'),
        SOME_CUSTOMERS.format("", 'context.amount_minor > 1 && resource in Customer::"user_42"'),
        SOME_CUSTOMERS.format('in Customer::"user_42"', "true"),
    ],
)
def test_what_is_remembered_is_what_would_be_answered(extra: str) -> None:
    asked = policies(TEXT + extra)
    answers = of_many(asked)
    assert len({answer.allowed for answer in answers}) == (1 if extra == ERRING_FORBID else 2)
    assert not any(answer.errors for answer in asked._answers.values())


def test_broken_twin_an_answer_for_any_customer_where_a_rule_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cedar, "names_resource", lambda text: False)
    with pytest.raises(AssertionError):
        of_many(policies(TEXT + SOME_CUSTOMERS.format('== Customer::"user_42"', "true")))


def test_of_those_that_cannot_be_read_none_is_allowed_nor_remembered() -> None:
    asked = policies()
    answers = asked.ask_all(MANY, "autonomous")
    unreadable = [answer for each, answer in zip(MANY, answers, strict=True) if each.amount_minor == 2**70]
    assert all(answer.errors and not answer.allowed for answer in unreadable)
    assert not any(answer.errors for answer in asked._answers.values())


def test_so_many_answers_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cedar, "MOST_REMEMBERED", 3)
    asked = policies()
    for amount in range(1, 6):
        assert asked.ask_all([replace(CHARGE, amount_minor=amount)], "autonomous")[0].allowed
    assert [facts.amount_minor for facts, _ in asked._answers] == [3, 4, 5]


def test_every_shipped_rule_that_forbids_says_why() -> None:
    forbidding = re.findall(r'@id\("(\w+)"\)\n(?:@says[^\n]*\n)?forbid', TEXT)
    assert len(forbidding) >= 7
    assert all(policies().says(rule) for rule in forbidding)
    assert policies().says("charge_autonomous") is None


DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS.parent / "examples"


def test_a_policy_file_of_ones_own_replaces_the_shipped_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.cedar"
    file.write_text(TEXT + '\n@id("never") @says("not on my watch") forbid (principal, action, resource);', "utf-8")
    mine = cedar.from_file(file)
    assert mine.version.startswith("mine@")
    assert mine.says("never") == "not on my watch"
    assert mine.ask(CHARGE, "autonomous", ()) == Answer(False, ("never",), ())


@pytest.mark.parametrize("text", [None, b"\xff", b"permit (", b"permit (principal, action, resource);"])
def test_a_policy_file_that_is_wrong_stops_the_start(tmp_path: Path, text: bytes | None) -> None:
    file = tmp_path / "mine.cedar"
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(ConfigurationError, match="mine"):
        cedar.from_file(file)


def test_the_examples_of_the_documentation_do_what_they_say() -> None:
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", (DOCS / "policies.md").read_text("utf-8"), re.MULTILINE)
    strict = policies(TEXT + "".join(block for block in blocks if "@id" in block))
    large = replace(CHARGE, amount_minor=100_000)
    risk, one, two = (Approval(UUID(int=n), kind, role) for n, kind, role in (
        (71, "agent", "risk"), (72, "person", "review"), (73, "person", "review")))  # fmt: skip
    assert strict.ask(replace(large, amount_minor=99_999), "autonomous", ()).allowed
    assert not strict.ask(large, "autonomous", ()).allowed
    assert not strict.ask(large, "reviewed", (risk, one)).allowed
    assert not strict.ask(large, "reviewed", (one, two)).allowed
    assert strict.ask(large, "reviewed", (risk, one, two)).allowed
    new_payee = replace(PAYOUT, payee_known=False)
    assert not strict.ask(new_payee, "reviewed", (one,)).allowed
    assert strict.ask(new_payee, "reviewed", (one, two)).allowed
    assert strict.ask(PAYOUT, "reviewed", (one,)).allowed


def rules_of(text: str) -> set[str]:
    return set(re.findall(r"^@id.*?;$", text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(("name", "replaced"), [("checkout", 0), ("claims", 1)])
def test_the_examples_are_the_shipped_policies_and_more(name: str, replaced: int) -> None:
    """Whoever starts a service with one of them has all the other rules, too."""
    text = (EXAMPLES / f"{name}.cedar").read_text("utf-8")
    assert policies(text).version
    assert len(rules_of(TEXT) - rules_of(text)) == replaced


def test_the_documentation_states_the_numbers_that_are_in_force() -> None:
    text = " ".join((DOCS / "advice.md").read_text("utf-8").split())
    most = display(thresholds.ADVISED_REFUND_MAX_MINOR, "usd").removeprefix("$")
    assert f"from confidence {thresholds.ADVISED_MIN_CONFIDENCE} on and up to {most}" in text
    invoices = display(thresholds.ADVISED_INVOICE_MAX_MINOR, "usd").removeprefix("$")
    assert f"(an overdue invoice: up to {invoices})" in text
    assert f"a denial from confidence {thresholds.DENIED_MIN_CONFIDENCE} on" in text
