"""Results as a table for a terminal and as JSON for machines."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figures import Result

RESULTS = Path(__file__).parent / "results"
_HEADS = ("case", "value", "unit", "ratio", "p50 ms", "p99 ms", "lowest", "highest", "memory MiB")
_WIDTHS = (24, 10, 8, 7, 9, 9, 10, 10, 12)


def table(results: Sequence[Result]) -> Iterator[str]:
    """A line each, no wider than 120 columns; what a case says beside that follows it."""
    yield _row(_HEADS)
    for each in results:
        yield _row(
            (
                each.name,
                _figure(each.value),
                each.unit,
                "" if each.ratio_to_tpcb is None else f"{each.ratio_to_tpcb:.2f}",
                _figure(each.p50_ms),
                _figure(each.p99_ms),
                _figure(each.lowest),
                _figure(each.highest),
                _memory(each),
            )
        )
        more = {name: value for name, value in each.extra.items() if not name.endswith("_pss_mib")}
        if more:
            yield "    " + ", ".join(f"{name} {_figure(value)}" for name, value in more.items())


def store(results: Sequence[Result], file: Path) -> None:
    """Write the list for machines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([each.as_json() for each in results], indent=1) + "\n")


def _row(cells: Sequence[str]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    return ("  " + first.strip().ljust(_WIDTHS[0]) + "".join(others)).rstrip()


def _memory(result: Result) -> str:
    service, server = result.extra.get("service_pss_mib"), result.extra.get("postgres_pss_mib")
    return "" if service is None or server is None else f"{service:,.0f} + {server:,.0f}"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
