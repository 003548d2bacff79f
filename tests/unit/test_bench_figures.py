"""The figures of the bench, on numbers made by hand."""

import json
from pathlib import Path

import pytest
from bench.figures import Sample, Tally, percentile, result
from bench.report import store, table
from bench.run import main
from bench.wrk import reading

TOLD = {"answers": 900, "refused": 0, "failed": 0, "seconds": 3.0, "p50_ms": 5, "p95_ms": 9, "p99_ms": 12}


@pytest.mark.parametrize("stored", [100, 101, 164])
def test_what_was_in_flight_at_the_end_may_be_stored(stored: int) -> None:
    assert Tally("holds", 100, stored, 64).broken() is None


@pytest.mark.parametrize(("stored", "in_flight"), [(99, 64), (165, 64), (101, 0)])
def test_a_lost_or_doubled_row_is_told(stored: int, in_flight: int) -> None:
    sentence = Tally("holds", 100, stored, in_flight).broken()
    assert sentence is not None
    assert f"{stored} stored" in sentence


def test_the_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    samples = [Sample(100, 1, 9), Sample(900, 3, 7), Sample(200, 2, 8)]
    found = result("hold_http", "1/s", samples, [100, 300, 400], rate=True)
    assert (found.value, found.ratio_to_tpcb) == (200, 1.0)  # of 1.0, 3.0 and 0.5; not 200 / 300
    assert (found.p50_ms, found.p99_ms, found.lowest, found.highest) == (2, 8, 100, 900)


def test_a_duration_has_no_ratio() -> None:
    assert result("start_cold", "s", [Sample(4)], [5_000], rate=False).ratio_to_tpcb is None


def test_more_figures_are_medians_of_the_rounds_that_have_them() -> None:
    samples = [Sample(1, extra={"p95_ms": 10}), Sample(1), Sample(1, extra={"p95_ms": 30})]
    assert result("search", "1/s", samples, [1, 1, 1], rate=True).extra == {"p95_ms": 20}


def test_what_broke_in_any_round_is_kept() -> None:
    samples = [Sample(1, broken=("one hold too many",)), Sample(1)]
    assert result("hold_http", "1/s", samples, [1, 1], rate=True).broken == ("one hold too many",)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.9, 9), (0.99, 10), (1, 10)])
def test_percentile(share: float, expected: int) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == expected


def test_refusals_are_not_acknowledgements() -> None:
    found = reading({**TOLD, "refused": 30})
    assert (found.acknowledged, found.rate) == (870, 290)
    assert found.broken() == ("30 requests were refused and 0 got no answer",)
    assert reading(TOLD).broken() == ()


def test_counters_of_a_script_are_told_by_their_names() -> None:
    assert reading({**TOLD, "n_captures": 400}).counted == {"captures": 400}


def test_the_stored_list_begins_with_what_was_promised(tmp_path: Path) -> None:
    found = result("hold_http", "1/s", [Sample(5432.1, 9.87654, 21)], [5000], rate=True)
    store([found], tmp_path / "latest.json")
    (row,) = json.loads((tmp_path / "latest.json").read_text())
    assert list(row)[:6] == ["name", "value", "unit", "ratio_to_tpcb", "p50_ms", "p99_ms"]
    assert (row["value"], row["ratio_to_tpcb"], row["p50_ms"]) == (5432, 1.086, 9.877)


def test_the_table_is_no_wider_than_a_terminal() -> None:
    extra = {"service_pss_mib": 212.0, "postgres_pss_mib": 1234.0, "p95_ms": 31.0}
    lines = list(
        table([result("hold_http_1000_tenants", "1/s", [Sample(123_456, 1, 2, extra=extra)], [1e5], rate=True)])
    )
    assert all(len(line) <= 120 for line in lines)
    assert "212 + 1,234" in lines[1]
    assert "p95_ms 31" in lines[2]


def test_an_unknown_case_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--cases", "hold_htp tpcb"])
    assert "there is no case hold_htp" in capsys.readouterr().err
