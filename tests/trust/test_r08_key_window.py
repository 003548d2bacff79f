"""R8: a key that the provider may have forgotten. Past its window nothing is sent again, ever; somebody must look."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from paywarden.kit.states import Status
from paywarden.payments.rows import Payment
from tests.flow.conftest import *  # noqa: F403  the stage's fixtures
from tests.flow.watched_provider import WatchedProvider, watch
from tests.flow.world import World

pytestmark = pytest.mark.shared_sandbox

MINUTE, HOUR, DAY = 60, 3_600, 86_400
YEARS = 400 * DAY


async def forgotten(world: World, *, charged: bool, number: int = 6) -> list[Payment]:
    """The answers were lost, and a look-up finds nothing for longer than any test lasts."""
    stage = world.stage.sending_only()
    fault = "drop_after_charge" if charged else "drop_before_charge"
    payments = []
    for each in range(number):
        await stage.sandbox.arm(fault, times=1, operation="submit")
        await stage.sandbox.arm("error_500_before_charge", times=1, operation="fetch")
        payments.append(await stage.charge(100 + each))
    return payments


def blind(world: World) -> WatchedProvider:
    """A provider whose look-up says "not found" whatever it has charged."""
    provider = watch(world.stage)

    async def nothing(*_: Any) -> tuple[()]:
        return ()

    provider.fetch_by_reference = nothing  # type: ignore[method-assign]
    return provider


async def work_for_a_while(world: World) -> None:
    for _ in range(4):
        await world.work()
        await world.advance(31)


@pytest.mark.parametrize("charged", [True, False], ids=["charged", "not charged"])
@pytest.mark.parametrize("age", [24 * HOUR, 30 * DAY], ids=["24 h", "30 d"])
async def test_past_the_window_nothing_is_sent_and_all_wait_for_a_person(world: World, age: int, charged: bool) -> None:
    payments = await forgotten(world, charged=charged)
    provider = blind(world)
    await world.advance(age)
    await work_for_a_while(world)
    assert provider.sent == []
    now = [await world.stage.find(payment.id) for payment in payments]
    assert {payment.status for payment in now} == {Status.OUTCOME_UNKNOWN}
    assert world.held() == sum(payment.amount_minor for payment in payments)
    assert [world.discrepancies(payment) for payment in payments] == [["outcome_unknown_past_window"]] * len(payments)
    assert await world.stage.broken_invariants() == {}


@pytest.mark.parametrize("charged", [True, False], ids=["charged", "not charged"])
@pytest.mark.parametrize("age", [30 * MINUTE, 23 * HOUR], ids=["30 min", "23 h"])
async def test_inside_the_window_the_same_key_ends_it(world: World, age: int, charged: bool) -> None:
    payments = await forgotten(world, charged=charged)
    provider = blind(world)
    await world.advance(age)
    settled = await world.settle(*payments)
    assert {payment.status for payment in settled} == {Status.SUCCEEDED}
    assert len(provider.sent) == len(payments)
    await world.check_books(settled, charged=len(payments))
    assert world.discrepancies() == []


async def test_nothing_is_sent_in_the_last_minutes_of_the_window(world: World) -> None:
    payments = await forgotten(world, charged=False, number=1)
    provider = blind(world)
    await world.advance(DAY - world.stage.desk.settings.key_window_margin_seconds + 1)
    await work_for_a_while(world)
    assert provider.sent == []
    assert world.discrepancies(payments[0]) == ["outcome_unknown_past_window"]


async def test_broken_twin_a_window_that_never_ends_charges_twice(world: World) -> None:
    payments = await forgotten(world, charged=True)
    provider = blind(world)
    provider.facts = replace(provider._real.facts, key_window=timedelta(seconds=YEARS))
    await world.advance(30 * DAY)
    await work_for_a_while(world)
    assert provider.sent != []
    assert any("moved money 2 times" in lie for lie in await world.lies(payments))
