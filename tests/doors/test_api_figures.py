"""What an operator is told: figures to alarm on, and a line in the log for every answer that was no success."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from paywarden import logs
from paywarden.db.sql import load
from paywarden.flow import health
from tests.conftest import Database
from tests.doors.door import Door, absent_id

PAYMENT = {"user_id": "u", "amount_cents": 2500, "currency": "usd", "reference": "r"}
SQL = load("paywarden.flow")


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers, root.level, sys.excepthook
    yield
    root.handlers, sys.excepthook = handlers, hook
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def fresh_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_KEPT_SECONDS", 0.0)


async def figures(door: Door) -> dict[str, float]:
    """Every sample by its name and its label, if it has one."""
    text = (await door.get("/metrics")).text
    return {
        ".".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_what_is_unfinished_and_what_waits_for_people(door: Door, fresh_figures: None) -> None:
    before = await figures(door)
    assert before["paywarden_unfinished_payments.in_review"] == before["paywarden_open_reviews"] == 0
    assert before["paywarden_oldest_open_review_seconds"] == 0
    for _ in range(2):
        assert (await door.post("/payments", PAYMENT)).status_code in (200, 202)
    assert (await door.post("/payments", {**PAYMENT, "amount_cents": 50_001})).status_code == 403
    after = await figures(door)
    assert after["paywarden_unfinished_payments.processing"] == 1
    assert after["paywarden_unfinished_payments.in_review"] == after["paywarden_open_reviews"] == 1
    assert after["paywarden_unfinished_payments.outcome_unknown"] == 0
    assert after["paywarden_oldest_open_review_seconds"] > 0
    assert after["paywarden_denials_total.denied"] == before["paywarden_denials_total.denied"] + 1


async def test_how_long_the_oldest_hold_has_outlived_its_time(
    door: Door, database: Database, fresh_figures: None
) -> None:
    async with door.caller(await door.admin_key()) as admin:
        await admin.held()
    assert (await figures(door))["paywarden_oldest_lapsed_hold_seconds"] == 0
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute("update paywarden.holds set expires_at = paywarden.clock() - interval '90 s'")
    assert 90 <= (await figures(door))["paywarden_oldest_lapsed_hold_seconds"] < 120
    await door.work()
    assert (await figures(door))["paywarden_oldest_lapsed_hold_seconds"] == 0


async def test_open_discrepancies_by_kind_until_they_are_cleared(
    door: Door, database: Database, fresh_figures: None
) -> None:
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            "insert into paywarden.discrepancies (tenant_id, id, kind, subject)"
            " select id, gen_random_uuid(), 'amount_differs', 'x' from paywarden.tenants limit 1"
        )
        assert (await figures(door))["paywarden_open_discrepancies.amount_differs"] == 1
        connection.execute("update paywarden.discrepancies set status = 'resolved', resolved_at = now()")
    assert "paywarden_open_discrepancies.amount_differs" not in await figures(door)


async def test_scraping_often_costs_the_database_nothing(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await health.gauges(door.desk)
    monkeypatch.setattr(health, "system_transaction", lambda _: pytest.fail("asked the database again"))
    assert await health.gauges(door.desk) is first


async def test_every_figure_says_when_to_worry(door: Door) -> None:
    assert [name for name, figure in (await health.gauges(door.desk)).items() if "Worry" not in figure.says] == []


@pytest.mark.parametrize("name", ["unfinished_payments", "open_reviews", "open_discrepancies"])
def test_no_figure_reads_a_whole_table(database: Database, name: str) -> None:
    with psycopg.connect(database.service_url) as connection:
        connection.execute("select set_config('role', 'paywarden_system', true)")
        connection.execute("set local enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.execute("explain " + SQL[name]).fetchall())
    assert "Seq Scan" not in plan
    assert "Index" in plan


def requests(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in lines if line["event"] == "request"]


async def test_a_refusal_is_found_in_the_log_by_its_request_id(
    door: Door, capsys: pytest.CaptureFixture[str], logging_as_it_was: None
) -> None:
    logs.configure("info", [])
    missing = f"/payments/{absent_id('pay')}"
    answer = await door.get(missing)
    denied = await door.post("/payments", {**PAYMENT, "amount_cents": 50_001, "user_id": "canary"})
    nobody = await door.local.get("/v1/payments", headers={"Authorization": "Bearer canary"})
    strange = await door.local.request("CANARY", "/canary?canary=1")
    assert (await door.get("/healthz")).status_code == 200
    told = requests(capsys)
    assert [(line["method"], line["route"], line["status"], line["code"]) for line in told] == [
        ("GET", "/payments/{payment_id}", 404, "not_found"),
        ("POST", "/payments", 403, "denied"),
        ("GET", "/v1/payments", 401, "unauthenticated"),
        ("other", "unknown", 404, "not_found"),
    ]
    asked = (answer, denied, nobody, strange)
    assert [line["request_id"] for line in told] == [each.headers["X-Request-Id"] for each in asked]
    assert told[1]["principal"].startswith("svc_") or told[1]["principal"].startswith("agt_")
    assert told[2]["principal"] is None
    assert "canary" not in json.dumps(told)
    assert missing not in json.dumps(told)


async def test_what_went_well_is_told_to_whoever_debugs(
    door: Door, capsys: pytest.CaptureFixture[str], logging_as_it_was: None
) -> None:
    logs.configure("debug", [])
    await door.get("/healthz")
    assert [(line["route"], line["status"], line["level"]) for line in requests(capsys)] == [("/healthz", 200, "debug")]
