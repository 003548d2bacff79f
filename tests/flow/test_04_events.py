"""Events: stored once, applied once, in any order; whatever they state must agree; a fact always books."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from paywarden.flow import provider_event, recovery, settle
from paywarden.flow.provider_event import Endpoint, WebhookRefusedError
from paywarden.flow.review import Given
from paywarden.kit.states import Status
from paywarden.payments.rows import Payment
from tests.flow.watched_provider import watch
from tests.flow.world import World, event, sign

pytestmark = pytest.mark.shared_sandbox


@pytest.fixture(autouse=True)
async def quiet(world: World) -> None:
    """The provider takes an hour to settle: within a test only events tell the truth."""
    await world.stage.sandbox.change_settings(webhook_delay_seconds=3600)


async def processing(world: World, amount_minor: int = 700, **changes: Any) -> Payment:
    payment = await world.stage.charge(amount_minor, **changes)
    assert payment.status is Status.PROCESSING
    return payment


async def refund_under_way(world: World, amount_minor: int = 900) -> tuple[Payment, Payment]:
    """A charge and its refund that the provider is processing."""
    await world.stage.sandbox.change_settings(webhook_delay_seconds=0)
    charge = await world.double_charge("cust_1", 900)
    await world.stage.sandbox.change_settings(webhook_delay_seconds=3600)
    refund = (await world.stage.ask(world.refund_of(charge, amount_minor))).payment
    assert refund.status is Status.PROCESSING
    return charge, refund


def about(payment: Payment, event_type: str = "payment.succeeded", **more: Any) -> bytes:
    return event(event_type, payment.provider_payment_id or "", **more)


def transfers(world: World, payment: Payment) -> int:
    """How many rows of the ledger's money book this payment has."""
    return int(
        world.one("select count(*) from paywarden.transfers where payment_id = %s and book = 'money'", payment.id)
    )


# ---- Once


async def test_the_same_event_is_stored_and_applied_once(world: World) -> None:
    payment = await processing(world)
    body = about(payment, key="evt_1")
    assert [await world.tell(body) is not None for _ in range(3)] == [True, False, False]
    assert (world.inbox(), transfers(world, payment)) == (["applied"], 1)
    assert await world.stage.broken_invariants() == {}


async def test_an_event_without_an_id_is_known_by_its_bytes(world: World) -> None:
    payment = await processing(world)
    for _ in range(3):
        await world.tell(about(payment, key=None))
    await world.tell(about(payment, key=None) + b" ")
    assert (world.inbox(), transfers(world, payment)) == (["applied", "applied"], 1)


async def test_two_events_of_one_success_book_it_once(world: World) -> None:
    payment = await processing(world)
    await asyncio.gather(*(world.tell(about(payment)) for _ in range(8)))
    assert (set(world.inbox()), transfers(world, payment)) == ({"applied"}, 1)
    paid = await world.stage.find(payment.id)
    assert (paid.status, paid.captured_minor, paid.late) == (Status.SUCCEEDED, 700, False)
    assert await world.stage.broken_invariants() == {}


async def test_one_stored_event_applied_by_many_at_once_is_one_effect(world: World) -> None:
    payment = await processing(world)
    inbox_id = await world.receive(about(payment))
    assert inbox_id is not None
    apply = provider_event.apply
    await asyncio.gather(*(apply(world.stage.desk, payment.tenant_id, inbox_id) for _ in range(8)))
    assert (world.inbox(), transfers(world, payment)) == (["applied"], 1)
    assert world.one("select attempts from paywarden.webhook_inbox") == 1


# ---- Forged


@pytest.mark.parametrize("signature", [None, "", "0" * 64, "sha256=", "é", "\udcff"])
async def test_an_event_without_a_valid_signature_leaves_no_row(world: World, signature: str | None) -> None:
    payment = await processing(world)
    endpoint = provider_event.quickstart_endpoint(world.stage.desk)
    with pytest.raises(WebhookRefusedError):
        await provider_event.receive(world.stage.desk, endpoint, about(payment), signature)
    body = about(payment)
    with pytest.raises(WebhookRefusedError):
        await provider_event.receive(world.stage.desk, endpoint, body + b" ", sign(body))
    assert world.inbox() == []


