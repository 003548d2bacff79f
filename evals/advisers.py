"""The advisers that can be measured, by name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from paywarden.decisions.adviser import Adviser
from paywarden.decisions.rules import RulesAdviser
from paywarden.guardrails.thresholds import ADVISED_MIN_CONFIDENCE, DENIED_MIN_CONFIDENCE
from paywarden.kit.errors import ConfigurationError
from paywarden.settings import Settings

# The rules need no configuration, so none is read for them.
_RULES_TIMEOUT_SECONDS = 30.0

AdviserName = Literal["rules", "claude"]


@dataclass(frozen=True, slots=True)
class Measured:
    """An adviser and what bounds it. ``kind`` names its runs: runs of one kind are compared."""

    adviser: Adviser
    kind: str
    timeout_seconds: float


@asynccontextmanager
async def opened(name: AdviserName) -> AsyncIterator[Measured]:
    """The adviser, ready; closed at the end. Raises ConfigurationError when there is no key for a model."""
    if name == "rules":
        yield Measured(RulesAdviser(), "rules", _RULES_TIMEOUT_SECONDS)
        return
    settings = Settings.load()
    if settings.anthropic_api_key is None:
        raise ConfigurationError("ANTHROPIC_API_KEY is not set: without it only --adviser rules can be measured")
    from paywarden.decisions.claude import ClaudeAdviser
    from paywarden.decisions.prompt import AdviceThresholds

    adviser = ClaudeAdviser(
        settings.anthropic_api_key.get_secret_value(),
        AdviceThresholds(ADVISED_MIN_CONFIDENCE, DENIED_MIN_CONFIDENCE),
        model=settings.adviser_model,
        max_tokens=settings.adviser_max_tokens,
        effort=settings.adviser_effort,
        timeout_seconds=settings.model_timeout_seconds,
        base_url=settings.anthropic_base_url,
    )
    try:
        await adviser.preload()
        yield Measured(adviser, f"claude-{_file_name(settings.adviser_model)}", settings.adviser_timeout_seconds)
    finally:
        await adviser.close()


def _file_name(model: str) -> str:
    return "".join(character if character.isalnum() or character in ".-_" else "-" for character in model)
