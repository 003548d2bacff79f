"""Submit: the row before the call, the same bytes under the same key, and nothing concluded from silence."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import structs

from paywarden.db.transaction import transaction
from paywarden.flow import access, advance, recovery, resolve, settle, submit
from paywarden.flow.ask import Ask
from paywarden.kit.errors import NotSettledAtProviderError, PaymentDeniedError, StateConflictError
from paywarden.kit.states import Status
from paywarden.payments import operations, queue, rows
from paywarden.payments.operations import Operation
from paywarden.payments.rows import Move, Payment
from paywarden.providers.port import Accepted, Declined, Invalid, ProviderPayment, Transient, Unknown
from tests.flow.stage import Stage
from tests.flow.watched_provider import watch
from tests.flow.world import World, all_of, event
from tests.sandbox_process import SandboxProcess

pytestmark = pytest.mark.shared_sandbox

DAY = 86_400


def operation_of(world: World, payment: Payment) -> dict[str, Any]:
    (row,) = world.sql("select * from paywarden.operations where payment_id = %s", payment.id)
    return row


def quick(world: World) -> Stage:
    """A stage whose callers send and then leave the rest to the worker."""
    return world.stage.sending_only()


async def latest(world: World, payment: Payment) -> Operation:
    async with transaction(world.stage.desk.pool, payment.tenant_id) as connection:
        found = await operations.latest(connection, payment.id)
    assert found is not None
    return found


async def claim(world: World, payment: Payment) -> Payment:
    settings = world.stage.desk.settings
    async with transaction(world.stage.desk.pool, payment.tenant_id) as connection:
        claimed = await queue.claim(connection, payment.id, settings.lease_seconds, settings.advice_lease_seconds)
    assert claimed is not None
    return claimed


# ---- The row first


async def test_the_intention_is_committed_before_anything_is_sent(world: World) -> None:
    seen: list[dict[str, Any]] = []

    async def look(request: Any) -> None:
        seen.extend(
            world.sql(
                "select payment.status, operation.body, operation.idempotency_key, operation.path, operation.attempts,"
                " payment.hold_id from paywarden.operations as operation"
                " join paywarden.payments as payment on payment.id = operation.payment_id"
            )
        )

    watched = watch(world.stage, look)
    await world.stage.charge(700)
    ((row), (request)) = seen[0], watched.sent[0]
    assert (row["status"], row["attempts"], row["hold_id"] is not None) == ("submitting", 1, True)
    assert (bytes(row["body"]), row["path"], row["idempotency_key"]) == (
        request.body,
        request.path,
        request.idempotency_key,
    )


async def test_nothing_is_sent_when_the_commit_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = watch(world.stage)

    async def refuse(*_: Any) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(operations, "insert", refuse)
    with pytest.raises(RuntimeError):
        await world.stage.charge(700, key="k")
    assert watched.sent == []
    monkeypatch.undo()
    await world.advance(60)
    payment = await world.stage.charge(700, key="k")
    (paid,) = await world.settle(payment)
    await world.check_books([paid], charged=1)


# ---- Evidence and its absence


@pytest.mark.parametrize(("fault", "said"), [("decline", "declined"), ("invalid", "invalid")])
async def test_a_refusal_of_the_first_and_only_attempt_is_evidence(world: World, fault: str, said: str) -> None:
    await world.stage.sandbox.arm(fault)
    payment = await world.stage.charge(700)
    assert payment.status is Status.FAILED
    assert (payment.reason or "").startswith(said)
    assert (operation_of(world, payment)["status"], world.held()) == (said, 0)
    assert world.statuses(payment) == ["pending", "reserved", "submitting", "failed"]
    await world.check_books([payment], charged=0)


@pytest.mark.parametrize("refusal", ["decline", "invalid"])
@pytest.mark.parametrize("first", ["drop_before_charge", "drop_after_charge", "error_500_before_charge"])
async def test_a_refusal_of_a_second_attempt_is_no_evidence(world: World, first: str, refusal: str) -> None:
    """The first one may have been charged: what the second is told says nothing of it."""
    sandbox = world.stage.sandbox
    await sandbox.arm(first, times=1, operation="submit")
    payment = await quick(world).charge(700)
    await sandbox.arm("error_500_before_charge", operation="fetch", times=1)
    await world.advance(5)
    await world.work()
    if first != "drop_after_charge":
        await sandbox.arm(refusal, operation="submit")
        for _ in range(4):
            await world.advance(5)
            await world.work()
        assert (await world.stage.find(payment.id)).status is Status.OUTCOME_UNKNOWN
        assert operation_of(world, payment)["attempts"] > 1
        assert world.held() == 700
        await sandbox.disarm()
    (paid,) = await world.settle(payment)
    await world.check_books([paid], charged=1)


async def test_other_refusals_are_never_evidence(world: World) -> None:
    statuses = iter([401, 403, 404, 408, 409, 425])

    async def refuse(_: Any) -> Unknown:
        status = next(statuses)
        return Unknown(f"HTTP {status}", status)

    watched = watch(world.stage, refuse)
    payments = [await quick(world).charge(700) for _ in range(6)]
    assert {payment.status for payment in payments} == {Status.OUTCOME_UNKNOWN}
    assert world.held() == 6 * 700
    watched.before = None
    await world.check_books(await world.settle(*payments), charged=6)


async def test_a_429_counts_as_not_sent_and_waits_as_long_as_it_is_told(world: World) -> None:
    await world.stage.sandbox.arm("rate_limit", times=1, operation="submit")
    watched = watch(world.stage)
    payment = await quick(world).charge(700)
    assert (payment.status, operation_of(world, payment)["attempts"]) == (Status.SUBMITTING, 0)
    assert (len(watched.sent), watched.fetched) == (1, 0)
    assert await recovery.run_once(world.stage.desk) == 0
    (paid,) = await world.settle(payment)
    assert {request.idempotency_key for request in watched.sent} == {watched.sent[0].idempotency_key}
    assert len(watched.sent) == 2
    await world.check_books([paid], charged=1)


async def test_a_refusal_after_a_429_is_the_first_attempts_evidence(world: World) -> None:
    await world.stage.sandbox.arm("rate_limit", times=1, operation="submit")
    await world.stage.sandbox.arm("decline", operation="submit")
    (payment,) = await world.settle(await quick(world).charge(700))
    assert (payment.status, world.held()) == (Status.FAILED, 0)
    assert operation_of(world, payment)["attempts"] == 1


async def test_a_429_on_a_second_attempt_does_not_make_it_the_first(world: World) -> None:
    sandbox = world.stage.sandbox
    await sandbox.arm("drop_before_charge", times=1, operation="submit")
    await sandbox.arm("rate_limit", times=1, operation="submit")
    await sandbox.arm("decline", times=1, operation="submit")
    payment = await quick(world).charge(700)
    for _ in range(3):
        await world.advance(5)
        await world.work()
    assert "failed" not in world.statuses(payment)
    (paid,) = await world.settle(payment)
    await world.check_books([paid], charged=1)


async def test_a_provider_that_is_down_gets_it_once_when_it_is_back(world: World, sandbox: SandboxProcess) -> None:
    sandbox.kill9()
    watched = watch(world.stage)
    payment = await quick(world).charge(700)
    assert (payment.status, operation_of(world, payment)["attempts"]) == (Status.SUBMITTING, 0)
    for _ in range(3):
        world.clock.advance(31)
        await world.work()
    assert (await world.stage.find(payment.id)).status is Status.SUBMITTING
    assert (operation_of(world, payment)["attempts"], world.held()) == (0, 700)
    sandbox.restart()
    (paid,) = await world.settle(payment)
    assert len({(request.idempotency_key, request.body) for request in watched.sent}) == 1
    assert operation_of(world, payment)["attempts"] == 1
    await world.check_books([paid], charged=1)


async def test_a_provider_that_fails_all_the_time_is_not_hammered(world: World) -> None:
    """After each failure the next try waits as long again as it has lasted, within the settings' bounds."""
    await world.stage.sandbox.arm("error_500_before_charge", operation="submit")
    stage = quick(world).with_settings(fetch_first_seconds=5, fetch_backoff_max_seconds=30)
    world.stage = stage
    watched = watch(stage)
    payment = await stage.charge(700)
    for _ in range(120):
        await world.work()
        await world.advance(1)
    assert 3 <= len(watched.sent) <= 16
    assert 3 <= watched.fetched <= 20
    await stage.sandbox.disarm()
    (paid,) = await world.settle(payment)
    await world.check_books([paid], charged=1)


