"""R15 below the door: a retry as a new call. All are held for a person, none is merged, nothing else is held."""

import asyncio
from typing import Any

import pytest
from msgspec import structs

from paywarden.flow import review
from paywarden.flow.ask import Ask
from paywarden.flow.review import Given
from paywarden.guardrails import duplicate_store
from paywarden.guardrails.thresholds import DUPLICATE_WINDOW_MINUTES
from paywarden.kit.states import Status
from paywarden.payments.rows import Payment
from tests.flow.conftest import *  # noqa: F403  the stage's fixtures
from tests.flow.world import World

pytestmark = pytest.mark.shared_sandbox

COPIES = 12
ORDER = Ask("charge", 900, "usd", customer_id="c", reference="ORD-1")


async def ask_often(world: World, copies: int = COPIES) -> list[Payment]:
    asked = await asyncio.gather(*(world.stage.ask(ORDER, None) for _ in range(copies)))
    return [answer.payment for answer in asked]


def held(payments: list[Payment]) -> int:
    return sum(payment.status is Status.IN_REVIEW for payment in payments)


async def test_of_many_at_once_one_goes_and_all_others_are_held(world: World) -> None:
    payments = await ask_often(world)
    assert len({payment.id for payment in payments}) == COPIES
    assert held(payments) == COPIES - 1
    assert sum(payment.duplicate_suspected for payment in payments) == COPIES - 1
    (went,) = [payment for payment in payments if payment.status is not Status.IN_REVIEW]
    (paid,) = await world.settle(went)
    await world.check_books([paid], charged=1)


@pytest.mark.parametrize(
    "change",
    [
        {"reference": "ORD-2"},
        {"reference": None},
        {"amount_minor": 901},
        {"currency": "eur"},
        {"customer_id": "d"},
        {"agent_id": "another"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_differs_in_one_part_is_not_held(world: World, change: dict[str, Any]) -> None:
    await ask_often(world, 1)
    other = (await world.stage.ask(structs.replace(ORDER, **change), None)).payment
    assert other.duplicate_suspected is False
    assert other.status is not Status.IN_REVIEW


async def test_distinct_references_are_all_let_through(world: World) -> None:
    asked = await asyncio.gather(
        *(world.stage.ask(structs.replace(ORDER, reference=f"ORD-{number}"), None) for number in range(40))
    )
    assert held([answer.payment for answer in asked]) == 0


@pytest.mark.parametrize(
    ("minutes", "is_held"), [(DUPLICATE_WINDOW_MINUTES - 1, True), (DUPLICATE_WINDOW_MINUTES + 1, False)]
)
async def test_the_guard_lasts_ten_minutes(world: World, minutes: int, *, is_held: bool) -> None:
    await ask_often(world, 1)
    await world.advance(minutes * 60)
    assert (held(await ask_often(world, 1)) == 1) is is_held


async def test_a_keyless_repeat_of_a_keyed_request_is_held_and_a_keyed_one_never(world: World) -> None:
    assert (await world.stage.ask(ORDER, "k1")).payment.status is not Status.IN_REVIEW
    assert held(await ask_often(world, 2)) == 2
    assert (await world.stage.ask(ORDER, "k2")).payment.status is not Status.IN_REVIEW


async def test_another_principal_or_tenant_is_no_repeat(world: World) -> None:
    await ask_often(world, 1)
    second = await world.reviewer("second", "agent", ("initiate",))
    await world.mandate(world.stage.admin, second)
    for actor in (second, await world.other_tenant()):
        assert (await world.stage.ask(ORDER, None, actor)).payment.status is not Status.IN_REVIEW


async def test_a_bare_reservation_has_no_payee_and_is_never_a_repeat(world: World) -> None:
    bare = Ask("charge", 500, "usd", origin="reserve", agent_id="a", bare=True)
    asked = await asyncio.gather(*(world.stage.ask(bare, None) for _ in range(6)))
    assert {answer.payment.status for answer in asked} == {Status.RESERVED}


async def test_a_held_repeat_goes_only_with_a_persons_yes(world: World) -> None:
    payments = await ask_often(world, 2)
    (waiting,) = [payment for payment in payments if payment.status is Status.IN_REVIEW]
    reviewer = await world.reviewer()
    await review.give_verdict(
        world.stage.desk, reviewer, await world.review_of(waiting), Given("approve", "it is another")
    )
    settled = await world.settle(*payments)
    await world.check_books(settled, charged=2)


async def test_broken_twin_a_guard_that_consults_nothing_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def twin(*_: Any, **__: Any) -> bool:
        return False

    monkeypatch.setattr(duplicate_store, "suspect", twin)
    assert held(await ask_often(world)) != COPIES - 1