# ---- Before the provider's id is stored


@pytest.mark.parametrize("named", [True, False], ids=["with our reference", "with the provider's id only"])
async def test_an_event_that_overtakes_the_answer_is_not_lost(world: World, named: bool) -> None:
    """Both ways, again and again: the event and the answer are written at the same moment."""
    chance, tasks = random.Random(9), []
    watched = watch(world.stage)
    real_send = watched._real.send

    async def overtake(request: Any) -> Any:
        answer = await real_send(request, 2)
        reference = request.idempotency_key.removesuffix("-submit")
        body = event("payment.succeeded", answer.payment.provider_id, reference=reference if named else None)

        async def deliver() -> None:
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))
            await world.tell(body)

        tasks.append(asyncio.create_task(deliver()))
        await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))
        return answer

    watched.before = overtake
    payments = [await world.stage.charge(100, customer_id=f"c{number}") for number in range(25)]
    await asyncio.gather(*tasks)
    for _ in range(3):
        world.clock.advance(4)
        await world.work()
    now = [await world.stage.find(payment.id) for payment in payments]
    assert {payment.status for payment in now} == {Status.SUCCEEDED}
    assert set(world.inbox()) == {"applied"}
    assert await world.stage.broken_invariants() == {}


# ---- Disagreement


@pytest.mark.parametrize(
    ("claim", "kind"),
    [
        ({"amount": 701}, "amount_minor_differs"),
        ({"amount": 70_000}, "amount_minor_differs"),
        ({"amount": -700}, "amount_minor_differs"),
        ({"amount": 0}, "amount_minor_differs"),
        ({"currency": "eur"}, "currency_differs"),
        ({"amount": 700, "currency": "jpy"}, "currency_differs"),
    ],
)
async def test_an_event_that_states_something_else_books_nothing(world: World, claim: Any, kind: str) -> None:
    payment = await processing(world)
    for _ in range(2):
        await world.tell(about(payment, **claim))
    assert (world.inbox(), world.discrepancies(payment)) == (["disputed", "disputed"], [kind])
    assert (await world.stage.find(payment.id)).status is Status.PROCESSING
    assert (transfers(world, payment), world.held()) == (0, 700)
    await world.tell(about(payment, amount=700, currency="usd"))
    assert (await world.stage.find(payment.id)).status is Status.SUCCEEDED


async def test_an_event_of_another_kind_books_nothing(world: World) -> None:
    payment = await processing(world)
    await world.tell(event("refund.succeeded", "ref_1", reference=payment.public_id, amount=700, currency="usd"))
    assert (world.inbox(), world.discrepancies(payment)) == (["disputed"], ["event_kind_differs"])
    assert (await world.stage.find(payment.id)).provider_payment_id == payment.provider_payment_id
    assert transfers(world, payment) == 0


async def test_another_id_under_our_reference_books_nothing(world: World) -> None:
    """Two charges at the provider under one reference: the second is not ours to book, and somebody must look."""
    payment = await processing(world)
    await world.tell(event("payment.succeeded", "sbx_second", reference=payment.public_id, amount=700))
    assert (world.inbox(), world.discrepancies(payment)) == (["disputed"], ["provider_id_differs"])
    assert transfers(world, payment) == 0


@pytest.mark.parametrize(
    "body", [{"type": "payment.created"}, {"type": "payment.succeeded", "data": {}}, {"type": "x"}]
)
async def test_what_says_nothing_about_a_payment_is_kept_and_ignored(world: World, body: dict[str, Any]) -> None:
    import json

    await world.tell(json.dumps(body).encode())
    assert world.inbox() == ["ignored"]
    assert await world.work() == 0


# ---- No such payment


async def test_an_event_without_a_payment_waits_alarms_and_is_applied_when_the_payment_comes(world: World) -> None:
    await world.tell(event("payment.succeeded", "sbx_9"))
    assert (world.inbox(), world.discrepancies()) == (["unmatched"], [])
    for _ in range(18):
        world.clock.advance(31)
        await world.work()
    assert world.discrepancies() == []
    for _ in range(3):
        world.clock.advance(31)
        await world.work()
    assert world.discrepancies() == ["event_without_payment"]
    assert world.one("select attempts from paywarden.webhook_inbox") <= 25

    async def same_id(_: Any) -> Any:
        from paywarden.providers.port import Accepted, ProviderPayment

        return Accepted(ProviderPayment("sbx_9", "pending"))

    watch(world.stage, same_id)
    payment = await world.stage.charge(700)
    world.clock.advance(31)
    await world.work()
    assert (await world.stage.find(payment.id)).status is Status.SUCCEEDED
    assert (world.inbox(), world.discrepancies()) == (["applied"], [])


