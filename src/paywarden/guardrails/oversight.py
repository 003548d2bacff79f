"""The ladder: autonomous, then advised, then reviewed. The first level the policies permit is the oversight taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from paywarden.guardrails.cedar import Answer, Autonomy, PolicySet
from paywarden.guardrails.facts import Approval, Check, PaymentFacts, PrincipalKind
from paywarden.kit.roles import REVIEW_ROLES

Outcome = Literal["allow", "review", "deny"]
ReviewerKind = Literal["any", "person"]

DEFAULT_DENY: Final = "default_deny"
POLICY_ERROR: Final = "policy_error"
MOST_APPROVALS: Final = 3
"""The most approvals of one kind and role that a policy can make a payment wait for."""
# Ids that no principal has.
_NOBODY: Final = 1 << 127
_KINDS: Final[tuple[PrincipalKind, ...]] = ("agent", "person")
_WHO: Final = {"agent": "another principal", "person": "a person"}
_Slot = tuple[str, PrincipalKind]


@dataclass(frozen=True, slots=True)
class OversightDecision:
    """What the policies make of one payment.

    ``allow``: at this ``oversight``. ``review``: an approval by a principal of ``reviewer_kind`` with
    ``required_role`` is missing, perhaps among others. ``deny``: nothing would. ``determining`` names the rules that
    decided.
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


def autonomous(policies: PolicySet, facts: Sequence[PaymentFacts]) -> list[OversightDecision | None]:
    """Which of many payments of one principal the policies permit at the first level; None: ask ``decide`` about it."""
    answers = policies.ask_all(facts, "autonomous")
    allowed = {answer: _allow("autonomous", answer, []) for answer in set(answers) if answer.allowed}
    return [allowed.get(answer) for answer in answers]


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
            return _allow(level, answer, checks)
        checks.append(Check(f"policy.{level}", "note", f"not permitted: {_names(answer)}"))
    return None


def _allow(level: Autonomy, answer: Answer, checks: list[Check]) -> OversightDecision:
    checks.append(Check(f"policy.{level}", "pass", f"permitted by {_names(answer)}"))
    return OversightDecision("allow", level, answer.determining, None, None, tuple(checks))


def _reviewable(policies: PolicySet, facts: PaymentFacts, checks: list[Check]) -> OversightDecision:
    """Whose approval is missing first, if approvals are all that is missing."""
    missing = _missing(policies, facts, checks)
    if isinstance(missing, Answer):
        determining = missing.determining or (DEFAULT_DENY,)
        checks.append(Check("policy.review", "fail", f"no approval could permit it: {', '.join(determining)}"))
        return OversightDecision("deny", None, determining, None, None, tuple(checks))
    needed = ", ".join(f"{_WHO[kind]} with the role '{role}'" for role, kind in missing)
    checks.append(Check("policy.review", "note", f"needs an approval by {needed}"))
    role, kind = missing[0]
    answer = _supposing(policies, facts, missing, checks)
    return OversightDecision(
        "review", None, answer.determining, role, "person" if kind == "person" else "any", tuple(checks)
    )


def _missing(policies: PolicySet, facts: PaymentFacts, checks: list[Check]) -> Answer | list[_Slot]:
    """A smallest list of approvals that would permit it, as far as leaving out one after another finds it.

    The answer to all approvals that there could be, when even those would not.
    """
    singles: tuple[list[_Slot], ...] = ([("review", "agent")], [("review", "person")])
    for one in singles:
        if _supposing(policies, facts, one, checks).allowed:
            return one
    slots: list[_Slot] = [(role, kind) for kind in _KINDS for role in REVIEW_ROLES for _ in range(MOST_APPROVALS)]
    answer = _supposing(policies, facts, slots, checks)
    if not answer.allowed:
        return answer
    for slot in reversed(slots.copy()):
        fewer = slots.copy()
        fewer.remove(slot)
        if _supposing(policies, facts, fewer, checks).allowed:
            slots = fewer
    # Who acts in a role of their own comes first: theirs may be all the eyes that a general reviewer would add.
    return sorted(slots, key=lambda slot: slot[0] == "review")


def _supposing(policies: PolicySet, facts: PaymentFacts, slots: Sequence[_Slot], checks: list[Check]) -> Answer:
    """The answer if these approvals were there, each by somebody else."""
    supposed = [Approval(UUID(int=_NOBODY + number), kind, role) for number, (role, kind) in enumerate(slots)]
    return _ask(policies, facts, "reviewed", (*counted_approvals(facts), *supposed), checks)


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