async def test_a_resend_is_byte_identical_under_the_same_key(world: World) -> None:
    await world.stage.sandbox.arm("drop_before_charge", times=3, operation="submit")
    watched = watch(world.stage)
    (paid,) = await world.settle(await quick(world).charge(700))
    assert len(watched.sent) >= 4
    assert len({(request.path, request.body, request.idempotency_key) for request in watched.sent}) == 1
    await world.check_books([paid], charged=1)


async def test_a_payment_failed_later_gives_its_hold_back(world: World) -> None:
    await world.stage.sandbox.arm("fail_later")
    (failed,) = await world.settle(await world.stage.charge(700))
    assert (failed.status, world.held()) == (Status.FAILED, 0)
    await world.check_books([failed], charged=0)


async def test_a_failed_refund_is_refundable_again(world: World) -> None:
    charge = await world.double_charge("cust_1", 900)
    await world.stage.sandbox.arm("decline", operation="refund")
    (refund,) = await world.settle((await world.stage.ask(world.refund_of(charge, 900))).payment)
    assert (refund.status, (await world.stage.find(charge.id)).refundable_minor) == (Status.FAILED, 900)
    assert await world.stage.broken_invariants() == {}


@pytest.mark.parametrize("fault", ["drop_after_charge", "error_500_after_charge", "drop_before_charge", "half_body"])
@pytest.mark.parametrize("kind", ["refund", "confirm"])
async def test_refunds_and_confirmations_resolve_like_charges(world: World, kind: str, fault: str) -> None:
    sandbox = world.stage.sandbox
    if kind == "refund":
        charge = await world.double_charge("cust_1", 900)
        await sandbox.arm(fault, times=1, operation="refund")
        payment = (await quick(world).ask(world.refund_of(charge, 900))).payment
    else:
        payment = await world.stage.charge(900, confirm=False, origin="create")
        assert payment.status is Status.REQUIRES_ACTION
        await sandbox.arm(fault, times=1, operation="confirm")
        await settle.confirm(quick(world).desk, world.stage.agent, payment.id)
    (done,) = await world.settle(payment)
    assert done.status is Status.SUCCEEDED
    await world.check_books([done])


