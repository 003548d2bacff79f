"""The ladder: autonomous, then advised, then reviewed. The first level the policies permit is the oversight taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from paywarden.guardrails.cedar import REVIEW_ROLE, Answer, Autonomy, PolicySet
from paywarden.guardrails.facts import Approval, Check, PaymentFacts, PrincipalKind

Outcome = Literal["allow", "review", "deny"]
ReviewerKind = Literal["any", "person"]

DEFAULT_DENY: Final = "default_deny"
POLICY_ERROR: Final = "policy_error"
_NOBODY: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class OversightDecision:
    """What the policies make of one payment.

    ``allow``: at this ``oversight``. ``review``: one more approval by a principal of ``reviewer_kind`` with
    ``required_role`` would allow it. ``deny``: nothing would. ``determining`` names the rules that decided.
    """

    outcome: Outcome
    oversight: Autonomy | None
    determining: tuple[str, ...]
    required_role: str | None
    reviewer_kind: ReviewerKind | None
    checks: tuple[Check, ...]


class _PolicyFailedError(Exception):
    """The policies could not be evaluated; carries the checks so far."""


def decide(policies: PolicySet, facts: PaymentFacts) -> OversightDecision:
    """Ask the policies level by level; an error at any level denies the payment with the rule ``policy_error``."""
    checks: list[Check] = []
    try:
        return _allowed(policies, facts, checks) or _reviewable(policies, facts, checks)
    except _PolicyFailedError:
        return OversightDecision("deny", None, (POLICY_ERROR,), None, None, tuple(checks))


def counted_approvals(facts: PaymentFacts) -> tuple[Approval, ...]:
    """The approvals that may count: never the initiator's own."""
    return tuple(approval for approval in facts.approvals if approval.reviewer_id != facts.principal_id)


def _allowed(policies: PolicySet, facts: PaymentFacts, checks: list[Check]) -> OversightDecision | None:
    approvals = counted_approvals(facts)
    levels: tuple[tuple[Autonomy, Sequence[Approval]], ...] = (
        ("autonomous", ()),
        *((("advised", ()),) if facts.advice else ()),
        ("reviewed", approvals),
    )
    for level, given in levels:
        answer = _ask(policies, facts, level, given, checks)
        if answer.allowed:
            checks.append(Check(f"policy.{level}", "pass", f"permitted by {_names(answer)}"))
            return OversightDecision("allow", level, answer.determining, None, None, tuple(checks))
        checks.append(Check(f"policy.{level}", "note", f"not permitted: {_names(answer)}"))
    return None


def _reviewable(policies: PolicySet, facts: PaymentFacts, checks: list[Check]) -> OversightDecision:
    """Whether one more approval would help: by any principal that may review, or by a person only."""
    answer = _with_one_more(policies, facts, "agent", checks)
    reviewer_kind: ReviewerKind = "any"
    if not answer.allowed:
        answer, reviewer_kind = _with_one_more(policies, facts, "person", checks), "person"
    if answer.allowed:
        who = "a person" if reviewer_kind == "person" else "another principal"
        checks.append(Check("policy.review", "note", f"needs an approval by {who} with the role '{REVIEW_ROLE}'"))
        return OversightDecision("review", None, answer.determining, REVIEW_ROLE, reviewer_kind, tuple(checks))
    determining = answer.determining or (DEFAULT_DENY,)
    checks.append(Check("policy.review", "fail", f"no approval could permit it: {', '.join(determining)}"))
    return OversightDecision("deny", None, determining, None, None, tuple(checks))


def _with_one_more(policies: PolicySet, facts: PaymentFacts, kind: PrincipalKind, checks: list[Check]) -> Answer:
    supposed = Approval(_NOBODY, kind, frozenset({REVIEW_ROLE}))
    return _ask(policies, facts, "reviewed", (*counted_approvals(facts), supposed), checks)


def _ask(
    policies: PolicySet, facts: PaymentFacts, level: Autonomy, approvals: Sequence[Approval], checks: list[Check]
) -> Answer:
    answer = policies.ask(facts, level, approvals)
    if answer.errors:
        checks.append(Check(f"policy.{level}", "fail", f"could not be evaluated: {'; '.join(answer.errors)}"))
        raise _PolicyFailedError
    return answer


def _names(answer: Answer) -> str:
    return ", ".join(answer.determining) or DEFAULT_DENY
