"""Cedar: the policy set that is in force, and one question to it.

An answer is a yes only when Cedar decides Allow *and* reports no error: Cedar leaves out a forbid rule that fails to
evaluate, and may then allow what the rule was written to stop.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import cedarpy
import msgspec

from paywarden.guardrails import thresholds
from paywarden.guardrails.facts import Approval, PaymentFacts
from paywarden.guardrails.policy_text import PolicyProblem, annotations, names_resource, problems
from paywarden.kit import ids
from paywarden.kit.errors import ConfigurationError
from paywarden.kit.roles import REVIEW_ROLES

Autonomy = Literal["autonomous", "advised", "reviewed"]
_FOLDER = files("paywarden.guardrails") / "policies"
_ENTITY_TYPES: dict[str, tuple[str, ids.Prefix]] = {
    "agent": ("Agent", "agt"),
    "person": ("Person", "per"),
    "service": ("Service", "svc"),
}
# Of some 600 bytes each.
MOST_REMEMBERED = 16_384
_encode = msgspec.json.Encoder().encode
_Question = tuple[PaymentFacts, Autonomy]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the policy set says to one question. ``determining`` are the ``@id`` of the rules that decided."""

    allowed: bool
    determining: tuple[str, ...]
    errors: tuple[str, ...]


class PolicySet:
    """A policy text, validated against its schema and parsed once. ``version`` names the exact text, ``rules`` the
    ``@id`` of every rule in its order.

    What it was asked about many payments is remembered: the same question has the same answer, and prices repeat.
    """

    def __init__(self, name: str, text: str, schema_text: str) -> None:
        """Raises ConfigurationError when the text is not valid for the schema, or a rule has no ``@id`` of its own."""
        self.name = name
        self.version = f"{name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self._schema = _parsed_schema(name, schema_text)
        self._policies = _parsed_policies(name, text, self._schema)
        named = annotations(text)
        self.rules = tuple(rule["id"] for rule in named)
        self._names_resource = names_resource(text)
        self._answers: dict[_Question, Answer] = {}
        self._says = {rule["id"]: rule["says"] for rule in named if "says" in rule}

    def says(self, rule: str) -> str | None:
        """The sentence that people are told when this rule decides: its ``@says``, if it has one."""
        return self._says.get(rule)

    def ask(self, facts: PaymentFacts, autonomy: Autonomy, approvals: Sequence[Approval]) -> Answer:
        """Whether this payment is permitted at this level of autonomy with these approvals.

        Never raises: whatever goes wrong is an error in a denying answer.
        """
        try:
            result = cedarpy.is_authorized(
                _request(facts, autonomy, approvals), self._policies, _entities(*_principal_key(facts)), self._schema
            )
        except Exception as error:
            return Answer(allowed=False, determining=(), errors=(f"{type(error).__name__}: {error}",))
        return _answer(result)

    def ask_all(self, facts: Sequence[PaymentFacts], autonomy: Autonomy) -> list[Answer]:
        """The same of many payments of one principal at once, without approvals.

        Never raises: whatever goes wrong is an error in the denying answers of all.
        """
        questions = [(self._asked(each), autonomy) for each in facts]
        known = self._answers
        answers = {question: known[question] for question in questions if question in known}
        fresh = {question: None for question in questions if question not in answers}
        if fresh:
            try:
                answers |= self._ask_anew([asked for asked, _ in fresh], autonomy)
            except Exception as error:
                failed = Answer(allowed=False, determining=(), errors=(f"{type(error).__name__}: {error}",))
                return [failed] * len(facts)
        return [answers[question] for question in questions]

    def _asked(self, facts: PaymentFacts) -> PaymentFacts:
        """What the rules may look at: not who the customer is, if none of them asks for that."""
        return facts if self._names_resource else msgspec.structs.replace(facts, counterparty="")

    def _ask_anew(self, facts: Sequence[PaymentFacts], autonomy: Autonomy) -> dict[_Question, Answer]:
        results = cedarpy.is_authorized_batch(
            [_request(each, autonomy, ()) for each in facts],
            self._policies,
            _entities(*_one_principal_key(facts)),
            self._schema,
        )
        answers = {(each, autonomy): _answer(result) for each, result in zip(facts, results, strict=True)}
        self._answers.update((question, answer) for question, answer in answers.items() if not answer.errors)
        while len(self._answers) > MOST_REMEMBERED:
            del self._answers[next(iter(self._answers))]
        return answers


@cache
def shipped() -> PolicySet:
    """The policy set that comes with Paywarden."""
    return PolicySet("default", shipped_text(), _schema())


def shipped_text() -> str:
    """The Cedar text of the shipped policy set, with its comments."""
    return (_FOLDER / "default.cedar").read_text("utf-8")


def from_file(path: Path) -> PolicySet:
    """The policy set of a file, which replaces the shipped one. Raises ConfigurationError, naming what is wrong."""
    return PolicySet(path.stem, text_of(path), _schema())


