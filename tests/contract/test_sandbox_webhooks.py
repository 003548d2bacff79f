"""The sandbox's events: signed, after the answer, repeated until taken, in any order, across a restart."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from paywarden.providers.port import Accepted, Found, Order, Provider, SignatureError
from paywarden.providers.rest import RestProvider
from paywarden.sandbox.control import SandboxControl
from tests.contract.receiver import Delivery, Receiver
from tests.contract.waiting import eventually
from tests.sandbox_process import SandboxProcess

NewOrder = Callable[..., Order]


async def send(provider: Provider, order: Order) -> str:
    answer = await provider.send(provider.prepare(order, f"{order.our_reference}-{order.kind}"), 5.0)
    assert isinstance(answer, Accepted), answer
    return answer.payment.provider_id


async def nothing_left(control: SandboxControl) -> None:
    """Every delivery of the sandbox has been taken."""

    async def look() -> bool:
        return (await control.book())["undelivered"] == 0

    await eventually(look)


@pytest.fixture
async def told(control: SandboxControl, receiver: Receiver) -> Receiver:
    """The receiver, which has already been told all that other tests left."""
    await control.change_settings(webhook_url=receiver.url)
    await nothing_left(control)
    receiver.deliveries.clear()
    return receiver


async def test_an_event_is_signed_and_says_what_happened(
    sandbox: SandboxProcess, provider: Provider, told: Receiver, new_order: NewOrder
) -> None:
    order = new_order(amount_minor=4200, currency="eur")
    provider_id = await send(provider, order)
    [delivery] = await told.wait_for(1, order.our_reference)
    event = provider.parse_event(delivery.body, delivery.signature, sandbox.webhook_secret)
    assert (event.event_type, event.object_kind, event.status) == ("payment.succeeded", "payment", "succeeded")
    assert (event.provider_id, event.our_reference) == (provider_id, order.our_reference)
    assert (event.amount_minor, event.currency) == (4200, "eur")
    assert event.event_key == delivery.event["id"]
    assert event.occurred_at is not None
    with pytest.raises(SignatureError):
        provider.parse_event(delivery.body, delivery.signature, "another secret")
    found = await provider.fetch("submit", provider_id, 5.0)
    assert isinstance(found, Found)
    assert found.payment.status == "succeeded"


async def test_without_confirmation_there_is_no_event_and_with_it_one(
    provider: Provider, control: SandboxControl, told: Receiver, new_order: NewOrder
) -> None:
    order = new_order(confirm=False)
    provider_id = await send(provider, order)
    assert (await control.book())["undelivered"] == 0
    confirm = replace(order, kind="confirm", provider_payment_id=provider_id)
    for key in ("first", "second"):
        assert isinstance(await provider.send(provider.prepare(confirm, order.our_reference + key), 5.0), Accepted)
    await nothing_left(control)
    [delivery] = told.about(order.our_reference)
    assert delivery.event["type"] == "payment.succeeded"


async def test_refunds_and_failures_are_told(
    sandbox: SandboxProcess, provider: Provider, control: SandboxControl, told: Receiver, new_order: NewOrder
) -> None:
    failing, order = new_order(), new_order()
    await control.arm("fail_later", reference=failing.our_reference)
    await send(provider, failing)
    provider_id = await send(provider, order)
    await told.wait_for(1, order.our_reference)
    back, back_failing = (
        replace(new_order(amount_minor=5), kind="refund", provider_payment_id=provider_id) for _ in range(2)
    )
    await control.arm("fail_later", reference=back_failing.our_reference)
    refund_ids = {one.our_reference: await send(provider, one) for one in (back, back_failing)}
    deliveries = await told.wait_for(3, failing.our_reference, back.our_reference, back_failing.our_reference)
    events = [provider.parse_event(one.body, one.signature, sandbox.webhook_secret) for one in deliveries]
    assert {(event.our_reference, event.event_type) for event in events} == {
        (failing.our_reference, "payment.failed"),
        (back.our_reference, "refund.succeeded"),
        (back_failing.our_reference, "refund.failed"),
    }
    assert {event.our_reference: event.provider_id for event in events if event.object_kind == "refund"} == refund_ids


async def test_an_event_is_repeated_until_it_is_taken(
    provider: Provider, control: SandboxControl, told: Receiver, new_order: NewOrder
) -> None:
    told.statuses = [500, 302]
    order = new_order()
    await send(provider, order)
    deliveries = await told.wait_for(3, order.our_reference)
    assert [delivery.status for delivery in deliveries] == [500, 302, 200]
    assert len({(delivery.body, delivery.signature) for delivery in deliveries}) == 1
    await nothing_left(control)
    assert len(told.about(order.our_reference)) == 3


async def test_an_event_outlives_a_receiver_that_is_down_and_a_killed_sandbox(
    own_sandbox: SandboxProcess, receiver: Receiver, new_order: NewOrder
) -> None:
    provider, control = RestProvider(own_sandbox.url, own_sandbox.api_key), own_sandbox.control()
    await control.change_settings(webhook_url=receiver.url)
    await receiver.close()
    orders = [new_order() for _ in range(5)]
    for order in orders:
        await send(provider, order)
    own_sandbox.kill9()
    own_sandbox.restart()
    await receiver.open()
    deliveries = await receiver.wait_for(5, *(order.our_reference for order in orders))
    assert {delivery.reference for delivery in deliveries} == {order.our_reference for order in orders}
    await nothing_left(control)
    await control.close()
    await provider.close()


async def test_events_can_be_duplicated_and_shuffled(
    provider: Provider, control: SandboxControl, told: Receiver, new_order: NewOrder
) -> None:
    await control.change_settings(duplicate_webhooks=2, shuffle_webhooks=True)
    orders = [new_order() for _ in range(20)]
    for order in orders:
        await send(provider, order)
    references = [order.our_reference for order in orders]
    deliveries = await told.wait_for(60, *references)
    await nothing_left(control)
    assert Counter(one.reference for one in deliveries) == Counter(dict.fromkeys(references, 3))
    assert len({one.event["id"] for one in deliveries}) == 20
    assert first_seen(deliveries) != references


async def test_in_order_is_how_they_come_when_not_shuffled(
    provider: Provider, control: SandboxControl, told: Receiver, new_order: NewOrder
) -> None:
    """The twin of the test above: without the setting the same check finds them in order, once each."""
    orders = [new_order() for _ in range(5)]
    for number, order in enumerate(orders):
        await send(provider, order)
        await told.wait_for(number + 1, *(one.our_reference for one in orders))
    await nothing_left(control)
    assert first_seen(told.deliveries) == [order.our_reference for order in orders]
    assert len(told.deliveries) == 5


def first_seen(deliveries: list[Delivery]) -> list[str | None]:
    return list(dict.fromkeys(delivery.reference for delivery in deliveries))


async def test_one_event_can_be_repeated_withheld_or_resent(
    provider: Provider, control: SandboxControl, told: Receiver, new_order: NewOrder
) -> None:
    twice, never = new_order(), new_order()
    await control.arm("duplicate_webhook", reference=twice.our_reference)
    await control.arm("no_webhook", reference=never.our_reference)
    silent_id = await send(provider, never)
    await send(provider, twice)
    assert len(await told.wait_for(2, twice.our_reference)) == 2
    await nothing_left(control)
    found = await provider.fetch("submit", silent_id, 5.0)
    assert isinstance(found, Found)
    assert found.payment.status == "succeeded"
    assert told.about(never.our_reference) == []
    assert await control.resend_webhooks(twice.our_reference) == 1
    assert len(await told.wait_for(3, twice.our_reference)) == 3


async def test_the_first_attempt_comes_two_seconds_after_the_answer_unless_told_otherwise(
    own_sandbox: SandboxProcess, receiver: Receiver, new_order: NewOrder
) -> None:
    """Told by the clock: nothing is due just before two seconds have passed, everything just after."""
    own_sandbox.stop()
    own_sandbox.data_dir = own_sandbox.data_dir.with_name("untold")
    own_sandbox.webhook_delay_seconds, own_sandbox.webhook_url = None, receiver.url
    own_sandbox.restart()
    provider, control = RestProvider(own_sandbox.url, own_sandbox.api_key), own_sandbox.control()
    assert (await control.change_settings())["webhook_delay_seconds"] == 2.0
    order = new_order()
    provider_id = await send(provider, order)
    await control.advance_clock(1.0)
    found = await provider.fetch("submit", provider_id, 5.0)
    assert isinstance(found, Found)
    assert found.payment.status == "pending"
    assert receiver.deliveries == []
    await control.advance_clock(1.0)
    await receiver.wait_for(1, order.our_reference)
    await control.close()
    await provider.close()
