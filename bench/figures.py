"""What is measured and what is made of it: samples, tallies, medians over rounds, ratios within a round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

YARDSTICK = "tpcb"


@dataclass(frozen=True, slots=True)
class Tally:
    """What the load generator saw acknowledged, and what stands in the database.

    The generator hangs up on the requests in flight at its end: so many may be stored without an acknowledgement.
    """

    what: str
    acknowledged: int
    stored: int
    in_flight: int = 0

    def broken(self) -> str | None:
        """A sentence when something got lost or was made twice."""
        if self.acknowledged <= self.stored <= self.acknowledged + self.in_flight:
            return None
        seen = f"{self.acknowledged:,} acknowledged, at most {self.in_flight:,} more in flight"
        return f"{self.what}: {seen}, but {self.stored:,} stored"


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one case. ``broken``: what must not have happened, a sentence each; ``extra``: more figures."""

    value: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    broken: tuple[str, ...] = ()
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """One case over all rounds: medians, and the ratio to the yardstick of the same round."""

    name: str
    unit: str
    value: float
    ratio_to_tpcb: float | None
    p50_ms: float | None
    p99_ms: float | None
    rounds: int
    lowest: float
    highest: float
    extra: Mapping[str, float]
    broken: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For machines; the first six fields are a promise."""
        return {
            "name": self.name,
            "value": _short(self.value),
            "unit": self.unit,
            "ratio_to_tpcb": _short(self.ratio_to_tpcb),
            "p50_ms": _short(self.p50_ms),
            "p99_ms": _short(self.p99_ms),
            "rounds": self.rounds,
            "lowest": _short(self.lowest),
            "highest": _short(self.highest),
            **{name: _short(value) for name, value in self.extra.items()},
            "broken": list(self.broken),
        }


def result(name: str, unit: str, samples: Sequence[Sample], yardstick: Sequence[float], rate: bool) -> Result:
    """The medians of a case. Only a ``rate`` (so much a second) has a ratio; sample and yardstick go by round."""
    values = [sample.value for sample in samples]
    ratios = [value / measure for value, measure in zip(values, yardstick, strict=False)] if rate else []
    return Result(
        name,
        unit,
        median(values),
        median(ratios) if ratios else None,
        _median([sample.p50_ms for sample in samples]),
        _median([sample.p99_ms for sample in samples]),
        len(samples),
        min(values),
        max(values),
        _extras(samples),
        tuple(sentence for sample in samples for sentence in sample.broken),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1)] if ordered else 0.0


def _extras(samples: Sequence[Sample]) -> dict[str, float]:
    names = dict.fromkeys(name for sample in samples for name in sample.extra)
    return {name: median([sample.extra[name] for sample in samples if name in sample.extra]) for name in names}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _short(value: float | None) -> float | None:
    """Four digits say more than the machine knows."""
    return None if value is None else float(f"{value:.4g}")
