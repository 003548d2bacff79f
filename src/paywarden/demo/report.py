"""What became of what was asked for, in figures: a section for each story, by outcome, by oversight, in money."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from paywarden.demo.cases import CURRENCY
from paywarden.kit.money import display

_MONEY = re.compile(r"\$[0-9][0-9,]*\.[0-9]{2}")
_VARYING = re.compile(r"(?:(?:order|invoice) )?(?:ORD|INV)-[0-9a-f]+-[0-9]+|\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b")

Result = Literal["paid", "refunded", "extended", "in_review", "needs_facts", "denied", "on_its_way", "not_asked"]
RESULTS: tuple[Result, ...] = get_args(Result)
Course = Literal["moved", "postponed", "held", "refused", "on_its_way"]
_COURSES: dict[Result, Course] = {
    "paid": "moved",
    "refunded": "moved",
    "extended": "postponed",
    "in_review": "held",
    "needs_facts": "held",
    "denied": "refused",
    "on_its_way": "on_its_way",
    "not_asked": "refused",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request for so many minor units. ``about`` is the order, invoice or cart.

    ``payment`` is None when it was refused before there was one. ``until`` is the day to which it is ``extended``.
    """

    about: str
    amount_minor: int
    result: Result
    reason: str
    oversight: str | None
    payment: str | None
    until: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "about": self.about,
            "amount_minor": self.amount_minor,
            "result": self.result,
            "oversight": self.oversight,
            "reason": self.reason,
            "payment": self.payment,
            "until": self.until,
        }


@dataclass(frozen=True, slots=True)
class Story:
    """One story. ``charged`` came in before anybody asked, in minor units; ``told`` is the outcome worth reading."""

    name: Literal["support", "billing", "checkout"]
    says: str
    outcomes: Sequence[Outcome]
    charged: Sequence[int] = ()
    told: str | None = None

    def of(self, result: Result) -> list[Outcome]:
        """The outcomes with this result."""
        return [outcome for outcome in self.outcomes if outcome.result == result]

    def line(self, result: Result, oversight: str | None) -> list[Outcome]:
        """The outcomes with this result that were decided at this oversight."""
        return [outcome for outcome in self.of(result) if outcome.oversight == oversight]

    def lines(self) -> list[tuple[Result, str | None]]:
        """Every (result, oversight) that occurred, in the order of ``RESULTS``."""
        seen = Counter((outcome.result, outcome.oversight) for outcome in self.outcomes)
        return sorted(seen, key=lambda line: (RESULTS.index(line[0]), line[1] or ""))

    def reasons(self, result: Result) -> list[tuple[str, int]]:
        """Why, with how often, the most frequent first; what differs from order to order is left out."""
        return Counter(_general(outcome.reason) for outcome in self.of(result)).most_common()

    def money(self) -> dict[Course, int]:
        """What was asked for, in minor units, by where it went."""
        went: Counter[Course] = Counter()
        for outcome in self.outcomes:
            went[_COURSES[outcome.result]] += outcome.amount_minor
        return dict(went)

    def as_json(self) -> dict[str, Any]:
        """For machines; amounts in minor units of usd."""
        return {
            "story": self.name,
            "requests": len(self.outcomes),
            "charged_before": {"count": len(self.charged), "amount_minor": sum(self.charged)},
            "money_minor": self.money(),
            "outcomes": [self._line(result, oversight) for result, oversight in self.lines()],
            "reasons": {result: dict(self.reasons(result)) for result in RESULTS if self.of(result)},
            "each": [outcome.as_json() for outcome in self.outcomes],
        }

    def _line(self, result: Result, oversight: str | None) -> dict[str, Any]:
        amount_minor = asked_minor(self.line(result, oversight))
        return {
            "result": result,
            "oversight": oversight,
            "count": len(self.line(result, oversight)),
            "amount_minor": amount_minor,
            "display": display(amount_minor, CURRENCY),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The whole run. ``dossier`` is the one payment that is told from its beginning to its end."""

    run: str
    seconds: float
    stories: Sequence[Story]
    reconciliation: Mapping[str, Any]
    dossier: Mapping[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """For machines; amounts in minor units of usd."""
        return {
            "run": self.run,
            "seconds": round(self.seconds, 1),
            "stories": [story.as_json() for story in self.stories],
            "reconciliation": dict(self.reconciliation),
            "explained": self.dossier["payment"]["id"] if self.dossier else None,
        }


def asked_minor(outcomes: Iterable[Outcome]) -> int:
    """What was asked for in these, in minor units."""
    return sum(outcome.amount_minor for outcome in outcomes)


def _general(reason: str) -> str:
    return _VARYING.sub(_named, _MONEY.sub("$...", reason)).replace("....", "...")


def _named(found: re.Match[str]) -> str:
    """What it was that differed."""
    text = found.group()
    return "the order" if "ORD-" in text else "the invoice" if "INV-" in text else "..."
