"""R6: charged or not, and then no usable answer. In the end our books say what the provider's say, and nothing failed
because nobody answered."""

from typing import Any

import pytest

from paywarden.flow import submit
from paywarden.kit.states import Status
from paywarden.payments.rows import Payment
from paywarden.providers.port import Declined, Unknown
from tests.flow.conftest import *  # noqa: F403  the stage's fixtures
from tests.flow.watched_provider import watch
from tests.flow.world import World, all_of

pytestmark = pytest.mark.shared_sandbox

AFTER = ["drop_after_charge", "error_500_after_charge", "half_body", "wrong_json", "timeout"]
BEFORE = ["drop_before_charge", "error_500_before_charge"]
EACH = 12
# As many as the pool has connections: none is refused because a busy machine lets it wait.
AT_ONCE = 16


async def lose_answers(world: World, faults: list[str], each: int) -> list[Payment]:
    """``each`` charges for each fault, a few at once; every first answer is lost in its way."""
    for fault in faults:
        await world.stage.sandbox.arm(fault, times=each, customer=fault, operation="submit")
    stage = world.stage.with_settings(answer_timeout_seconds=0.05, provider_timeout_seconds=1.5)
    wanted = [(100 + number, fault) for fault in faults for number in range(each)]
    asked = []
    for start in range(0, len(wanted), AT_ONCE):
        few = wanted[start : start + AT_ONCE]
        asked += await all_of(*(stage.charge(amount, customer_id=fault) for amount, fault in few))
    assert {type(answer) for answer in asked} == {Payment}
    return asked


async def test_every_lost_answer_ends_as_the_provider_knows_it(world: World) -> None:
    watched = watch(world.stage)
    payments = await lose_answers(world, AFTER + BEFORE, EACH)
    assert world.held() == sum(payment.amount_minor for payment in payments)
    settled = await world.settle(*payments)
    assert {payment.status for payment in settled} == {Status.SUCCEEDED}
    assert {payment.late for payment in settled} == {False}
    await world.check_books(settled, charged=len(payments))
    assert (world.held(), world.discrepancies()) == (0, [])
    by_key: dict[str, set[bytes]] = {}
    for request in watched.sent:
        by_key.setdefault(request.idempotency_key, set()).add(request.body)
    assert len(by_key) == len(payments)
    assert {len(bodies) for bodies in by_key.values()} == {1}


async def test_a_refusal_in_between_fails_only_what_was_refused(world: World) -> None:
    await world.stage.sandbox.arm("decline", customer="poor", operation="submit")
    payments = await lose_answers(world, [*AFTER[:2], BEFORE[0]], 4)
    poor = [await world.stage.charge(500, customer_id="poor") for _ in range(4)]
    settled = await world.settle(*payments, *poor)
    assert [payment.status for payment in settled[-4:]] == [Status.FAILED] * 4
    await world.check_books(settled, charged=len(payments))


# ---- The broken twins, each one line


async def call_silence_a_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    record = submit.record_answer

    async def twin(desk: Any, payment: Any, operation: Any, answer: Any) -> None:
        await record(desk, payment, operation, Declined("no answer") if isinstance(answer, Unknown) else answer)

    monkeypatch.setattr(submit, "record_answer", twin)


async def charge_again_under_a_fresh_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = watch(world.stage)

    async def twin(request: Any) -> Any:
        again = [sent for sent in provider.sent if sent.idempotency_key == request.idempotency_key]
        fresh = type(request)(request.method, request.path, request.body, f"{request.idempotency_key}-{len(again)}")
        answer = await provider._real.send(fresh, 1.5)
        return await provider._real.send(fresh_key(fresh), 1.5) if isinstance(answer, Unknown) else answer

    provider.before = twin


def fresh_key(request: Any) -> Any:
    return type(request)(request.method, request.path, request.body, f"{request.idempotency_key}-again")


@pytest.mark.parametrize("twin", [call_silence_a_refusal, charge_again_under_a_fresh_key])
async def test_broken_twins_are_caught(world: World, monkeypatch: pytest.MonkeyPatch, twin: Any) -> None:
    await twin(world, monkeypatch)
    payments = await lose_answers(world, AFTER[:2], 2)
    assert await world.lies(await world.settle(*payments)) != []