async def test_an_unmatched_event_waits_longer_each_time(world: World) -> None:
    await world.tell(event("payment.succeeded", "sbx_9"))
    for _ in range(120):
        world.clock.advance(1)
        await world.work()
    assert 6 <= world.one("select attempts from paywarden.webhook_inbox") <= 10


@pytest.mark.parametrize("reference", ["pay_00000000000000000000000000", "pay_x", "' or 1=1", "evt_1", "x" * 255])
async def test_a_reference_that_is_none_of_ours_matches_nothing(world: World, reference: str) -> None:
    await world.tell(event("payment.succeeded", "sbx_9", reference=reference))
    assert world.inbox() == ["unmatched"]


async def test_another_tenants_payment_is_never_matched(world: World) -> None:
    payment = await processing(world)
    other = await world.other_tenant()
    theirs = Endpoint(other.tenant_id, "rest", "default", "their-secret")
    for body in (about(payment), about(payment, reference=payment.public_id)):
        inbox_id = await world.receive(body, theirs)
        assert inbox_id is not None
        await provider_event.apply(world.stage.desk, other.tenant_id, inbox_id)
    assert world.inbox() == ["unmatched", "unmatched"]
    assert (await world.stage.find(payment.id)).status is Status.PROCESSING
    account = Endpoint(world.stage.agent.tenant_id, "rest", "another account", "secret")
    inbox_id = await world.receive(about(payment, reference=payment.public_id), account)
    assert inbox_id is not None
    await provider_event.apply(world.stage.desk, payment.tenant_id, inbox_id)
    assert world.inbox()[-1] == "unmatched"
    assert (await world.stage.find(payment.id)).status is Status.PROCESSING


# ---- Late, early, contradicting


async def test_a_failure_after_a_success_changes_nothing(world: World) -> None:
    payment = await processing(world)
    await world.tell(about(payment))
    await world.tell(about(payment, "payment.failed"))
    paid = await world.stage.find(payment.id)
    assert (paid.status, transfers(world, payment)) == (Status.SUCCEEDED, 1)
    assert world.inbox() == ["applied", "applied"]
    assert await world.stage.broken_invariants() == {}


async def test_a_success_after_a_failure_is_booked_late(world: World) -> None:
    payment = await processing(world)
    await world.tell(about(payment, "payment.failed"))
    assert ((await world.stage.find(payment.id)).status, world.held()) == (Status.FAILED, 0)
    await world.tell(about(payment))
    paid = await world.stage.find(payment.id)
    assert (paid.status, paid.late, paid.captured_minor) == (Status.SUCCEEDED, True, 700)
    assert world.one("select bool_and(late) from paywarden.transfers where payment_id = %s", payment.id)
    assert (world.account("revenue")[0], world.held()) == (700, 0)
    assert await world.stage.broken_invariants() == {}


async def canceled(world: World) -> Payment:
    payment = await world.stage.with_settings(answer_timeout_seconds=-1.0).charge(700)
    return await settle.cancel(world.stage.desk, world.stage.agent, payment.id)


async def expired(world: World) -> Payment:
    payment = await world.stage.with_settings(answer_timeout_seconds=-1.0).charge(700)
    world.edit("update paywarden.payments set expires_at = paywarden.clock() where id = %s", payment.id)
    await world.work()
    return await world.stage.find(payment.id)


async def denied(world: World) -> Payment:
    return await world.stage.charge(50_001)


@pytest.mark.parametrize("end", [canceled, expired])
async def test_a_success_after_an_end_before_sending_is_booked_late(world: World, end: Any) -> None:
    payment = await end(world)
    assert (payment.status, world.held()) == (Status(end.__name__), 0)
    await world.tell(event("payment.succeeded", "sbx_1", reference=payment.public_id, amount=700))
    paid = await world.stage.find(payment.id)
    assert (paid.status, paid.late, paid.provider_payment_id) == (Status.SUCCEEDED, True, "sbx_1")
    assert await world.stage.broken_invariants() == {}