async def test_an_answer_that_disagrees_books_nothing_and_is_raised(world: World) -> None:
    async def overcharge(_: Any) -> Accepted:
        return Accepted(ProviderPayment("sbx_odd", "succeeded", amount_minor=7_000, currency="usd"))

    watch(world.stage, overcharge)
    payment = await quick(world).charge(700)
    assert payment.status is Status.OUTCOME_UNKNOWN
    assert (payment.captured_minor, payment.provider_payment_id) == (0, None)
    assert world.discrepancies(payment) == ["amount_minor_differs"]
    assert world.held() == 700


async def test_an_id_that_another_payment_has_is_raised_and_books_nothing(world: World) -> None:
    first = await world.stage.charge(700)

    async def repeat(_: Any) -> Accepted:
        return Accepted(ProviderPayment(first.provider_payment_id or "", "succeeded", 700, "usd"))

    watch(world.stage, repeat)
    second = await quick(world).charge(700)
    assert (second.status, second.provider_payment_id) == (Status.OUTCOME_UNKNOWN, None)
    assert world.discrepancies(second) == ["provider_id_differs"]


# ---- Past the provider's key window


async def unknown(world: World, fault: str = "drop_before_charge") -> Payment:
    """Nobody knows: the call and the caller's own look-up were both in vain."""
    await world.stage.sandbox.arm(fault, times=1, operation="submit")
    await world.stage.sandbox.arm("error_500_before_charge", times=1, operation="fetch")
    stage = quick(world)
    payment = await stage.charge(700)
    assert payment.status in {Status.OUTCOME_UNKNOWN, Status.SUBMITTING}
    return payment


