"""One line of a judgement: which rule looked, what it found, and why. Guardrails and decisions both write these."""

from typing import Literal

from msgspec import Struct

CheckResult = Literal["pass", "fail", "note"]


class Check(Struct, frozen=True):
    """A rule's finding. ``note`` informs and decides nothing; ``detail`` is a sentence for people."""

    rule: str
    result: CheckResult
    detail: str
