"""R15: a retry as a new call. The same request without a key is held for a person; a distinct reference is not."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.stack import Stack

pytestmark = pytest.mark.timeout(180)

ORDERS, COPIES = 12, 5


def order(name: str, **changes: Any) -> dict[str, Any]:
    return {"user_id": f"r15-{name}", "amount_cents": 1200, "currency": "usd", "reference": name} | changes


async def ask(stack: Stack, bodies: list[dict[str, Any]], path: str = "/payments") -> list[httpx.Response]:
    """All at once, each over a connection of its own as far as possible."""
    async with stack.async_client() as http:
        return await asyncio.gather(*(http.post(path, json=body) for body in bodies))


async def attack(stack: Stack, orders: int) -> dict[str, Any]:
    """Each order is asked for several times at once, and once more later."""
    names = [f"twice-{number}" for number in range(orders)]
    first = {name: await ask(stack, [order(name)] * COPIES) for name in names}
    later = {name: await ask(stack, [order(name)]) for name in names}
    taken = [answer for name in names for answer in first[name] + later[name] if answer.status_code == 200]
    held = [answer for name in names for answer in first[name] + later[name] if answer.status_code == 202]
    control = stack.sandbox()
    charges = (await control.book())["charges"]
    await control.close()
    ids = [answer.json()["payment_id"] for answer in taken + held]
    return {
        "taken": len(taken),
        "held": len(held),
        "held as": {answer.json()["status"] for answer in held},
        "distinct ids": len(set(ids)),
        "charged": sum(charges.get(name, 0) for name in ids),
    }


async def test_every_repeat_without_a_key_is_held_and_none_is_merged(stack: Stack) -> None:
    seen = await attack(stack, ORDERS)
    assert seen == {
        "taken": ORDERS,
        "held": ORDERS * COPIES,
        "held as": {"in_review"},
        "distinct ids": ORDERS * (COPIES + 1),
        "charged": ORDERS,
    }


async def test_a_guard_that_forgets_at_once_is_caught(broken_stack: Stack) -> None:
    seen = await attack(broken_stack, 2)
    assert seen["held"] < 2 * COPIES
    assert seen["charged"] > 2


async def test_what_differs_in_anything_is_not_held(stack: Stack) -> None:
    bodies = [order("apart", reference=f"apart-{number}") for number in range(20)]
    bodies += [order("apart", amount_cents=1201), order("apart", user_id="r15-else"), order("apart", reference="else")]
    bodies += [{"user_id": "r15-apart", "amount_cents": 1200, "currency": "usd"}]
    assert {answer.status_code for answer in await ask(stack, bodies)} == {200}


async def test_a_job_is_guarded_by_its_agent_and_a_bare_reservation_is_not(stack: Stack) -> None:
    job = {"agent_id": "r15-agent", "amount_cents": 4200, "currency": "usd", "reference": "job"}
    answers = await ask(stack, [job] * 3 + [job | {"agent_id": "r15-other"}], "/payments/create")
    assert sorted(answer.status_code for answer in answers) == [200, 200, 202, 202]
    async with stack.async_client() as http:
        held = [await http.post("/agents/r15-agent/reserve", params={"amount_cents": 5000}) for _ in range(3)]
    assert [(answer.status_code, answer.json()["status"]) for answer in held] == [(200, "reserved")] * 3


async def test_a_request_with_a_key_leaves_its_mark_and_consults_none(stack: Stack) -> None:
    body = order("keyed")
    with stack.client() as http:
        keyed = [http.post("/payments", json=body, headers={"Idempotency-Key": f"r15-{number}"}) for number in (1, 2)]
        keyless = http.post("/payments", json=body)
    assert [answer.status_code for answer in [*keyed, keyless]] == [200, 200, 202]