async def test_inside_the_window_it_goes_again_and_past_it_never(world: World) -> None:
    payment = await unknown(world)
    watched = watch(world.stage)
    margin = world.stage.desk.settings.key_window_margin_seconds
    await world.advance(DAY - margin + 1)
    for _ in range(5):
        await world.work()
        await world.advance(31)
    stuck = await world.stage.find(payment.id)
    assert (stuck.status, watched.sent, world.held()) == (Status.OUTCOME_UNKNOWN, [], 700)
    assert world.discrepancies(payment) == ["outcome_unknown_past_window"]
    assert stuck.next_step_at is not None


async def test_past_the_window_the_providers_truth_is_still_taken(world: World) -> None:
    payment = await unknown(world, "drop_after_charge")
    await world.advance(30 * DAY)
    (paid,) = await world.settle(payment)
    assert paid.status is Status.SUCCEEDED
    await world.check_books([paid], charged=1)


async def test_the_window_starts_at_the_first_attempt_that_may_have_been_sent(
    world: World, sandbox: SandboxProcess
) -> None:
    """A day of refused connections leaves the key as young as it was."""
    sandbox.kill9()
    payment = await quick(world).charge(700)
    world.clock.advance(2 * DAY)
    await world.work()
    sandbox.restart()
    await world.stage.sandbox.advance_clock(2 * DAY)
    (paid,) = await world.settle(payment)
    await world.check_books([paid], charged=1)


# ---- Zombies: R5 in short


async def test_a_stale_fence_moves_plans_and_counts_nothing(world: World) -> None:
    payment = await unknown(world)
    world.clock.advance(60)
    zombie = await claim(world, payment)
    operation = await latest(world, payment)
    world.clock.advance(60)
    successor = await claim(world, payment)
    assert successor.fence == zombie.fence + 1
    async with transaction(world.stage.desk.pool, payment.tenant_id) as connection:
        assert not await queue.plan(connection, payment.id, zombie.fence, 0)
        move = Move(Status.SUBMITTING, "lapse", "resend", fence=zombie.fence)
        assert await rows.move(connection, payment.id, move) is None
    async with transaction(world.stage.desk.pool, payment.tenant_id) as connection:
        assert await operations.count_attempt(connection, operation.id, successor.fence, successor.lease_until)
        assert not await operations.count_attempt(connection, operation.id, zombie.fence, zombie.lease_until)
    assert (await world.stage.find(payment.id)).lease_until == successor.lease_until


async def test_a_lease_is_held_until_it_ends_and_by_one_only(world: World) -> None:
    payment = await unknown(world)
    world.clock.advance(60)
    settings = world.stage.desk.settings

    async def try_it() -> Payment | None:
        async with transaction(world.stage.desk.pool, payment.tenant_id) as connection:
            return await queue.claim(connection, payment.id, settings.lease_seconds, settings.advice_lease_seconds)

    claims = await asyncio.gather(*(try_it() for _ in range(8)))
    assert len([claimed for claimed in claims if claimed]) == 1
    assert await recovery.run_once(world.stage.desk) == 0
    world.clock.advance(settings.lease_seconds - 0.5)
    assert await try_it() is None
    world.clock.advance(1)
    assert await try_it() is not None


async def zombie_and_resend(world: World) -> tuple[Payment, Operation]:
    """Somebody stalled after the commit; meanwhile another process resolved and sent the same bytes again."""
    payment = await unknown(world)
    zombie, stale = await world.stage.find(payment.id), await latest(world, payment)
    await world.stage.sandbox.arm("drop_after_charge", operation="submit", times=1)
    await world.stage.sandbox.arm("error_500_before_charge", operation="fetch")
    async with transaction(world.stage.desk.pool, payment.tenant_id) as connection:
        await operations.count_attempt(connection, stale.id, zombie.fence + 1, datetime.now(UTC))
    return zombie, stale


