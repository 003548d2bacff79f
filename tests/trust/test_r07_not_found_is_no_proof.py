"""R7: the answer is lost and the status says "not found", whether it charged or not. Nothing is concluded from that."""

import asyncio
from typing import Any

import pytest

from paywarden.flow import facts, resolve
from paywarden.flow.facts import Fact
from paywarden.kit.states import Status
from paywarden.payments.rows import Payment
from paywarden.providers.port import PreparedRequest, Unknown
from tests.flow.conftest import *  # noqa: F403  the stage's fixtures
from tests.flow.watched_provider import WatchedProvider, watch
from tests.flow.world import World

pytestmark = pytest.mark.shared_sandbox

CHARGES = 60
HIDDEN_SECONDS = 45


def lose_first_answers(world: World) -> WatchedProvider:
    """Of each payment the first call is lost: on its way there ("b") or on its way back ("a")."""
    provider = watch(world.stage)

    async def lose(request: PreparedRequest) -> Any:
        first = sum(sent.idempotency_key == request.idempotency_key for sent in provider.sent) == 1
        if not first:
            return None
        if b'"customer_id":"a' in request.body:
            await provider._real.send(request, 2)
        return Unknown("no answer in time")

    provider.before = lose
    return provider


async def charge_unseen(world: World, number: int) -> list[Payment]:
    """Half of them charged, half of them not; what was charged cannot be looked up for a while."""
    await world.stage.sandbox.arm("not_found_for", seconds=HIDDEN_SECONDS, customer="a", operation="submit")
    stage = world.stage.with_settings(answer_timeout_seconds=0.05)
    return await asyncio.gather(
        *(stage.charge(100 + each, customer_id="a" if each % 2 else "b") for each in range(number))
    )


async def test_not_found_proves_nothing(world: World) -> None:
    provider = lose_first_answers(world)
    payments = await charge_unseen(world, CHARGES)
    now = [await world.stage.find(payment.id) for payment in payments]
    ended = {Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.EXPIRED, Status.DENIED}
    assert not {payment.status for payment in now} & ended
    assert world.held() == sum(payment.amount_minor for payment in payments)
    settled = await world.settle(*payments)
    assert {payment.status for payment in settled} == {Status.SUCCEEDED}
    await world.check_books(settled, charged=CHARGES)
    assert (world.held(), world.discrepancies()) == (0, [])
    assert len({request.idempotency_key for request in provider.sent}) == CHARGES
    assert len({request.body for request in provider.sent}) == CHARGES
    assert {"voided", "expired"}.isdisjoint(
        row["status"] for row in world.sql("select distinct status from paywarden.holds")
    )
    ends = world.sql("select distinct to_status from paywarden.payment_transitions where cause = 'lapse'")
    assert {row["to_status"] for row in ends} <= {"outcome_unknown", "submitting"}


async def test_a_provider_that_never_finds_it_leaves_it_unknown(world: World) -> None:
    """And that cannot send the same key twice: then nothing is sent again either."""
    provider = lose_first_answers(world)
    real = provider._real.facts
    provider.facts = type(real)(**{name: getattr(real, name) for name in real.__slots__} | {"idempotent_submit": False})
    (payment,) = await charge_unseen(world, 1)
    for _ in range(20):
        await world.advance(31)
        await world.work()
    stuck = await world.stage.find(payment.id)
    assert (stuck.status, len(provider.sent), world.held()) == (Status.OUTCOME_UNKNOWN, 1, payment.amount_minor)
    assert world.discrepancies(payment) == ["outcome_unknown_past_window"]


# ---- The broken twins


def believe_not_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def twin(desk: Any, payment: Payment, operation: Any) -> None:
        async with resolve.transaction(desk.pool, payment.tenant_id) as connection:
            await facts.apply(connection, payment.id, Fact("failed", "fetch", reason="not found"))

    monkeypatch.setattr(resolve, "_not_found", twin)


def send_again_under_a_fresh_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = world.stage.desk.provider("rest")
    assert isinstance(provider, WatchedProvider)
    lose = provider.before
    assert lose is not None

    async def twin(request: PreparedRequest) -> Any:
        answer = await lose(request)
        if answer is not None:
            return answer
        fresh = PreparedRequest(request.method, request.path, request.body, f"{request.idempotency_key}-again")
        return await provider._real.send(fresh, 2)

    provider.before = twin


def void_what_nobody_knows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = resolve._not_found

    async def twin(desk: Any, payment: Payment, operation: Any) -> None:
        async with resolve.transaction(desk.pool, payment.tenant_id) as connection:
            await facts.give_back(connection, payment)
        await wait(desk, payment, operation)

    monkeypatch.setattr(resolve, "_not_found", twin)


@pytest.mark.parametrize("twin", [believe_not_found, send_again_under_a_fresh_key, void_what_nobody_knows])
async def test_broken_twins_are_caught(world: World, monkeypatch: pytest.MonkeyPatch, twin: Any) -> None:
    lose_first_answers(world)
    twin(world, monkeypatch)
    payments = await charge_unseen(world, 4)
    for _ in range(3):
        await world.advance(2)
        await world.work()
    premature = await world.stage.broken_invariants()
    settled = await world.settle(*payments)
    assert premature or await world.lies(settled) != []
