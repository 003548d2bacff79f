"""R12: the inbox loses nothing. Whoever said 2xx and died before applying has left a row that a worker finds."""

import contextlib
from typing import Any

import pytest

from paywarden.flow import provider_event
from paywarden.kit.states import Status
from paywarden.payments.rows import Payment
from paywarden.webhooks import inbox
from tests.flow.conftest import *  # noqa: F403  the stage's fixtures
from tests.flow.world import Death, Reaper, World, event

pytestmark = pytest.mark.shared_sandbox

EVENTS = 100


async def under_way(world: World, number: int) -> list[Payment]:
    await world.stage.sandbox.change_settings(webhook_delay_seconds=3600)
    payments = [await world.stage.charge(100, customer_id=f"c{each}") for each in range(number)]
    assert {payment.status for payment in payments} == {Status.PROCESSING}
    return payments


async def acknowledge_and_die(world: World, reaper: Reaper, number: int) -> list[Payment]:
    """Every event is answered with 2xx; then the process dies at once, while it applies it, or just after."""
    payments = await under_way(world, number)
    for place, payment in enumerate(payments):
        acknowledged = await world.receive(event("payment.succeeded", payment.provider_payment_id or ""))
        assert acknowledged is not None
        if place % 3:
            reaper.strike_at(1, before_commit=place % 3 == 1)
            with contextlib.suppress(Death):
                await provider_event.apply(world.stage.desk, payment.tenant_id, acknowledged)
            assert reaper.rest()
    return payments


async def lost(world: World, payments: list[Payment]) -> int:
    """How many acknowledged events have no effect after a new worker has done all there was to do."""
    world.clock.advance(60)
    await world.work()
    return sum([(await world.stage.find(payment.id)).status is not Status.SUCCEEDED for payment in payments])


async def test_no_acknowledged_event_is_lost(world: World, reaper: Reaper) -> None:
    payments = await acknowledge_and_die(world, reaper, EVENTS)
    assert world.inbox().count("received") >= EVENTS / 2
    assert await lost(world, payments) == 0
    assert world.inbox() == ["applied"] * EVENTS
    assert await world.stage.broken_invariants() == {}


async def test_broken_twin_an_event_closed_when_it_is_stored_is_lost(
    world: World, reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = inbox.store

    async def twin(connection: Any, new: Any) -> Any:
        stored = await store(connection, new)
        await connection.execute("update paywarden.webhook_inbox set next_step_at = null where id = any(%s)", [stored])
        return stored

    monkeypatch.setattr(inbox, "store", twin)
    assert await lost(world, await acknowledge_and_die(world, reaper, 6)) > 0
