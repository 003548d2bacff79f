"""R10: webhooks repeated, shuffled and concurrent, as the provider's own courier may deliver them. Each effect once."""

import asyncio
import random
from typing import Any

import pytest

from paywarden.flow import facts, provider_event
from paywarden.kit import ids
from paywarden.kit.states import Status
from paywarden.ledger.intents import Post
from paywarden.payments.rows import Payment
from tests.flow.conftest import *  # noqa: F403  the stage's fixtures
from tests.flow.world import World, event

pytestmark = pytest.mark.shared_sandbox

COPIES, AT_ONCE = 10, 8


async def under_way(world: World, number: int) -> list[Payment]:
    await world.stage.sandbox.change_settings(webhook_delay_seconds=3600)
    return [await world.stage.charge(100 + each, customer_id=f"c{each}") for each in range(number)]


def story(payment: Payment, chance: random.Random) -> list[bytes]:
    """What a provider may say of a payment that it charged: pieces repeated, contradicted, out of order."""
    provider_id = payment.provider_payment_id or ""
    known = {"reference": payment.public_id, "amount": payment.amount_minor, "currency": payment.currency}
    bodies = [
        event("payment.succeeded", provider_id, **known),
        event("payment_intent.succeeded", provider_id),
        event("payment.failed", provider_id, **known),
        event("payment.succeeded", provider_id, **known | {"amount": payment.amount_minor + 1}),
    ]
    copies = bodies * COPIES
    chance.shuffle(copies)
    return copies


async def deliver(world: World, bodies: list[bytes]) -> int:
    """``AT_ONCE`` at a time, while a worker looks for what is due; how many were new."""
    queue, new = iter(bodies), 0

    async def courier() -> None:
        nonlocal new
        for body in queue:
            inbox_id = await world.receive(body)
            if inbox_id is not None:
                new += 1
                if new % 3:
                    await provider_event.apply(world.stage.desk, world.stage.agent.tenant_id, inbox_id)

    await asyncio.gather(*(courier() for _ in range(AT_ONCE)), world.work())
    await world.work()
    return new


def effects(world: World) -> dict[Any, int]:
    """Per payment, what the money book moved for it, in minor units."""
    rows = world.sql(
        "select payment_id, sum(amount_minor)::bigint as moved from paywarden.transfers where book = 'money' group by 1"
    )
    return {row["payment_id"]: row["moved"] for row in rows}


async def test_each_effect_happens_once_whatever_is_delivered_how_often(world: World) -> None:
    chance = random.Random(10)
    payments = await under_way(world, 25)
    bodies = [body for payment in payments for body in story(payment, chance)]
    chance.shuffle(bodies)
    assert len(bodies) == 1_000
    assert await deliver(world, bodies) == 100
    assert effects(world) == {payment.id: payment.amount_minor for payment in payments}
    now = [await world.stage.find(payment.id) for payment in payments]
    assert {payment.status for payment in now} == {Status.SUCCEEDED}
    assert (set(world.inbox()), len(world.inbox())) == ({"applied", "disputed"}, 100)
    assert world.discrepancies() == ["amount_minor_differs"] * len(payments)
    assert (world.account("revenue")[0], world.held()) == (sum(payment.amount_minor for payment in payments), 0)
    assert await world.stage.broken_invariants() == {}


async def test_broken_twin_an_effect_for_every_event_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Success is booked under the event's name instead of the payment's, whatever the payment's status is."""

    async def twin(connection: Any, payment: Payment, fact: Any) -> Payment:
        movements = facts.success_movements(payment)
        post = Post(payment.hold_id, payment.id, str(ids.new_uuid()), "succeeded", payment.amount_minor, fact=True,
                    movements=movements)  # fmt: skip
        await facts.door.write(connection, [post])
        return await facts._move(connection, payment, Status.SUCCEEDED, fact) or payment

    monkeypatch.setattr(facts, "_succeed", twin)
    (payment,) = await under_way(world, 1)
    await deliver(world, story(payment, random.Random(1)))
    assert effects(world) != {payment.id: payment.amount_minor}
    assert await world.stage.broken_invariants() != {}
