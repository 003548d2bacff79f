"""R14 below the door: one key, many clients: one effect each, whoever repeats; keys are their principal's own."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from paywarden.flow.ask import Ask, Asked
from paywarden.flow.desk import Actor
from paywarden.kit.errors import IdempotencyInProgressError, IdempotencyKeyReusedError, PaywardenError
from paywarden.payments import idempotency
from paywarden.payments.rows import Payment
from tests.flow.conftest import *  # noqa: F403  the stage's fixtures
from tests.flow.world import World

pytestmark = pytest.mark.shared_sandbox

CLIENTS, KEYS = 50, 8


def order(key: str, amount_minor: int = 700) -> Ask:
    return Ask("charge", amount_minor, "usd", customer_id="c", reference=key)


async def attack(world: World, keys: int) -> tuple[dict[str, set[Any]], Counter[str]]:
    """Every client asks with every key, all at once; the payments each key has led to, and what else was said."""
    seen: dict[str, set[Any]] = {f"key-{number}": set() for number in range(keys)}
    other: Counter[str] = Counter()

    async def client(key: str) -> None:
        try:
            seen[key].add((await world.stage.ask(order(key), key)).payment.id)
        except PaywardenError as error:
            other[error.code] += 1

    await asyncio.gather(*(client(key) for key in seen for _ in range(CLIENTS)))
    for key in seen:
        await client(key)
    return seen, other


def payments(world: World) -> int:
    return int(world.one("select count(*) from paywarden.payments"))


async def test_one_key_is_one_payment_however_many_ask(world: World) -> None:
    seen, other = await attack(world, KEYS)
    assert set(other) <= {IdempotencyInProgressError.code, "overloaded"}
    assert [len(found) for found in seen.values()] == [1] * KEYS
    assert payments(world) == KEYS
    settled = await world.settle(*[await world.stage.find(next(iter(found))) for found in seen.values()])
    await world.check_books(settled, charged=KEYS)


async def test_another_body_is_refused_and_changes_nothing(world: World) -> None:
    await world.stage.ask(order("k"), "k")
    answers = await asyncio.gather(
        *(world.stage.ask(order("k", 700 + more), "k") for more in range(1, 21)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {IdempotencyKeyReusedError}
    assert payments(world) == 1


async def test_two_bodies_at_once_under_one_key_are_one_payment(world: World) -> None:
    for round_number in range(10):
        answers = await asyncio.gather(
            *(world.stage.ask(order("k", 700 + each), f"k{round_number}") for each in (0, 1)), return_exceptions=True
        )
        kinds = {type(answer) for answer in answers}
        assert kinds == {Asked, IdempotencyKeyReusedError}
        assert payments(world) == round_number + 1


async def test_a_key_is_its_principals_and_its_tenants_own(world: World) -> None:
    other = await world.other_tenant()
    second = await world.reviewer("second", "agent", ("initiate",))
    await world.mandate(world.stage.admin, second)
    asked = [await world.stage.ask(order("k"), "k", actor) for actor in (world.stage.agent, second, other)]
    assert len({answer.payment.id for answer in asked}) == 3
    assert [answer.replayed for answer in asked] == [False] * 3
    again = [await world.stage.ask(order("k"), "k", actor) for actor in (world.stage.agent, second, other)]
    assert [answer.replayed for answer in again] == [True] * 3
    assert [answer.payment.id for answer in again] == [answer.payment.id for answer in asked]


async def test_a_repeat_waits_for_the_first_callers_lease_and_then_replays(world: World) -> None:
    first = await world.stage.ask(order("k"), "k")
    world.edit("update paywarden.idempotency_keys set lease_until = paywarden.clock() + interval '30 s'")
    with pytest.raises(IdempotencyInProgressError) as refused:
        await world.stage.ask(order("k"), "k")
    assert 1 <= (refused.value.retry_after_seconds or 0) <= 30
    world.clock.advance(31)
    again = await world.stage.ask(order("k"), "k")
    assert (again.payment.id, again.replayed) == (first.payment.id, True)


async def test_a_request_that_is_refused_before_it_is_stored_uses_no_key_up(world: World) -> None:
    with pytest.raises(PaywardenError):
        await world.stage.ask(order("k", 0), "k")
    assert not (await world.stage.ask(order("k"), "k")).replayed


async def test_a_denied_payment_is_replayed_as_denied(world: World) -> None:
    first = await world.stage.ask(order("k", 50_001), "k")
    again = await world.stage.ask(order("k", 50_001), "k")
    assert (again.payment.id, again.payment.status, again.replayed) == (first.payment.id, first.payment.status, True)
    assert payments(world) == 1


async def test_broken_twin_a_key_that_is_not_registered_pays_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def twin(*_: Any) -> bool:
        return True

    monkeypatch.setattr(idempotency, "register", twin)
    await attack(world, 1)
    assert payments(world) > 1


async def test_broken_twin_a_key_that_every_principal_shares_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    register, look_up = idempotency.register, idempotency.look_up
    mine = world.stage.agent.principal.id

    async def shared(connection: Any, _: Any, *more: Any) -> Any:
        return await register(connection, mine, *more)

    async def look(connection: Any, _: Any, key: str) -> Any:
        return await look_up(connection, mine, key)

    monkeypatch.setattr(idempotency, "register", shared)
    monkeypatch.setattr(idempotency, "look_up", look)
    second = await world.reviewer("second", "agent", ("initiate",))
    await world.mandate(world.stage.admin, second)
    found: list[Payment] = []
    for actor in (world.stage.agent, Actor(second.principal)):
        found.append((await world.stage.ask(order("k"), "k", actor)).payment)
    assert len({payment.id for payment in found}) == 1
