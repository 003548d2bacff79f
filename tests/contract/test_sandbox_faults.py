"""Arming faults: by match, by operation, by count, by rate, and by a word in a text."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from paywarden.providers.port import Accepted, Answer, Declined, Order, Provider, Unknown
from paywarden.sandbox.control import SandboxControl
from paywarden.sandbox.faults import MONEY_ONLY, Fault
from tests.sandbox_process import SandboxProcess

NewOrder = Callable[..., Order]


async def send(provider: Provider, order: Order) -> Answer:
    return await provider.send(provider.prepare(order, f"{order.our_reference}-{order.kind}"), 5.0)


async def test_a_fault_strikes_only_what_it_matches(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    named, other, customer = new_order(), new_order(), new_order(customer="user_unlucky")
    await control.arm("decline", reference=named.our_reference)
    await control.arm("decline", customer="user_unlucky")
    assert isinstance(await send(provider, other), Accepted)
    assert isinstance(await send(provider, named), Declined)
    assert isinstance(await send(provider, customer), Declined)
    await control.disarm()
    assert isinstance(await send(provider, named), Accepted)


async def test_a_fault_strikes_as_often_as_it_is_told(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    await control.arm("decline", times=2)
    answers = [await send(provider, new_order()) for _ in range(4)]
    assert [type(answer) for answer in answers] == [Declined, Declined, Accepted, Accepted]


async def test_a_fault_of_one_operation_leaves_the_others_alone(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    await control.arm("error_500_before_charge", operation="confirm")
    order = new_order(confirm=False)
    prepared = await send(provider, order)
    assert isinstance(prepared, Accepted)
    confirm = replace(order, kind="confirm", provider_payment_id=prepared.payment.provider_id)
    assert isinstance(await send(provider, confirm), Unknown)
    assert await provider.fetch_by_reference("submit", order.our_reference, 5.0) == (
        replace(prepared.payment, raw=prepared.payment.raw),
    )


async def test_a_fault_without_an_operation_spares_fetches(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    await control.arm("drop_before_charge")
    assert isinstance(await send(provider, new_order()), Unknown)
    assert await provider.fetch_by_reference("submit", "pay_absent", 5.0) == ()


async def test_a_rate_strikes_about_that_share(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    """Of 300 at 30 %, fewer than 40 or more than 150 would be more than six standard deviations away."""
    await control.arm("drop_after_charge", rate=0.3)
    orders = [new_order() for _ in range(300)]
    # Few at a time: on a busy machine the last of many would be unknown because nobody waits so long.
    answers = [
        answer
        for start in range(0, len(orders), 10)
        for answer in await asyncio.gather(*(send(provider, order) for order in orders[start : start + 10]))
    ]
    assert 40 < sum(isinstance(answer, Unknown) for answer in answers) < 150
    charges = (await control.book())["charges"]
    assert all(charges[order.our_reference] == 1 for order in orders)


async def test_a_word_in_a_text_strikes_the_first_try_only(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    for order in (new_order(customer="fault:drop_before_charge"), new_order(description="try fault:half_body now")):
        assert isinstance(await send(provider, order), Unknown)
        assert isinstance(await send(provider, order), Accepted)
        assert (await control.book())["charges"][order.our_reference] == 1
    assert isinstance(await send(provider, new_order(customer="fault:of_mine")), Accepted)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"fault": "meteor"},
        {"fault": "decline", "rate": 1.1},
        {"fault": "decline", "rate": True},
        {"fault": "decline", "times": 0},
        {"fault": "decline", "times": 1.0},
        {"fault": "decline", "seconds": -1},
        {"fault": "decline", "operation": "steal"},
        {"fault": "decline", "match": {"colour": "red"}},
        {"fault": "decline", "match": "all"},
        *({"fault": fault, "operation": "fetch"} for fault in sorted(MONEY_ONLY)),
    ],
)
async def test_a_fault_that_cannot_be_is_refused(
    sandbox: SandboxProcess, provider: Provider, new_order: NewOrder, body: dict[str, object]
) -> None:
    assert (await _control(sandbox, "faults", body)).status_code == 400
    assert isinstance(await send(provider, new_order()), Accepted)


@pytest.mark.parametrize(
    "body",
    [
        {"colour": "red"},
        {"clock_offset_ms": 5},
        {"webhook_delay_seconds": None},
        {"webhook_delay_seconds": "2"},
        {"duplicate_webhooks": -1},
        {"duplicate_webhooks": True},
        {"shuffle_webhooks": 1},
        {"webhook_url": "file:///etc/passwd"},
    ],
)
async def test_a_setting_that_cannot_be_is_refused(sandbox: SandboxProcess, body: dict[str, object]) -> None:
    assert (await _control(sandbox, "settings", body)).status_code == 400


async def _control(sandbox: SandboxProcess, path: str, body: dict[str, object]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    async with httpx.AsyncClient(base_url=sandbox.url, headers=headers, trust_env=False) as client:
        return await client.post(f"/_sandbox/{path}", json=body)


async def test_every_fault_can_be_armed_and_ends(
    provider: Provider, control: SandboxControl, new_order: NewOrder
) -> None:
    for fault in Fault:
        order = new_order()
        await control.arm(fault, reference=order.our_reference, times=1, seconds=0)
        await send(provider, order)
        assert isinstance(await send(provider, order), Accepted), fault
        assert (await control.book())["charges"].get(order.our_reference, 0) == (0 if fault == "fail_later" else 1)
