"""One line of a judgement: which rule looked, what it found, and why. Guardrails and decisions both write these."""

from dataclasses import dataclass
from typing import Literal

CheckResult = Literal["pass", "fail", "note"]


@dataclass(frozen=True, slots=True)
class Check:
    """A rule's finding. ``note`` informs and decides nothing; ``detail`` is a sentence for people."""

    rule: str
    result: CheckResult
    detail: str