async def test_a_success_after_a_refusal_is_booked_raised_and_the_refusal_stays(world: World) -> None:
    payment = await denied(world)
    for _ in range(3):
        await world.tell(event("payment.succeeded", "sbx_1", reference=payment.public_id, amount=50_001))
    still = await world.stage.find(payment.id)
    assert (still.status, still.captured_minor, transfers(world, payment)) == (Status.DENIED, 50_001, 1)
    assert world.discrepancies(payment) == ["success_without_request"]
    assert await world.stage.broken_invariants() == {}


async def test_a_success_of_what_was_only_reserved_is_booked_and_raised(world: World) -> None:
    payment = await world.stage.with_settings(answer_timeout_seconds=-1.0).charge(700)
    watched = watch(world.stage)
    await world.tell(event("payment.succeeded", "sbx_1", reference=payment.public_id, amount=700))
    world.clock.advance(60)
    await world.work()
    paid = await world.stage.find(payment.id)
    assert (paid.status, watched.sent, world.held()) == (Status.SUCCEEDED, [], 0)
    assert world.discrepancies(payment) == ["success_without_request"]
    assert await world.stage.broken_invariants() == {}


@pytest.mark.parametrize("before", ["payment.failed", "refund.succeeded", "refund.failed"])
async def test_no_other_event_moves_what_was_not_sent(world: World, before: str) -> None:
    payment = await world.stage.with_settings(answer_timeout_seconds=-1.0).charge(700)
    await world.tell(event(before, "sbx_1", reference=payment.public_id, amount=700))
    assert (await world.stage.find(payment.id)).status is Status.RESERVED
    assert world.held() == 700


async def test_a_success_of_what_waits_for_a_review_closes_the_review(world: World) -> None:
    await world.stage.charge(700, key=None)
    payment = await world.stage.charge(700, key=None)
    assert payment.status is Status.IN_REVIEW
    await world.tell(event("payment.succeeded", "sbx_1", reference=payment.public_id, amount=700))
    assert (await world.stage.find(payment.id)).status is Status.SUCCEEDED
    assert world.one("select status from paywarden.reviews") == "canceled"
    world.clock.advance(world.stage.desk.settings.review_seconds + 60)
    await world.work()
    assert await recovery.run_once(world.stage.desk) == 0
    assert await world.stage.broken_invariants() == {}


async def test_an_open_review_of_an_ended_payment_does_not_keep_the_worker_busy(world: World) -> None:
    await world.stage.charge(700, key=None)
    payment = await world.stage.charge(700, key=None)
    world.edit("update paywarden.payments set status = 'canceled', last_sort_key = 2 where id = %s", payment.id)
    world.clock.advance(world.stage.desk.settings.review_seconds + 60)
    await world.work()
    assert await recovery.run_once(world.stage.desk) == 0


# ---- Refunds


async def test_a_refund_that_fails_gives_back_and_a_later_success_counts(world: World) -> None:
    charge, refund = await refund_under_way(world)
    await world.tell(about(refund, "refund.failed"))
    original = await world.stage.find(charge.id)
    assert (original.refundable_minor, original.refund_reserved_minor) == (900, 0)
    await world.tell(about(refund, "refund.succeeded"))
    original = await world.stage.find(charge.id)
    assert (original.refunded_minor, original.refund_reserved_minor, original.refundable_minor) == (900, 0, 0)
    assert (await world.stage.find(refund.id)).late
    assert await world.stage.broken_invariants() == {}


async def test_two_refunds_of_one_charge_by_late_facts_are_booked_and_raised(world: World) -> None:
    """The first is told as failed, a second one pays the money back, then the first turns out to have succeeded."""
    charge, first = await refund_under_way(world)
    await world.tell(about(first, "refund.failed"))
    second = (await world.stage.ask(world.refund_of(charge, 900))).payment
    assert second.status in {Status.PROCESSING, Status.IN_REVIEW, Status.DENIED, Status.FAILED}
    if second.status is Status.PROCESSING:
        await world.tell(about(second, "refund.succeeded"))
    else:
        reference = second.public_id
        await world.tell(event("refund.succeeded", "ref_second", reference=reference, amount=900))
    await world.tell(about(first, "refund.succeeded"))
    original = await world.stage.find(charge.id)
    assert (original.refunded_minor, original.refundable_minor) == (1_800, -900)
    assert "refunded_more_than_captured" in world.discrepancies(charge)
    assert await world.stage.broken_invariants() == {}


