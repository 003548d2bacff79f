"""What became of the messages, in figures: by outcome, by oversight, in money."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from paywarden.demo.cases import CURRENCY, Case
from paywarden.kit.money import display

_MONEY = re.compile(r"\$[0-9][0-9,]*\.[0-9]{2}")
_ORDER = re.compile(r"ORD-[0-9a-f]+-[0-9]+")

Result = Literal["refunded", "in_review", "needs_facts", "denied", "on_its_way", "not_asked"]
RESULTS: tuple[Result, ...] = ("refunded", "in_review", "needs_facts", "denied", "on_its_way", "not_asked")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message. ``payment`` is the refund, None when it was refused before there was one."""

    case: Case
    result: Result
    reason: str
    oversight: str | None
    payment: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """The whole run. ``charged`` are the charges that succeeded, in minor units."""

    run: str
    agent: str
    seconds: float
    charged: Sequence[int]
    outcomes: Sequence[Outcome]
    reconciliation: Mapping[str, Any]
    dossier: Mapping[str, Any] | None

    def of(self, result: Result) -> list[Outcome]:
        """The outcomes with this result."""
        return [outcome for outcome in self.outcomes if outcome.result == result]

    def line(self, result: Result, oversight: str | None) -> list[Outcome]:
        """The outcomes with this result that were decided at this oversight."""
        return [outcome for outcome in self.of(result) if outcome.oversight == oversight]

    def reasons(self, result: Result) -> list[tuple[str, int]]:
        """Why, with how often, the most frequent first; what differs from order to order is left out."""
        return Counter(_general(outcome.reason) for outcome in self.of(result)).most_common()

    def as_json(self) -> dict[str, Any]:
        """For machines; amounts in minor units of usd."""
        return {
            "run": self.run,
            "agent": self.agent,
            "seconds": round(self.seconds, 1),
            "messages": len(self.outcomes),
            "charges": {"count": len(self.charged), "amount_minor": sum(self.charged)},
            "refund_requests": [self._line(result, oversight) for result, oversight in self.lines()],
            "reasons": {result: dict(self.reasons(result)) for result in RESULTS if self.of(result)},
            "reconciliation": dict(self.reconciliation),
            "explained": self.dossier["payment"]["id"] if self.dossier else None,
        }

    def lines(self) -> list[tuple[Result, str | None]]:
        """Every (result, oversight) that occurred, in the order of ``RESULTS``."""
        seen = Counter((outcome.result, outcome.oversight) for outcome in self.outcomes)
        return sorted(seen, key=lambda line: (RESULTS.index(line[0]), line[1] or ""))

    def _line(self, result: Result, oversight: str | None) -> dict[str, Any]:
        found = self.line(result, oversight)
        return {
            "result": result,
            "oversight": oversight,
            "count": len(found),
            "amount_minor": asked_minor(found),
            "display": display(asked_minor(found), CURRENCY),
        }


def _general(reason: str) -> str:
    return _ORDER.sub("the order", _MONEY.sub("$...", reason)).replace("order the order", "the order")


def asked_minor(outcomes: Iterable[Outcome]) -> int:
    """What was asked for in these, in minor units."""
    return sum(outcome.case.refund_minor for outcome in outcomes)
