"""The book survives kill -9 in the middle of traffic: what was answered is there, what is repeated charges once."""

import asyncio
import random
from collections.abc import Callable

from paywarden.providers.port import Accepted, Order
from paywarden.providers.rest import RestProvider
from tests.contract.waiting import eventually
from tests.sandbox_process import SandboxProcess

KILLS = 5
CLIENTS = 12
ORDERS = 200
NewOrder = Callable[..., Order]


async def send_until_answered(provider: RestProvider, order: Order, key_of_attempt: Callable[[Order, int], str]) -> str:
    """What a caller does whose every answer may be lost: repeat, until the provider says it has it."""
    for attempt in range(10_000):
        answer = await provider.send(provider.prepare(order, key_of_attempt(order, attempt)), 5.0)
        if isinstance(answer, Accepted):
            return answer.payment.provider_id
        await asyncio.sleep(0.01)
    raise AssertionError("never answered")


async def traffic(
    sandbox: SandboxProcess, orders: list[Order], key_of_attempt: Callable[[Order, int], str]
) -> dict[str, str]:
    """Send every order with several clients while the sandbox is killed again and again; who was answered what."""
    provider = RestProvider(sandbox.url, sandbox.api_key)
    control = sandbox.control()
    await control.arm("drop_after_charge", rate=0.1)
    queue, answered = list(orders), dict[str, str]()

    async def client() -> None:
        while queue:
            order = queue.pop()
            answered[order.our_reference] = await send_until_answered(provider, order, key_of_attempt)

    async def killer() -> None:
        for kill in range(KILLS):
            goal = len(orders) * (kill + 1) // (KILLS + 1) + random.randrange(5)

            async def reached(goal: int = goal) -> bool:
                return len(answered) >= goal

            await eventually(reached, 30)
            await asyncio.to_thread(sandbox.kill9)
            await asyncio.to_thread(sandbox.restart)
            await control.arm("drop_after_charge", rate=0.1)

    await asyncio.gather(killer(), *(client() for _ in range(CLIENTS)))
    await control.close()
    await provider.close()
    return answered


async def charges_of(sandbox: SandboxProcess) -> tuple[dict[str, int], set[str]]:
    control = sandbox.control()
    book = await control.book()
    await control.close()
    return book["charges"], {payment["id"] for payment in book["payments"]}


async def test_after_every_kill_each_order_is_charged_exactly_once(
    own_sandbox: SandboxProcess, new_order: NewOrder
) -> None:
    orders = [new_order() for _ in range(ORDERS)]
    answered = await traffic(own_sandbox, orders, lambda order, attempt: order.our_reference)
    own_sandbox.kill9()
    own_sandbox.restart()
    charges, ids = await charges_of(own_sandbox)
    assert charges == {order.our_reference: 1 for order in orders}
    assert set(answered.values()) == ids


async def test_the_same_traffic_with_a_key_for_every_attempt_is_seen_to_charge_twice(
    own_sandbox: SandboxProcess, new_order: NewOrder
) -> None:
    """The broken twin: the book must be able to say no."""
    orders = [new_order() for _ in range(ORDERS)]
    await traffic(own_sandbox, orders, lambda order, attempt: f"{order.our_reference}-{attempt}")
    charges, _ = await charges_of(own_sandbox)
    assert sum(charges.values()) > len(orders)