def text_of(path: Path) -> str:
    """The text of a policy file. Raises ConfigurationError when it cannot be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the policy file {path} cannot be read: {error}") from error


def check(text: str) -> list[PolicyProblem]:
    """What keeps a text from coming into force, by line; empty when nothing does."""
    return problems(text, _parsed_schema("file", _schema()))


def _schema() -> str:
    return (_FOLDER / "paywarden.cedarschema").read_text("utf-8")


def _answer(result: cedarpy.AuthzResult) -> Answer:
    errors = tuple(str(error) for error in result.diagnostics.errors)
    names: Mapping[str, str] = result.diagnostics.id_annotations_by_reason
    determining = tuple(sorted(names.get(reason, reason) for reason in result.diagnostics.reasons))
    return Answer(result.decision == cedarpy.Decision.Allow and not errors, determining, errors)


def _parsed_schema(name: str, schema_text: str) -> cedarpy.Schema:
    try:
        return cedarpy.Schema.from_str(schema_text)
    except ValueError as error:
        raise ConfigurationError(f"the Cedar schema of policy '{name}' does not parse: {error}") from error


def _parsed_policies(name: str, text: str, schema: cedarpy.Schema) -> cedarpy.PolicySet:
    found = problems(text, schema)
    if found:
        raise ConfigurationError(f"policy '{name}' is not valid for its schema: {'; '.join(map(str, found))}")
    return cedarpy.PolicySet.from_str(text)


def _principal_key(facts: PaymentFacts) -> tuple[str, str, frozenset[str]]:
    entity_type, prefix = _ENTITY_TYPES[facts.principal_kind]
    return entity_type, ids.to_text(prefix, facts.principal_id), facts.principal_roles


def _one_principal_key(facts: Sequence[PaymentFacts]) -> tuple[str, str, frozenset[str]]:
    (key,) = {_principal_key(each) for each in facts}
    return key


@lru_cache(maxsize=1024)
def _entities(entity_type: str, public_id: str, roles: frozenset[str]) -> cedarpy.Entities:
    principal = {
        "uid": {"type": entity_type, "id": public_id},
        "attrs": {"id": public_id},
        "parents": [{"type": "Role", "id": role} for role in sorted(roles)],
    }
    named = [{"uid": {"type": "Role", "id": role}, "attrs": {}, "parents": []} for role in sorted(roles)]
    return cedarpy.Entities.from_json_str(json.dumps([principal, *named]))


def _request(facts: PaymentFacts, autonomy: Autonomy, approvals: Sequence[Approval]) -> dict[str, Any]:
    entity_type, public_id, _ = _principal_key(facts)
    return {
        "principal": {"type": entity_type, "id": public_id},
        "action": {"type": "Action", "id": facts.kind},
        "resource": {"type": "Payee" if facts.kind == "payout" else "Customer", "id": facts.counterparty},
        "context": _encode(_context(facts, autonomy, approvals)).decode(),
    }


def _context(facts: PaymentFacts, autonomy: Autonomy, approvals: Sequence[Approval]) -> dict[str, Any]:
    context: dict[str, Any] = {
        "autonomy": autonomy,
        "tenant_active": facts.tenant_active,
        "principal_active": facts.principal_active,
        "amount_minor": facts.amount_minor,
        "currency": facts.currency,
        "payee_known": facts.payee_known,
        "duplicate_suspected": facts.duplicate_suspected,
        "local_hour": facts.local_hour,
        "thresholds": {
            "advised_min_confidence": thresholds.ADVISED_MIN_CONFIDENCE,
            "denied_min_confidence": thresholds.DENIED_MIN_CONFIDENCE,
            "advised_refund_max_minor": thresholds.ADVISED_REFUND_MAX_MINOR,
            "advised_invoice_max_minor": thresholds.ADVISED_INVOICE_MAX_MINOR,
            "checkout_risk_from_minor": thresholds.CHECKOUT_RISK_FROM_MINOR,
        },
        **_approval_context(approvals),
    }
    if facts.purpose is not None:
        context["purpose"] = facts.purpose
    if facts.refund_of_known is not None:
        context["refund_of_known"] = facts.refund_of_known
    if facts.advice is not None:
        context["advice"] = {
            "verdict": facts.advice.verdict,
            "amount_minor": facts.advice.amount_minor,
            "confidence": facts.advice.confidence,
            "citations_verified": facts.advice.citations_verified,
            "supported_by_trusted": facts.advice.supported_by_trusted,
        }
    return context


def _approval_context(approvals: Sequence[Approval]) -> dict[str, Any]:
    counted = [item for item in approvals if item.role in REVIEW_ROLES]
    return {
        "approvals": len({item.reviewer_id for item in counted}),
        "person_approvals": len({item.reviewer_id for item in counted if item.reviewer_kind == "person"}),
        "approved_roles": sorted({item.role for item in counted}),
        "approver_ids": [ids.to_text(_ENTITY_TYPES[item.reviewer_kind][1], item.reviewer_id) for item in approvals],
    }
