"""One run: every case in turn, round after round, then what must hold, then the table."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.case import Case
from bench.cases import CASES
from bench.figures import YARDSTICK, Result, Sample, result
from bench.machine import BenchError
from bench.report import RESULTS, store, table
from bench.server import Server
from bench.world import World
from paywarden.kit.errors import PaywardenError

_WARM_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. A run of all cases becomes ``latest.json``, one of some of them ``partial.json``."""

    cases: tuple[str, ...]
    rounds: int
    seconds: int
    full: bool
    results: Path


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when nothing was lost or made twice, 1 when something was, 2 when nothing can be measured."""
    options = _options(arguments)
    # So that the server and the processes end with us.
    signal.signal(signal.SIGTERM, _stop)
    try:
        results = _measured(options)
    except (BenchError, PaywardenError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print("\n".join(table(results)))
    file = options.results / ("latest.json" if options.cases == tuple(CASES) else "partial.json")
    store(results, file)
    print(f"\nstored in {file}")
    broken = [f"{each.name}: {sentence}" for each in results for sentence in each.broken]
    for sentence in broken:
        print(f"BROKEN {sentence}", file=sys.stderr)
    return 1 if broken else 0


def _measured(options: Options) -> list[Result]:
    server = Server()
    world = World(server, full=options.full)
    try:
        cases = {name: CASES[name]() for name in options.cases}
        for case in cases.values():
            case.prepare(world)
        samples = _rounds(server, cases, options)
        _prove(cases, samples)
    finally:
        world.close()
        server.close()
    yardstick = [sample.value for sample in samples[YARDSTICK]]
    return [result(name, case.unit, samples[name], yardstick, case.rate) for name, case in cases.items()]


def _rounds(server: Server, cases: dict[str, Case], options: Options) -> dict[str, list[Sample]]:
    """Every case once a round, so that whatever else the machine does meets them alike, but not the case before it."""
    samples: dict[str, list[Sample]] = {name: [] for name in cases}
    for number in range(options.rounds):
        for name, case in cases.items():
            samples[name].append(_sample(server, case, options.seconds))
            value = samples[name][-1].value
            print(f"  round {number + 1}: {name} {value:,.4g} {case.unit}", file=sys.stderr, flush=True)
    return samples


def _sample(server: Server, case: Case, seconds: int) -> Sample:
    """One measurement of what is warm, and nothing left behind for the next case.

    What rested for a minute is slow at first; a vacuum that is due comes at any moment.
    """
    if case.database is None:
        return case.measure(seconds)
    warm = case.measure(_WARM_SECONDS)
    sample = case.measure(seconds)
    server.tidy(case.database)
    return replace(sample, broken=warm.broken + sample.broken)


def _prove(cases: dict[str, Case], samples: dict[str, list[Sample]]) -> None:
    for name, case in cases.items():
        began = time.monotonic()
        broken = case.prove()
        print(f"  proven: {name}, {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        if broken:
            samples[name].append(Sample(samples[name][-1].value, broken=tuple(broken)))


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the desk beside PostgreSQL's own benchmark.")
    parser.add_argument("--cases", type=_names, default=tuple(CASES), help="names, separated by spaces; default: all")
    parser.add_argument("--rounds", type=_positive, default=3)
    parser.add_argument("--seconds", type=_positive, default=5, help="of load for a case in a round")
    parser.add_argument("--full", action="store_true", help="also on five million payments and a million notes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures are stored")
    given = parser.parse_args(arguments)
    return Options(given.cases, given.rounds, given.seconds, given.full, given.results)


def _names(text: str) -> tuple[str, ...]:
    """The yardstick and the cases that were named, in the order of the list."""
    wanted = set(text.replace(",", " ").split())
    unknown = sorted(wanted - set(CASES))
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    return tuple(name for name in CASES if name in wanted | {YARDSTICK})


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(130)
