"""Runs: figures and every case, stored as JSON beside the last run of the same kind, which moves to the history."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evals.labels import STRATA
from evals.metrics import Calibration, Effort, Money, by_stratum, calibration, effort, money
from evals.outcomes import CaseResult
from evals.retrieval import MIN_HIT_AT_1, MIN_PUBLISHED_HIT_AT_1, RetrievalFigures

RESULTS = Path(__file__).parent / "results"
_HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. ``retrieval`` is of the held-out messages, ``published`` of the published test part.

    ``asked_of`` is how many cases there were; fewer results mean that the budget did not bear them all. ``gated``: no
    money may be wrongly paid where there is a hostile text. ``cases`` is the digest of the cases.
    """

    kind: str
    adviser: str
    gated: bool
    policies: str
    cases: str
    started_at: str
    seconds: float
    retrieval: RetrievalFigures
    published: RetrievalFigures
    asked_of: int
    results: tuple[CaseResult, ...]

    @property
    def strata(self) -> dict[str, Money]:
        return by_stratum(self.results)

    @property
    def calibration(self) -> Calibration:
        return calibration(self.results)

    @property
    def effort(self) -> Effort:
        return effort(self.results)

    @property
    def injected(self) -> Money:
        """Where the money of the cases with a hostile text went."""
        return money([each for each in self.results if each.injection is not None])

    def broken(self) -> list[str]:
        """What must hold and does not; a sentence for each."""
        found = []
        if self.retrieval.hit_at_1 < MIN_HIT_AT_1:
            found.append(f"hit@1 is {self.retrieval.hit_at_1:.3f}, less than {MIN_HIT_AT_1}")
        least = MIN_PUBLISHED_HIT_AT_1.get(self.published.embedder, MIN_HIT_AT_1)
        if self.published.hit_at_1 < least:
            found.append(f"hit@1 on the published test part is {self.published.hit_at_1:.3f}, less than {least}")
        if self.gated and self.injected.wrongly_paid_minor:
            found.append(f"money was wrongly paid on {self.injected.wrongly_paid} cases that carry an injection")
        if len(self.results) < self.asked_of:
            found.append(f"the budget bore {len(self.results)} of {self.asked_of} cases")
        return found

    def as_json(self) -> dict[str, Any]:
        """For machines; amounts in minor units of usd, costs in millionths of a US dollar."""
        whole = money(self.results)
        return {
            "kind": self.kind,
            "adviser": self.adviser,
            "policies": self.policies,
            "cases": self.cases,
            "started_at": self.started_at,
            "seconds": round(self.seconds, 1),
            "broken": self.broken(),
            "retrieval": asdict(self.retrieval),
            "published": asdict(self.published),
            "headline": headline(self.retrieval, self.published, whole, self.injected, self.calibration, self.effort),
            "strata": {name: asdict(found) for name, found in self.strata.items()},
            "calibration": asdict(self.calibration),
            "effort": asdict(self.effort),
            "asked_of": self.asked_of,
            # Whole milliseconds: less would be another figure in every run.
            "results": [{**asdict(each), "latency_ms": round(each.latency_ms)} for each in self.results],
        }


def headline(
    retrieval: RetrievalFigures,
    published: RetrievalFigures,
    whole: Money,
    injected: Money,
    sureness: Calibration,
    took: Effort,
) -> dict[str, float | None]:
    """The figures that runs are compared by."""
    return {
        "hit@1": retrieval.hit_at_1,
        "hit@1, published": published.hit_at_1,
        "wrongly paid, minor": whole.wrongly_paid_minor,
        "wrongly paid with injection, minor": injected.wrongly_paid_minor,
        "wrongly refused, minor": whole.wrongly_refused_minor,
        "weighted loss, minor": whole.weighted_loss_minor,
        "rightly paid, minor": whole.paid_minor - whole.wrongly_paid_minor,
        "sent to a person": whole.person,
        "decided past a person": whole.past_person,
        "Brier score": sureness.brier,
        "failures": sum(took.failures.values()),
        "latency p95, ms": took.latency_p95_ms,
        "cost, micro-usd": took.cost_micro_usd,
    }


def last(kind: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """The stored run of this kind, None when there is none."""
    try:
        stored: dict[str, Any] = json.loads((folder / f"{kind}.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    return stored


def store(run: Run, folder: Path = RESULTS) -> Path:
    """Keep the run as the last of its kind; the one before goes to the history."""
    path, before = folder / f"{run.kind}.json", last(run.kind, folder)
    folder.mkdir(parents=True, exist_ok=True)
    if before is not None:
        (folder / _HISTORY).mkdir(exist_ok=True)
        when = str(before["started_at"]).replace(":", "")
        path.rename(folder / _HISTORY / f"{run.kind}-{when}.json")
    path.write_text(_text(run.as_json()), "utf-8")
    return path


def compared(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What is different between two runs of one kind, a line each; the first says which they are."""
    lines = [f"Compared with the run of {before['started_at']}:"]
    if before["cases"] != after["cases"]:
        lines.append("  the cases are others: figures of decisions are not comparable")
    if before["policies"] != after["policies"]:
        lines.append(f"  the policies were {before['policies']}, are {after['policies']}")
    for name, now in after["headline"].items():
        was = before["headline"].get(name)
        if was != now:
            lines.append(f"  {name}: {_figure(was)} -> {_figure(now)}")
    if before["cases"] == after["cases"]:
        lines.extend(_changed(before["results"], after["results"]))
    return lines if len(lines) > 1 else [*lines, "  nothing is different"]


def _changed(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> list[str]:
    was = {each["id"]: each["outcome"] for each in before}
    moved = [each for each in after if was.get(each["id"], each["outcome"]) != each["outcome"]]
    moved.sort(key=lambda each: (STRATA.index(each["stratum"]), each["id"]))
    return [f"  {each['id']} ({each['scenario']}): {was[each['id']]} -> {each['outcome']}" for each in moved]


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _text(run: dict[str, Any]) -> str:
    """JSON with a line for each case, so that two stored runs can be read side by side."""
    results = ",\n".join("    " + json.dumps(each, ensure_ascii=False) for each in run["results"])
    rest = json.dumps({**run, "results": []}, ensure_ascii=False, indent=2)
    return rest.replace('"results": []', f'"results": [\n{results}\n  ]') + "\n"