async def test_a_refund_that_was_denied_and_happened_is_counted(world: World) -> None:
    await world.stage.sandbox.change_settings(webhook_delay_seconds=0)
    charge = await world.stage.paid_charge(900)
    await world.stage.sandbox.change_settings(webhook_delay_seconds=3600)
    refund = (await world.stage.ask(world.refund_of(charge, 900, "I do not like it"))).payment
    assert refund.status in {Status.DENIED, Status.IN_REVIEW}
    if refund.status is Status.IN_REVIEW:
        from paywarden.flow import review

        review_id = await world.review_of(refund)
        await review.give_verdict(world.stage.desk, await world.reviewer(), review_id, Given("reject", "no"))
    await world.tell(event("refund.succeeded", "ref_1", reference=refund.public_id, amount=900))
    original = await world.stage.find(charge.id)
    assert (original.refunded_minor, original.refund_reserved_minor) == (900, 0)
    assert world.discrepancies(refund) == ["success_without_request"]
    assert await world.stage.broken_invariants() == {}


async def test_a_fact_below_a_floor_is_booked_blocks_and_is_raised(world: World) -> None:
    """The provider took back more than it owed us."""
    charge, refund = await refund_under_way(world)
    world.edit("update paywarden.accounts set balance = balance - 1000 where code ~ '^(provider_clearing|revenue)'")
    await world.tell(about(refund, "refund.succeeded"))
    assert world.account("provider_clearing")[0] == 900 * 2 - 1_000 - 900
    assert world.one("select blocked from paywarden.accounts where code like 'provider_clearing%%'")
    assert "below_floor" in world.discrepancies()
    assert charge.id == refund.original_payment_id


# ---- Not lost


async def test_a_death_between_the_answer_and_the_application_loses_nothing(world: World) -> None:
    payments = [await processing(world, customer_id=f"c{number}") for number in range(5)]
    for payment in payments:
        await world.receive(about(payment))
    assert world.inbox() == ["received"] * 5
    await world.work()
    assert world.inbox() == ["applied"] * 5
    assert {(await world.stage.find(payment.id)).status for payment in payments} == {Status.SUCCEEDED}


async def test_an_event_that_cannot_be_applied_now_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await processing(world)
    inbox_id = await world.receive(about(payment))
    assert inbox_id is not None

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(provider_event.facts, "apply", broken)
    with pytest.raises(RuntimeError):
        await provider_event.apply(world.stage.desk, payment.tenant_id, inbox_id)
    monkeypatch.undo()
    world.clock.advance(31)
    await world.work()
    assert (await world.stage.find(payment.id)).status is Status.SUCCEEDED
    assert await world.stage.broken_invariants() == {}


async def test_an_event_that_ends_nothing_leaves_the_payment_to_be_looked_up(world: World) -> None:
    """No adapter has such an event yet; a provider that says "processing" must not be the last to be heard."""
    await world.stage.sandbox.change_settings(webhook_delay_seconds=0.1)
    await world.stage.sandbox.arm("drop_after_charge", times=1, operation="submit")
    await world.stage.sandbox.arm("error_500_before_charge", operation="fetch")
    payment = await world.stage.sending_only().charge(700)
    provider = watch(world.stage)
    (entry,) = (await world.book())["payments"]
    read = provider.read_event

    def still_processing(body: bytes) -> Any:
        return replace(read(body), status="pending")

    provider.read_event = still_processing
    await world.tell(event("payment.succeeded", entry["id"], reference=payment.public_id))
    seen = await world.stage.find(payment.id)
    assert (seen.status, seen.next_step_at is not None) == (Status.PROCESSING, True)
    await world.stage.sandbox.disarm()
    await world.check_books(await world.settle(payment), charged=1)
