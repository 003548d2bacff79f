"""One run of everything: retrieval, decisions, the report, the comparison with the run before."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from evals import cases as labelled
from evals import messages, retrieval, runs
from evals.advisers import AdviserName, Measured, opened
from evals.decisions import Progress, judge
from evals.embedders import EMBEDDERS, EmbedderName, embedder_named
from evals.outcomes import CaseResult
from evals.purse import Purse
from evals.report import report
from evals.vectors import Vectors
from paywarden.guardrails.cedar import shipped
from paywarden.kit.clock import rfc3339, utc_now
from paywarden.kit.errors import ConfigurationError

_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. ``count``: only the first so many cases; ``budget_micro_usd``: the most a model may cost."""

    adviser: AdviserName
    embedder: EmbedderName
    count: int | None
    budget_micro_usd: int
    concurrency: int
    results: Path


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when everything holds that must, 1 when not, 2 when nothing could be measured."""
    options = _options(arguments)
    try:
        run = asyncio.run(_run(options))
    except ConfigurationError as error:
        print(f"evals: {error}", file=sys.stderr)
        return 2
    print("\n".join(report(run)))
    before = runs.last(run.kind, options.results)
    path = runs.store(run, options.results)
    if before is not None:
        print("", *runs.compared(before, run.as_json()), sep="\n")
    print(f"\n{run.seconds:.0f} seconds; stored in {path}")
    for sentence in run.broken():
        print(f"BROKEN: {sentence}", file=sys.stderr)
    return 1 if run.broken() else 0


async def _run(options: Options) -> runs.Run:
    started_at, began = rfc3339(utc_now()), time.monotonic()
    embedder = embedder_named(options.embedder)
    try:
        async with opened(options.adviser) as measured:
            all_messages, vectors = messages.load(), Vectors(embedder)
            found = await retrieval.measure(*messages.split(all_messages), vectors, embedder.id)
            published = await retrieval.measure(messages.published_test(), all_messages, vectors, embedder.id)
            cases = labelled.make(all_messages)[: options.count]
            results = await _decide(cases, measured, vectors, options)
    finally:
        await embedder.close()
    return runs.Run(
        kind=_kind(measured, options, whole=len(results) == len(cases)),
        adviser=measured.adviser.name,
        gated=options.adviser == "rules",
        policies=shipped().version,
        cases=labelled.fingerprint(cases),
        started_at=started_at,
        seconds=time.monotonic() - began,
        retrieval=found,
        published=published,
        asked_of=len(cases),
        results=tuple(results),
    )


def _kind(measured: Measured, options: Options, *, whole: bool) -> str:
    """A run on a part of the cases, or with another embedder, is of a kind of its own."""
    part = "" if options.count is None else f"-first-{options.count}"
    part += "" if options.embedder == "default" else f"-on-{options.embedder}"
    return measured.kind + part + ("" if whole else "-cut-short")


async def _decide(
    cases: list[labelled.Case], measured: Measured, vectors: Vectors, options: Options
) -> list[CaseResult]:
    return await judge(
        cases,
        measured.adviser,
        shipped(),
        vectors,
        Purse(options.budget_micro_usd),
        timeout_seconds=measured.timeout_seconds,
        concurrency=options.concurrency,
        progress=_progress(),
    )


def _progress() -> Progress:
    """A line that counts, where somebody sits at a terminal."""
    if not sys.stderr.isatty():
        return lambda done, total: None
    return lambda done, total: print(f"\r{done} of {total} cases", end="\n" if done == total else "", file=sys.stderr)


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="evals", description="Measure retrieval and advice on real messages.")
    parser.add_argument("--adviser", choices=("rules", "claude"), default="rules")
    parser.add_argument("--embedder", choices=EMBEDDERS, default="default", help="what finds the notes")
    parser.add_argument("--cases", type=_positive, help="only the first so many cases; stored as a kind of its own")
    parser.add_argument("--budget-usd", type=_usd, default=_usd("10"), help="the most a model may cost (default: 10)")
    parser.add_argument("--concurrency", type=_positive, default=4, help="cases at a time (default: 4)")
    parser.add_argument("--results", type=Path, default=runs.RESULTS, help="where runs are stored")
    given = parser.parse_args(arguments)
    return Options(given.adviser, given.embedder, given.cases, given.budget_usd, given.concurrency, given.results)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _usd(text: str) -> int:
    """US dollars to millionths."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError("must be an amount like 2.50") from None
    if not amount.is_finite() or amount < 0:
        raise argparse.ArgumentTypeError("must be an amount like 2.50")
    return int(amount * _MICRO)
