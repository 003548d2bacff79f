"""The policy file: which one is in force, and what is wrong with one before it is."""

from dataclasses import dataclass
from pathlib import Path

from paywarden.guardrails import cedar
from paywarden.guardrails.cedar import PolicySet
from paywarden.guardrails.policy_text import PolicyProblem
from paywarden.settings import Settings


@dataclass(frozen=True, slots=True)
class CheckedPolicies:
    """A policy file and what keeps it from coming into force. ``version`` is None when something does."""

    version: str | None
    rules: tuple[str, ...]
    problems: tuple[PolicyProblem, ...]


def policies_in_force(settings: Settings) -> PolicySet:
    """The policies of PAYWARDEN_POLICY_FILE, else the shipped ones. Raises ConfigurationError, naming what is wrong."""
    return cedar.shipped() if settings.policy_file is None else cedar.from_file(settings.policy_file)


def text_in_force(settings: Settings) -> str:
    """Their text, with its comments. Raises ConfigurationError when the file cannot be read."""
    return cedar.shipped_text() if settings.policy_file is None else cedar.text_of(settings.policy_file)


def check(path: Path) -> CheckedPolicies:
    """Hold a file against the schema. Raises ConfigurationError when it cannot be read."""
    found = tuple(cedar.check(cedar.text_of(path)))
    if found:
        return CheckedPolicies(None, (), found)
    loaded = cedar.from_file(path)
    return CheckedPolicies(loaded.version, loaded.rules, ())