@pytest.mark.parametrize("answer", [Declined("card_declined"), Invalid("no", 422)], ids=["declined", "invalid"])
async def test_a_zombies_refusal_does_not_fail_what_was_sent_again(world: World, answer: Any) -> None:
    zombie, stale = await zombie_and_resend(world)
    assert stale.attempts == 1
    await submit.record_answer(world.stage.desk, zombie, stale, answer)
    assert (await world.stage.find(zombie.id)).status is Status.OUTCOME_UNKNOWN
    assert world.held() == 700


async def test_a_zombie_does_not_take_back_anothers_attempt(world: World) -> None:
    zombie, stale = await zombie_and_resend(world)
    await submit.record_answer(world.stage.desk, zombie, stale, Transient("no connection", sent="no"))
    assert operation_of(world, zombie)["attempts"] == 2


async def test_what_is_unknown_and_was_never_sent_is_sent(world: World) -> None:
    """Its sender proved late that it had not sent it, when its successor had given up on the outcome already."""
    payment = await unknown(world)
    world.edit("update paywarden.operations set attempts = 0, first_sent_at = null where payment_id = %s", payment.id)
    (paid,) = await world.settle(payment)
    await world.check_books([paid], charged=1)


async def test_a_zombies_silence_does_not_undo_a_conclusion(world: World) -> None:
    payment = await unknown(world)
    zombie, stale = await world.stage.find(payment.id), await latest(world, payment)
    (paid,) = await world.settle(payment)
    await submit.record_answer(world.stage.desk, zombie, stale, Unknown("no answer in time"))
    assert (await world.stage.find(payment.id)).status is paid.status is Status.SUCCEEDED
    assert operation_of(world, payment)["status"] == "accepted"


