"""What can go wrong on purpose: armed faults, by rate and match, and those a text asks for with ``fault:NAME``.

Armed faults live in the process: a restart of the sandbox disarms them.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Operation = Literal["submit", "confirm", "refund", "payout", "fetch"]


class Fault(StrEnum):
    """Each name says what happens to the request it strikes."""

    DROP_BEFORE_CHARGE = "drop_before_charge"
    ERROR_500_BEFORE_CHARGE = "error_500_before_charge"
    RATE_LIMIT = "rate_limit"
    DELAY = "delay"
    DECLINE = "decline"
    INVALID = "invalid"
    FAIL_LATER = "fail_later"
    NOT_FOUND_FOR = "not_found_for"
    DUPLICATE_WEBHOOK = "duplicate_webhook"
    NO_WEBHOOK = "no_webhook"
    DROP_AFTER_CHARGE = "drop_after_charge"
    ERROR_500_AFTER_CHARGE = "error_500_after_charge"
    HALF_BODY = "half_body"
    WRONG_JSON = "wrong_json"
    TIMEOUT = "timeout"


# What only money can suffer: a fetch neither declines nor has a webhook.
MONEY_ONLY = frozenset(
    {
        Fault.DECLINE,
        Fault.INVALID,
        Fault.FAIL_LATER,
        Fault.NOT_FOUND_FOR,
        Fault.DUPLICATE_WEBHOOK,
        Fault.NO_WEBHOOK,
    }
)
# Of the rest, fail_later and duplicate_webhook put off settlement and event by ``seconds`` when they are given.
DEFAULT_SECONDS = {Fault.DELAY: 2.0, Fault.NOT_FOUND_FOR: 5.0, Fault.TIMEOUT: 60.0}
_ASKED_FOR = re.compile(r"fault:([a-z0-9_]+)")
_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Struck:
    """The fault that strikes one request, and for how long where that matters."""

    fault: Fault
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Subject:
    """What a fault can be matched against."""

    operation: Operation
    reference: str | None = None
    customer: str | None = None


@dataclass(slots=True)
class Armed:
    """An armed fault. No operation means every money operation; ``times_left`` None means without end."""

    fault: Fault
    seconds: float | None = None
    rate: float = 1.0
    times_left: int | None = None
    operation: Operation | None = None
    reference: str | None = None
    customer: str | None = None

    def matches(self, subject: Subject) -> bool:
        if self.times_left == 0:
            return False
        if self.operation is None and subject.operation == "fetch":
            return False
        wanted = (self.operation, self.reference, self.customer)
        found = (subject.operation, subject.reference, subject.customer)
        return all(want is None or want == has for want, has in zip(wanted, found, strict=True))


class Faults:
    """The armed faults of one sandbox, asked in the order of arming; at most one strikes a request."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []
        self._obeyed: set[str] = set()

    def arm(self, armed: Armed) -> None:
        self._armed.append(armed)

    def disarm(self) -> None:
        self._armed.clear()

    def strike(self, subject: Subject) -> Struck | None:
        """The armed fault for this request, if one matches and its rate says now."""
        for armed in self._armed:
            if armed.matches(subject) and _chance.random() < armed.rate:
                if armed.times_left is not None:
                    armed.times_left -= 1
                return _struck(armed.fault, armed.seconds)
        return None

    def asked_for(self, texts: Iterable[str | None], key: str | None) -> Struck | None:
        """The fault that one of the texts names; once per idempotency key, so that a repeat can go through."""
        for found in texts:
            match = _ASKED_FOR.search(found or "")
            if match and match[1] in Fault.__members__.values() and key not in self._obeyed:
                if key is not None:
                    self._obeyed.add(key)
                return _struck(Fault(match[1]), None)
        return None


def _struck(fault: Fault, seconds: float | None) -> Struck:
    return Struck(fault, DEFAULT_SECONDS.get(fault) if seconds is None else seconds)
