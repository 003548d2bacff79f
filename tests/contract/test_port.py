"""The port's promises, over every provider: what each answer is called, and that one order charges once."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from paywarden.providers.port import (
    Accepted,
    Declined,
    Found,
    Invalid,
    NotFound,
    OperationKind,
    Order,
    Provider,
    ProviderPayment,
    Transient,
    Unknown,
)
from paywarden.providers.rest import RestProvider
from paywarden.sandbox.control import SandboxControl
from tests.contract.waiting import eventually
from tests.sandbox_process import SandboxProcess

# A limit, so that a busy machine fails nothing; who waits for an answer that does not come has a shorter one.
TIMEOUT_SECONDS = 30.0
NewOrder = Callable[..., Order]
LOST_AFTER_CHARGE = ["drop_after_charge", "error_500_after_charge", "half_body", "wrong_json", "timeout"]
LOST_BEFORE_CHARGE = ["drop_before_charge", "error_500_before_charge"]


async def submit(provider: Provider, order: Order, key: str | None = None) -> Accepted:
    answer = await provider.send(provider.prepare(order, key or f"{order.our_reference}-submit"), TIMEOUT_SECONDS)
    assert isinstance(answer, Accepted), answer
    return answer


async def settled(provider: Provider, kind: OperationKind, provider_id: str) -> ProviderPayment:
    """The object once the provider calls it succeeded or failed."""

    async def look() -> ProviderPayment | None:
        found = await provider.fetch(kind, provider_id, TIMEOUT_SECONDS)
        assert isinstance(found, Found), found
        return found.payment if found.payment.status != "pending" else None

    found = await eventually(look)
    assert found is not None
    return found


async def charges(control: SandboxControl, order: Order) -> int:
    """How often the provider really charged this order."""
    return int((await control.book())["charges"].get(order.our_reference, 0))


async def test_an_order_is_accepted_then_succeeds_and_is_found_both_ways(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    order = new_order(amount_minor=10**15, currency="jpy")
    accepted = (await submit(provider, order)).payment
    assert accepted.status == "pending"
    payment = await settled(provider, "submit", accepted.provider_id)
    assert (payment.status, payment.amount_minor, payment.currency) == ("succeeded", 10**15, "jpy")
    assert payment.our_reference == order.our_reference
    assert await provider.fetch_by_reference("submit", order.our_reference, TIMEOUT_SECONDS) == (payment,)
    assert await charges(control, order) == 1


async def test_the_same_bytes_under_the_same_key_charge_once(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    order = new_order()
    request = provider.prepare(order, "the-same-key")
    answers = await asyncio.gather(*(provider.send(request, TIMEOUT_SECONDS) for _ in range(10)))
    assert {answer.payment.provider_id for answer in answers if isinstance(answer, Accepted)} == {
        (await submit(provider, order, "the-same-key")).payment.provider_id
    }
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert await charges(control, order) == 1


async def test_another_body_under_the_same_key_is_invalid_and_charges_nothing(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    order = new_order()
    await submit(provider, order, "key-of-one-body")
    other = replace(order, our_reference=order.our_reference + "x", amount_minor=2501)
    assert provider.facts.compares_body
    answer = await provider.send(provider.prepare(other, "key-of-one-body"), TIMEOUT_SECONDS)
    assert isinstance(answer, Invalid)
    assert answer.http_status == 422
    assert (await charges(control, order), await charges(control, other)) == (1, 0)


async def test_an_unconfirmed_payment_charges_only_when_confirmed_and_only_once(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    order = new_order(confirm=False)
    prepared = (await submit(provider, order)).payment
    assert prepared.status == "requires_confirmation"
    assert await charges(control, order) == 0
    confirm = replace(order, kind="confirm", provider_payment_id=prepared.provider_id)
    for key in ("first", "first", "second"):
        answer = await provider.send(provider.prepare(confirm, f"{order.our_reference}-{key}"), TIMEOUT_SECONDS)
        assert isinstance(answer, Accepted)
        assert answer.payment.provider_id == prepared.provider_id
    assert (await settled(provider, "confirm", prepared.provider_id)).status == "succeeded"
    assert await charges(control, order) == 1


async def test_refunds_give_back_what_was_captured_and_never_more(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    order = new_order(amount_minor=1000)
    paid = (await submit(provider, order)).payment
    early = replace(new_order(amount_minor=1), kind="refund", provider_payment_id=paid.provider_id)
    assert isinstance(await provider.send(provider.prepare(early, early.our_reference), TIMEOUT_SECONDS), Invalid)
    await settled(provider, "submit", paid.provider_id)
    part = replace(early, our_reference=early.our_reference + "p", amount_minor=600)
    refund = (await submit(provider, part)).payment
    assert (await settled(provider, "refund", refund.provider_id)).status == "succeeded"
    over = replace(early, our_reference=early.our_reference + "o", amount_minor=401)
    answer = await provider.send(provider.prepare(over, over.our_reference), TIMEOUT_SECONDS)
    assert isinstance(answer, Invalid)
    assert answer.http_status == 400
    assert len(await provider.fetch_by_reference("refund", part.our_reference, TIMEOUT_SECONDS)) == 1  # type: ignore[arg-type]
    assert await provider.fetch_by_reference("refund", over.our_reference, TIMEOUT_SECONDS) == ()
    assert (await control.book())["refunded"].get(part.our_reference) == 1


def payout_order(new_order: NewOrder, **fields: object) -> Order:
    return new_order(**{"kind": "payout", "payee": "iban-of-ann", **fields})


async def collected(provider: Provider, new_order: NewOrder, amount_minor: int, currency: str) -> None:
    """Money on the account at the provider; each test uses a currency of its own, since they share one provider."""
    paid = (await submit(provider, new_order(amount_minor=amount_minor, currency=currency))).payment
    await settled(provider, "submit", paid.provider_id)


async def test_payouts_take_what_was_collected_and_never_more(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    await collected(provider, new_order, 1_000, "chf")
    order = payout_order(new_order, amount_minor=600, currency="chf")
    accepted = (await submit(provider, order)).payment
    over = payout_order(new_order, amount_minor=401, currency="chf")
    answer = await provider.send(provider.prepare(over, over.our_reference), TIMEOUT_SECONDS)
    assert answer == Declined("the balance does not cover this payout", 402)
    paid = await settled(provider, "payout", accepted.provider_id)
    assert (paid.status, paid.amount_minor, paid.currency) == ("succeeded", 600, "chf")
    assert await provider.fetch_by_reference("payout", order.our_reference, TIMEOUT_SECONDS) == (paid,)
    assert await provider.fetch_by_reference("submit", order.our_reference, TIMEOUT_SECONDS) == ()
    book = await control.book()
    assert (book["paid_out"].get(order.our_reference), book["paid_out"].get(over.our_reference)) == (1, None)


async def test_the_same_payout_under_the_same_key_pays_once(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    await collected(provider, new_order, 1_000, "sek")
    order = payout_order(new_order, amount_minor=500, currency="sek")
    request = provider.prepare(order, "the-payout-key")
    answers = await asyncio.gather(*(provider.send(request, TIMEOUT_SECONDS) for _ in range(10)))
    assert len({answer.payment.provider_id for answer in answers if isinstance(answer, Accepted)}) == 1
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert (await control.book())["paid_out"][order.our_reference] == 1


async def test_a_payout_that_fails_gives_its_money_back(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    await collected(provider, new_order, 1_000, "nok")
    whole = [payout_order(new_order, amount_minor=1_000, currency="nok") for _ in range(2)]
    await control.arm("fail_later", reference=whole[0].our_reference, times=1)
    failing = (await submit(provider, whole[0])).payment
    assert isinstance(await provider.send(provider.prepare(whole[1], "early"), TIMEOUT_SECONDS), Declined)
    assert (await settled(provider, "payout", failing.provider_id)).status == "failed"
    assert (await submit(provider, whole[1])).payment.status == "pending"


async def test_a_refund_holds_its_amount_until_it_fails(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    paid = (await submit(provider, new_order(amount_minor=1000))).payment
    await settled(provider, "submit", paid.provider_id)
    whole = [
        replace(new_order(amount_minor=1000), kind="refund", provider_payment_id=paid.provider_id) for _ in range(2)
    ]
    await control.arm("fail_later", operation="refund", times=1)
    failing = (await submit(provider, whole[0])).payment
    assert isinstance(await provider.send(provider.prepare(whole[1], "early"), TIMEOUT_SECONDS), Invalid)
    assert (await settled(provider, "refund", failing.provider_id)).status == "failed"
    assert (await submit(provider, whole[1])).payment.status == "pending"


@pytest.mark.parametrize("fault", LOST_AFTER_CHARGE)
async def test_an_answer_lost_after_charging_is_unknown_and_the_reference_finds_it(
    provider: Provider, control: SandboxControl, new_order: NewOrder, fault: str
) -> None:
    order = new_order()
    request = provider.prepare(order, f"{order.our_reference}-submit")
    await control.arm(fault, reference=order.our_reference, times=1)
    answer = await provider.send(request, 0.5 if fault == "timeout" else TIMEOUT_SECONDS)
    assert isinstance(answer, Unknown), answer
    assert await charges(control, order) == 1
    found = await provider.fetch_by_reference("submit", order.our_reference, TIMEOUT_SECONDS)
    again = await provider.send(request, TIMEOUT_SECONDS)
    assert isinstance(found, tuple)
    assert isinstance(again, Accepted)
    assert [payment.provider_id for payment in found] == [again.payment.provider_id]
    assert await charges(control, order) == 1


async def test_the_count_of_charges_catches_a_caller_that_makes_a_new_key_for_every_try(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    """The broken twin of the tests above."""
    order = new_order()
    await control.arm("drop_after_charge", reference=order.our_reference, times=1)
    for attempt in range(2):
        await provider.send(provider.prepare(order, f"{order.our_reference}-{attempt}"), TIMEOUT_SECONDS)
    assert await charges(control, order) == 2


@pytest.mark.parametrize("fault", LOST_BEFORE_CHARGE)
async def test_an_answer_lost_before_charging_is_just_as_unknown_and_can_be_resent(
    provider: Provider, control: SandboxControl, new_order: NewOrder, fault: str
) -> None:
    order = new_order()
    await control.arm(fault, reference=order.our_reference, times=1)
    request = provider.prepare(order, f"{order.our_reference}-submit")
    assert isinstance(await provider.send(request, TIMEOUT_SECONDS), Unknown)
    assert await charges(control, order) == 0
    assert await provider.fetch_by_reference("submit", order.our_reference, TIMEOUT_SECONDS) == ()
    assert isinstance(await provider.send(request, TIMEOUT_SECONDS), Accepted)
    assert await charges(control, order) == 1


@pytest.mark.parametrize("operation", ["confirm", "refund", "payout"])
@pytest.mark.parametrize("fault", ["drop_after_charge", "half_body"])
async def test_confirms_refunds_and_payouts_lose_their_answers_too(
    provider: Provider, control: SandboxControl, new_order: NewOrder, operation: OperationKind, fault: str
) -> None:
    order = new_order(confirm=operation != "confirm")
    paid = (await submit(provider, order)).payment
    await settled(provider, "submit", paid.provider_id)
    follow = replace(new_order(amount_minor=5), kind=operation, provider_payment_id=paid.provider_id, payee="ann")
    await control.arm(fault, operation=operation, times=1)
    request = provider.prepare(follow, f"{follow.our_reference}-{operation}")
    assert isinstance(await provider.send(request, TIMEOUT_SECONDS), Unknown)
    assert isinstance(await provider.send(request, TIMEOUT_SECONDS), Accepted)
    book = await control.book()
    moved = {**book["refunded"], **book["paid_out"], **book["charges"]}
    assert moved[order.our_reference if operation == "confirm" else follow.our_reference] == 1


async def test_a_delayed_order_is_unknown_in_time_and_charged_late(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    order = new_order()
    await control.arm("delay", reference=order.our_reference, seconds=0.6, times=1)
    started = time.monotonic()
    answer = await provider.send(provider.prepare(order, order.our_reference), 0.2)
    assert isinstance(answer, Unknown)
    assert time.monotonic() - started < 0.5
    assert await charges(control, order) == 0

    async def charged() -> bool:
        return await charges(control, order) == 1

    assert await eventually(charged)


async def test_a_decline_is_evidence_is_not_saved_and_charges_nothing(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    order = new_order()
    await control.arm("decline", reference=order.our_reference, times=1)
    request = provider.prepare(order, order.our_reference)
    assert await provider.send(request, TIMEOUT_SECONDS) == Declined("the payment was declined", 402)
    assert await charges(control, order) == 0
    assert not provider.facts.saves_errors
    assert isinstance(await provider.send(request, TIMEOUT_SECONDS), Accepted)


async def test_what_was_charged_is_never_declined_by_a_repeat(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    order = new_order()
    first = await submit(provider, order)
    for fault in ("decline", "invalid"):
        await control.arm(fault, reference=order.our_reference, times=1)
        assert (await submit(provider, order)).payment.provider_id == first.payment.provider_id


async def test_a_refused_request_is_invalid(provider: Provider, control: SandboxControl, new_order: NewOrder) -> None:
    order = new_order()
    await control.arm("invalid", reference=order.our_reference)
    answer = await provider.send(provider.prepare(order, order.our_reference), TIMEOUT_SECONDS)
    assert answer == Invalid("the request was refused", 422)
    assert await charges(control, order) == 0


async def test_too_many_requests_is_transient_but_not_provably_unsent(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    order = new_order()
    await control.arm("rate_limit", reference=order.our_reference)
    answer = await provider.send(provider.prepare(order, order.our_reference), TIMEOUT_SECONDS)
    assert answer == Transient("too many requests", sent="maybe", retry_after_seconds=1.0)
    assert await charges(control, order) == 0


async def test_a_refused_connection_is_provably_not_sent(own_sandbox: SandboxProcess, new_order: NewOrder) -> None:
    provider = RestProvider(own_sandbox.url, own_sandbox.api_key)
    own_sandbox.kill9()
    since = datetime.now(UTC)
    answers = [
        await provider.send(provider.prepare(new_order(), "k"), TIMEOUT_SECONDS),
        await provider.fetch("submit", "sbxpay_a", TIMEOUT_SECONDS),
        await provider.fetch_by_reference("submit", "pay_a", TIMEOUT_SECONDS),
        await provider.statement(since, since + timedelta(days=1), TIMEOUT_SECONDS),
    ]
    assert answers == [Transient("no connection", sent="no")] * 4
    await provider.close()


async def test_a_wrong_key_is_unknown_and_never_invalid(sandbox: SandboxProcess, new_order: NewOrder) -> None:
    provider = RestProvider(sandbox.url, "not the key")
    answer = await provider.send(provider.prepare(new_order(), "k"), TIMEOUT_SECONDS)
    assert answer == Unknown("HTTP 401", 401)
    assert await provider.fetch_by_reference("submit", "pay_a", TIMEOUT_SECONDS) == Unknown("HTTP 401", 401)
    await provider.close()


async def test_not_found_is_an_answer_of_its_own(provider: Provider) -> None:
    assert await provider.fetch("submit", "sbxpay_absent", TIMEOUT_SECONDS) == NotFound()
    assert await provider.fetch("refund", "sbxref_absent", TIMEOUT_SECONDS) == NotFound()
    assert await provider.fetch("payout", "sbxpo_absent", TIMEOUT_SECONDS) == NotFound()
    assert await provider.fetch_by_reference("submit", "pay_absent", TIMEOUT_SECONDS) == ()


async def test_a_charge_can_be_invisible_for_a_while(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    order = new_order()
    await control.arm("not_found_for", reference=order.our_reference, seconds=0.5)
    accepted = (await submit(provider, order)).payment
    assert await provider.fetch("submit", accepted.provider_id, TIMEOUT_SECONDS) == NotFound()
    assert await provider.fetch_by_reference("submit", order.our_reference, TIMEOUT_SECONDS) == ()
    assert await charges(control, order) == 1

    async def found() -> object:
        return await provider.fetch_by_reference("submit", order.our_reference, TIMEOUT_SECONDS)

    assert await eventually(found)


async def test_a_payment_accepted_now_can_fail_later(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    order = new_order()
    await control.arm("fail_later", reference=order.our_reference)
    accepted = (await submit(provider, order)).payment
    assert accepted.status == "pending"
    assert (await settled(provider, "submit", accepted.provider_id)).status == "failed"
    assert await charges(control, order) == 0


@pytest.mark.parametrize("fault", [*LOST_AFTER_CHARGE, *LOST_BEFORE_CHARGE])
async def test_a_fetch_that_is_not_answered_usably_is_unknown_not_absent(
    provider: Provider, control: SandboxControl, new_order: NewOrder, fault: str
) -> None:
    order = new_order()
    accepted = (await submit(provider, order)).payment
    await control.arm(fault, operation="fetch", reference=order.our_reference)
    timeout = 0.3 if fault == "timeout" else TIMEOUT_SECONDS
    assert isinstance(await provider.fetch("submit", accepted.provider_id, timeout), Unknown)
    assert isinstance(await provider.fetch_by_reference("submit", order.our_reference, timeout), Unknown)


async def test_the_statement_has_every_movement_of_the_period_once_oldest_first(
    own_sandbox: SandboxProcess, new_order: NewOrder
) -> None:
    provider, control = RestProvider(own_sandbox.url, own_sandbox.api_key, payouts=True), own_sandbox.control()
    await control.change_settings(webhook_delay_seconds=0)
    since = datetime.now(UTC) - timedelta(seconds=1)
    orders = [new_order() for _ in range(230)]
    paid = []
    for start in range(0, len(orders), 10):
        paid += await asyncio.gather(*(submit(provider, order) for order in orders[start : start + 10]))
    back = replace(new_order(amount_minor=7), kind="refund", provider_payment_id=paid[0].payment.provider_id)
    refund = await submit(provider, back)
    out = await submit(provider, payout_order(new_order, amount_minor=9))
    await submit(provider, new_order(confirm=False))
    until = datetime.now(UTC) + timedelta(seconds=1)
    lines = await provider.statement(since, until, TIMEOUT_SECONDS)
    assert isinstance(lines, list)
    assert len({line.line_id for line in lines}) == len(lines) == 232
    assert [line.occurred_at for line in lines] == sorted(line.occurred_at for line in lines)
    assert {order.our_reference for order in [*orders, back]} < {line.our_reference for line in lines}
    [given] = [line for line in lines if line.kind == "refund"]
    assert (given.amount_minor, given.provider_id) == (-7, refund.payment.provider_id)
    [gone] = [line for line in lines if line.kind == "payout"]
    assert (gone.amount_minor, gone.provider_id) == (-9, out.payment.provider_id)
    assert {(line.kind, line.amount_minor, line.currency) for line in lines if line not in (given, gone)} == {
        ("charge", 2500, "usd")
    }
    assert await provider.statement(until, until + timedelta(days=1), TIMEOUT_SECONDS) == []
    await control.close()
    await provider.close()