async def test_who_stalls_between_the_commit_and_the_call_does_not_send(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process stopped there for a day would send under a key that the provider has forgotten."""
    watched = watch(world.stage)
    passed = submit._pass_no_return

    async def stall(*given: Any) -> Any:
        operation = await passed(*given)
        stopped = world.stage.desk.settings.lease_seconds
        real = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: real() + stopped)
        return operation

    monkeypatch.setattr(submit, "_pass_no_return", stall)
    payment = await quick(world).charge(700)
    assert watched.sent == []
    assert payment.status is Status.SUBMITTING
    monkeypatch.undo()
    (paid,) = await world.settle(payment)
    await world.check_books([paid], charged=1)


# ---- Facts that come while somebody works


@pytest.mark.parametrize("fault", ["error_500_before_charge", "rate_limit"])
async def test_an_event_during_a_fruitless_fetch_is_no_error(world: World, fault: str) -> None:
    await world.stage.sandbox.change_settings(webhook_delay_seconds=3600)
    payment = await world.stage.charge(700)
    assert payment.status is Status.PROCESSING
    world.clock.advance(60)
    claimed = await claim(world, payment)
    await world.tell(event("payment.succeeded", payment.provider_payment_id or ""))
    await world.stage.sandbox.arm(fault, operation="fetch")
    await resolve.poll(world.stage.desk, claimed)
    paid = await world.stage.find(payment.id)
    assert (paid.status, paid.next_step_at) == (Status.SUCCEEDED, None)


async def test_an_event_during_the_call_and_then_silence(world: World) -> None:
    async def tell_first(_: Any) -> Unknown:
        (payment_id,) = (row["id"] for row in world.sql("select id from paywarden.payments"))
        reference = (await world.stage.find(payment_id)).public_id
        await world.tell(event("payment.succeeded", "sbx_1", reference=reference, amount=700, currency="usd"))
        return Unknown("no answer in time")

    watch(world.stage, tell_first)
    payment = await world.stage.charge(700)
    assert (payment.status, payment.late) == (Status.SUCCEEDED, False)
    assert await world.work() == 0
    assert await world.stage.broken_invariants() == {}


async def test_a_cancel_between_the_claim_and_the_point_of_no_return_wins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, provider_id_for = watch(world.stage), submit._provider_id_for

    async def cancel_first(desk: Any, payment: Payment, kind: Any) -> Any:
        await settle.cancel(world.stage.desk, world.stage.agent, payment.id)
        for mandate in await access.list_mandates(world.stage.desk, world.stage.admin):
            await access.revoke_mandate(world.stage.desk, world.stage.admin, mandate.id)
        return await provider_id_for(desk, payment, kind)

    monkeypatch.setattr(submit, "_provider_id_for", cancel_first)
    payment = await world.stage.charge(700)
    assert (payment.status, watched.sent, world.held()) == (Status.CANCELED, [], 0)
    assert await world.stage.broken_invariants() == {}


@pytest.mark.parametrize("rounds", [12])
async def test_cancel_and_submit_race_to_one_truth(world: World, rounds: int) -> None:
    payments = []
    for number in range(rounds):
        payment = await world.stage.with_settings(answer_timeout_seconds=-1.0).charge(100, customer_id=f"c{number}")
        payments.append(payment)
        world.clock.advance(2)
        await all_of(
            settle.cancel(world.stage.desk, world.stage.agent, payment.id),
            advance.step(world.stage.desk, payment.tenant_id, payment.id),
        )
    settled = await world.settle(*payments)
    assert {payment.status for payment in settled} <= {Status.SUCCEEDED, Status.CANCELED}
    await world.check_books(settled)
    assert world.held() == 0


async def test_what_was_sent_cannot_be_canceled(world: World) -> None:
    payment = await unknown(world)
    with pytest.raises(StateConflictError):
        await settle.cancel(world.stage.desk, world.stage.agent, payment.id)
    assert world.held() == 700


# ---- The kill switch and confirmations


async def test_a_suspended_tenant_sends_nothing_more_not_even_again(world: World, sandbox: SandboxProcess) -> None:
    sandbox.kill9()
    unsent = await quick(world).charge(700)
    sandbox.restart()
    maybe = await unknown(world)
    await access.set_tenant_status(world.stage.desk, world.stage.admin, "suspended")
    watched = watch(world.stage)
    for _ in range(4):
        await world.advance(31)
        await world.work()
    assert watched.sent == []
    assert watched.fetched > 0
    await access.set_tenant_status(world.stage.desk, world.stage.admin, "active")
    settled = await world.settle(unsent, maybe)
    await world.check_books(settled, charged=2)


async def test_a_confirmation_that_is_no_longer_allowed_is_refused_every_time(world: World) -> None:
    payment = await world.stage.charge(900, confirm=False, origin="create")
    await access.set_principal_status(world.stage.desk, world.stage.admin, world.stage.agent.principal.id, "suspended")
    for _ in range(2):
        with pytest.raises(PaymentDeniedError):
            await settle.confirm(world.stage.desk, world.stage.agent, payment.id)
    assert (await world.stage.find(payment.id)).status is Status.REQUIRES_ACTION
    assert (await world.book())["charges"] == {}


async def test_many_confirmations_at_once_are_one(world: World) -> None:
    payment = await world.stage.charge(900, confirm=False, origin="create")
    watched = watch(world.stage)
    await all_of(*(settle.confirm(world.stage.desk, world.stage.agent, payment.id) for _ in range(8)))
    assert len(watched.sent) == 1
    (paid,) = await world.settle(payment)
    await world.check_books([paid], charged=1)


async def test_mark_paid_believes_the_provider_only(world: World) -> None:
    await world.stage.sandbox.change_settings(webhook_delay_seconds=3600)
    wanted = Ask("charge", 900, "usd", customer_id="c", confirm=False, origin="create", agent_id="agent-1")
    payment = (await world.stage.ask(wanted)).payment
    with pytest.raises(NotSettledAtProviderError):
        await settle.mark_paid(world.stage.desk, world.stage.agent, "agent-1", payment.id, None)
    assert (await world.stage.find(payment.id)).status is Status.PROCESSING
    assert world.account("revenue") == (0, 0)
    await world.stage.sandbox.advance_clock(3601)
    paid = (await settle.mark_paid(world.stage.desk, world.stage.agent, "agent-1", None, None)).payment
    assert paid.quickstart_status == "paid"
    await world.check_books([paid], charged=1)
    assert structs.replace(paid, late=False) == paid
