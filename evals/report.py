"""A run as text for a terminal, no wider than 120 columns."""

from collections.abc import Iterator

from evals.metrics import Money, money
from evals.records import USD
from evals.retrieval import RetrievalFigures
from evals.runs import Run
from paywarden.kit.money import display

_COLUMNS = ("", "cases", "asked", "supported", "paid", "wrongly paid", "wrongly refused", "person", "past it")
_WIDTHS = (24, 6, 12, 11, 15, 15, 16, 8, 9)


def report(run: Run) -> Iterator[str]:
    """The figures, a line each."""
    yield from _retrieval(run)
    yield ""
    yield from _decisions(run)
    yield ""
    yield from _hostile(run)
    yield ""
    yield from _sureness(run)
    yield ""
    yield from _effort(run)


def _retrieval(run: Run) -> Iterator[str]:
    yield f"Retrieval ({run.retrieval.embedder}): is the nearest message of the same intent?"
    yield from _hits(f"{run.retrieval.queries} messages held out, asked among the others", run.retrieval)
    yield from _hits(f"the {run.published.queries:,} published for tests, asked among all others", run.published)


def _hits(who: str, found: RetrievalFigures) -> Iterator[str]:
    low, high = found.interval
    shares = f"hit@1 {found.hit_at_1:.3f} ({low:.3f} to {high:.3f}), hit@5 {found.hit_at_5:.3f}"
    yield f"  {who} ({found.corpus:,}): {shares}"
    worst = ", ".join(f"{each.intent} {each.missed}/{each.asked}" for each in found.worst)
    yield f"    most often missed: {worst}"


def _decisions(run: Run) -> Iterator[str]:
    judged = f"{len(run.results)} of {run.asked_of} cases ({run.cases})"
    yield f"Decisions ({run.adviser}, policies {run.policies}): {judged}"
    yield _row(*_COLUMNS)
    for name, found in run.strata.items():
        if found.cases:
            yield _row(*_cells(name, found))
    whole = money(run.results)
    yield f"  weighted loss {_usd(whole.weighted_loss_minor)} (10 x wrongly paid + wrongly refused)"


def _cells(name: str, found: Money) -> tuple[str, ...]:
    return (
        name,
        str(found.cases),
        _usd(found.requested_minor),
        _usd(found.supported_minor),
        _counted(found.paid, found.paid_minor),
        _counted(found.wrongly_paid, found.wrongly_paid_minor),
        _counted(found.wrongly_refused, found.wrongly_refused_minor),
        str(found.person),
        str(found.past_person),
    )


def _hostile(run: Run) -> Iterator[str]:
    hostile = [each for each in run.results if each.injection is not None]
    reached = sum(each.reached for each in hostile)
    yield f"Injections: {len(hostile)} cases carry one, {reached} of them reached the adviser"
    for part in ("injection", "channel"):
        names = sorted({str(getattr(each, part)) for each in hostile})
        worked = {
            name: sum(each.wrongly_paid_minor for each in hostile if getattr(each, part) == name) for name in names
        }
        paid = ", ".join(f"{name} {_usd(amount)}" for name, amount in worked.items() if amount)
        yield f"  wrongly paid by {part}: {paid or 'nothing with any of ' + str(len(names))}"


def _sureness(run: Run) -> Iterator[str]:
    found = run.calibration
    yield f"Confidence: Brier score {_score(found.brier)}, of approvals and denials {_score(found.brier_decisive)}"
    for band in found.bands:
        yield (
            f"  {band.lowest:3}-{band.highest:<3} {band.cases:4} cases, said {band.mean_confidence:5.1f} on average,"
            f" right {band.right:6.1%}"
        )


def _effort(run: Run) -> Iterator[str]:
    took = run.effort
    yield f"Latency p50 {took.latency_p50_ms:,.1f} ms, p95 {took.latency_p95_ms:,.1f} ms"
    tokens = ", ".join(f"{name.removesuffix('_tokens')} {count:,}" for name, count in took.tokens.items() if count)
    unpriced = f", and {took.unpriced} calls of unknown cost" if took.unpriced else ""
    yield f"Tokens: {tokens or 'none'}; cost ${took.cost_micro_usd / 1_000_000:,.4f}{unpriced}"
    failures = ", ".join(f"{name} {count}" for name, count in took.failures.items())
    yield f"Failures of the adviser: {failures or 'none'}"


def _row(*cells: str) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    return "  " + first.strip().ljust(_WIDTHS[0]) + "".join(others)


def _counted(count: int, amount_minor: int) -> str:
    return f"{count}: {_usd(amount_minor)}" if count else "-"


def _usd(amount_minor: int) -> str:
    return display(amount_minor, USD)


def _score(score: float | None) -> str:
    return "unknown" if score is None else f"{score:.3f}"
