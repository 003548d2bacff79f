"""Mandates: static rules, days in a time zone, terms that are refused."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from paywarden.guardrails import windows
from paywarden.guardrails.mandate_terms import MandateTerms, validate
from paywarden.guardrails.mandates import Limit, Mandate, authority_lines, check, choose
from paywarden.kit.errors import InvalidFieldError, PaymentDeniedError
from tests.unit.guarded import CHARGE, INITIATOR, REFUND

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MANDATE = Mandate(
    id=UUID(int=10),
    principal_id=INITIATOR,
    name="test",
    kinds=frozenset({"charge"}),
    payees=None,
    limits=(Limit("usd", "payment", 50_000), Limit("usd", "day", 10_000_000)),
    timezone="UTC",
    valid_from=NOW - timedelta(days=1),
    valid_until=NOW + timedelta(days=1),
    status="active",
    version=1,
)
TERMS = MandateTerms(
    principal_id=INITIATOR,
    name="test",
    kinds=("charge",),
    limits=(Limit("usd", "payment", 50_000), Limit("usd", "day", 100_000)),
    timezone="Europe/Berlin",
)


def failing(mandate: Mandate, facts: Any = CHARGE, now: datetime = NOW) -> list[str]:
    return [one.rule for one in check(mandate, facts, now) if one.result == "fail"]


def test_a_fitting_payment_passes_every_rule() -> None:
    assert failing(MANDATE) == []
    assert {one.result for one in check(MANDATE, CHARGE, NOW)} == {"pass"}


@pytest.mark.parametrize(
    ("mandate", "facts", "rule"),
    [
        (replace(MANDATE, principal_id=UUID(int=9)), CHARGE, "mandate_principal"),
        (replace(MANDATE, status="revoked"), CHARGE, "mandate_status"),
        (replace(MANDATE, valid_from=NOW + timedelta(microseconds=1)), CHARGE, "mandate_validity"),
        (replace(MANDATE, valid_until=NOW), CHARGE, "mandate_validity"),
        (MANDATE, REFUND, "mandate_kind"),
        (MANDATE, structs.replace(CHARGE, currency="eur"), "mandate_currency"),
        (replace(MANDATE, limits=(Limit("usd", "payment", 50_000),)), CHARGE, "mandate_currency"),
        (replace(MANDATE, payees=frozenset({"user_41"})), CHARGE, "mandate_payee"),
        (replace(MANDATE, payees=frozenset({"user_42"})), structs.replace(CHARGE, counterparty=""), "mandate_payee"),
        (replace(MANDATE, timezone="Mars/Olympus"), CHARGE, "mandate_timezone"),
        (MANDATE, structs.replace(CHARGE, amount_minor=50_001), "mandate_payment_limit"),
    ],
)
def test_each_rule_refuses_alone(mandate: Mandate, facts: Any, rule: str) -> None:
    assert failing(mandate, facts) == [rule]


def test_the_limits_themselves_are_allowed() -> None:
    assert failing(MANDATE, structs.replace(CHARGE, amount_minor=50_000)) == []
    assert failing(replace(MANDATE, valid_from=NOW, valid_until=None)) == []
    assert (
        failing(replace(MANDATE, limits=(Limit("usd", "day", 1),)), structs.replace(CHARGE, amount_minor=10**15)) == []
    )


def test_the_oldest_fitting_mandate_is_chosen() -> None:
    tight = replace(MANDATE, limits=(Limit("usd", "payment", 1), Limit("usd", "day", 1)))
    younger = [replace(MANDATE, id=UUID(int=number)) for number in (12, 11)]
    choice = choose([*younger, tight], CHARGE, NOW)
    assert choice.mandate is not None
    assert choice.mandate.id == UUID(int=11)
    assert choice.failed == ()


def test_a_named_mandate_is_the_only_one_looked_at() -> None:
    tight = replace(MANDATE, id=UUID(int=11), limits=(Limit("usd", "payment", 1), Limit("usd", "day", 1)))
    choice = choose([MANDATE, tight], CHARGE, NOW, named=tight.id)
    assert choice.mandate is None
    assert [one.rule for one in choice.failed] == ["mandate_payment_limit"]
    assert choose([MANDATE, tight], CHARGE, NOW, named=MANDATE.id).mandate == MANDATE


@pytest.mark.parametrize(
    "mandates",
    [
        [],
        [replace(MANDATE, principal_id=UUID(int=9))],
        [replace(MANDATE, status="revoked")],
        [replace(MANDATE, kinds=frozenset({"refund"}))],
        [replace(MANDATE, limits=(Limit("eur", "day", 1),))],
    ],
)
def test_without_a_mandate_of_ones_own_nothing_is_allowed(mandates: list[Mandate]) -> None:
    choice = choose(mandates, CHARGE, NOW)
    assert choice.mandate is None
    assert [one.rule for one in choice.failed] == ["no_mandate"]


def test_somebody_elses_mandate_cannot_be_named() -> None:
    foreign = replace(MANDATE, principal_id=UUID(int=9))
    assert [one.rule for one in choose([foreign], CHARGE, NOW, named=foreign.id).failed] == ["no_mandate"]


def test_the_budget_of_the_day_is_what_is_held() -> None:
    (line,) = authority_lines(MANDATE, CHARGE, NOW)
    assert line.account_code == "authority/mdt_0000000000000000000000000a/day:2026-11-21"
    assert (line.asset, line.amount_minor, line.limit_minor) == ("USD/2", 2500, 10_000_000)


@pytest.mark.parametrize(
    ("mandate", "facts", "rule"),
    [
        (MANDATE, structs.replace(CHARGE, currency="eur"), "mandate_currency"),
        (replace(MANDATE, timezone="nowhere"), CHARGE, "mandate_timezone"),
    ],
)
def test_there_is_never_authority_without_a_budget(mandate: Mandate, facts: Any, rule: str) -> None:
    with pytest.raises(PaymentDeniedError) as caught:
        authority_lines(mandate, facts, NOW)
    assert caught.value.extra["rule"] == rule


@pytest.mark.parametrize(
    ("timezone", "now", "key", "hours"),
    [
        ("UTC", datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC), "day:2026-11-21", 24),
        ("Asia/Tokyo", datetime(2026, 11, 21, 15, tzinfo=UTC), "day:2026-11-22", 24),
        ("America/New_York", datetime(2026, 11, 21, 4, 59, tzinfo=UTC), "day:2026-11-20", 24),
        ("Europe/Berlin", datetime(2026, 3, 29, 12, tzinfo=UTC), "day:2026-03-29", 23),
        ("Europe/Berlin", datetime(2026, 10, 25, 12, tzinfo=UTC), "day:2026-10-25", 25),
        # Midnight itself is skipped: the clocks go from 23:59 to 01:00.
        ("Africa/Cairo", datetime(2026, 4, 24, 12, tzinfo=UTC), "day:2026-04-24", 23),
        # The last hour comes twice: at 24:00 the clocks go back to 23:00.
        ("Africa/Cairo", datetime(2026, 10, 29, 21, 30, tzinfo=UTC), "day:2026-10-29", 25),
        # Midnight comes twice: at 01:00 the clocks go back to 00:00.
        ("America/Havana", datetime(2026, 11, 1, 5, 30, tzinfo=UTC), "day:2026-11-01", 25),
        # At 00:01 the clocks go back to yesterday's 23:01: the day that has begun goes on.
        ("America/St_Johns", datetime(2005, 10, 30, 3, 0, tzinfo=UTC), "day:2005-10-30", 25),
        # The 30th of December 2011 never was.
        ("Pacific/Apia", datetime(2011, 12, 30, 10, 0, tzinfo=UTC), "day:2011-12-31", 24),
    ],
)
def test_days_of_a_time_zone(timezone: str, now: datetime, key: str, hours: int) -> None:
    window = windows.day(timezone, now)
    assert window.key == key
    assert window.starts_at <= now < window.ends_at
    assert window.ends_at - window.starts_at == timedelta(hours=hours)


zones = st.sampled_from(sorted(available_timezones() - {"localtime"}))
instants = st.datetimes(datetime(1980, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))


@given(zones, instants)
def test_days_follow_each_other_without_gap_or_overlap(timezone: str, now: datetime) -> None:
    window = windows.day(timezone, now)
    assert window.starts_at <= now < window.ends_at
    assert windows.day(timezone, window.starts_at) == window
    following = windows.day(timezone, window.ends_at)
    assert following.starts_at == window.ends_at
    assert following.key > window.key
    assert abs(date.fromisoformat(window.key[4:]) - now.astimezone(ZoneInfo(timezone)).date()) <= timedelta(days=1)


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "../../etc/passwd", "Europe", "\0", "a" * 400, "localtime", "\ud800"]
)
def test_a_time_zone_that_is_none_fails_closed(name: str) -> None:
    with pytest.raises(PaymentDeniedError) as caught:
        windows.day(name, NOW)
    assert caught.value.extra["rule"] == "mandate_timezone"


def test_sane_terms_are_accepted() -> None:
    validate(TERMS)
    validate(replace(TERMS, payees=("a", "b"), valid_from=NOW, valid_until=NOW + timedelta(days=1)))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"kinds": ()}, "kinds"),
        ({"kinds": ("charge", "theft")}, "kinds"),
        ({"limits": ()}, "limits"),
        ({"limits": (Limit("usd", "payment", 5),)}, "limits"),
        ({"limits": (Limit("usd", "day", 5), Limit("eur", "payment", 5))}, "limits"),
        ({"limits": (Limit("usd", "day", 5), Limit("usd", "day", 6))}, "limits"),
        ({"limits": (Limit("usd", "day", 0),)}, "limits"),
        ({"limits": (Limit("usd", "day", 10**15 + 1),)}, "limits"),
        ({"limits": (Limit("usd", "year", 5),)}, "limits"),
        ({"limits": (Limit("xau", "day", 5),)}, "currency"),
        ({"payees": ()}, "payees"),
        ({"payees": ("ok", "")}, "payees"),
        ({"payees": ("x\x00",)}, "payees"),
        ({"timezone": "Europe"}, "timezone"),
        ({"valid_from": datetime(2026, 1, 1)}, "valid_from"),
        ({"valid_until": datetime(2026, 1, 1)}, "valid_until"),
        ({"valid_from": NOW, "valid_until": NOW}, "valid_until"),
        ({"valid_until": datetime(9999, 12, 31, tzinfo=UTC)}, "valid_until"),
        ({"valid_from": datetime(1, 1, 1, tzinfo=UTC)}, "valid_from"),
    ],
)
def test_wrong_terms_are_refused_with_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        validate(replace(TERMS, **changes))
    assert caught.value.param == field
