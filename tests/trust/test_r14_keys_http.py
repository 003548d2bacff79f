"""R14: one key, many clients: one effect each; another body is refused; a key belongs to its principal and tenant."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.stack import Stack

pytestmark = pytest.mark.timeout(180)

CLIENTS, KEYS = 50, 10
CHARGE = {"kind": "charge", "amount_minor": 700, "currency": "usd", "customer": "c", "purpose": "order"}


@asynccontextmanager
async def clients(stack: Stack, number: int) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Callers with a connection each."""
    async with AsyncExitStack() as opened:
        yield [await opened.enter_async_context(stack.async_client()) for _ in range(number)]


def order(key: str, amount_cents: int = 900) -> dict[str, Any]:
    return {"user_id": "r14", "amount_cents": amount_cents, "currency": "usd", "reference": key}


async def attack(stack: Stack, keys: list[str], callers: int) -> dict[str, Any]:
    """Every caller asks with every key, all at once for a key, and once more when it is over."""
    seen: dict[str, Any] = {"other answers": [], "payments": {}, "not replayed": []}
    async with clients(stack, callers) as opened:
        for key in keys:
            asked = [http.post("/payments", json=order(key), headers={"Idempotency-Key": key}) for http in opened]
            for answer in await asyncio.gather(*asked):
                _note(seen, key, answer)
            later = await opened[0].post("/payments", json=order(key), headers={"Idempotency-Key": key})
            _note(seen, key, later)
            if later.headers.get("idempotent-replayed") != "true":
                seen["not replayed"].append(key)
    control = stack.sandbox()
    charges = (await control.book())["charges"]
    await control.close()
    seen["charges"] = [sum(charges.get(payment, 0) for payment in seen["payments"][key]) for key in keys]
    return seen


def _note(seen: dict[str, Any], key: str, answer: httpx.Response) -> None:
    if answer.status_code == 200:
        seen["payments"].setdefault(key, set()).add(answer.json()["payment_id"])
    elif answer.status_code != 409 or answer.json()["code"] != "idempotency_in_progress":
        seen["other answers"].append(answer.text)
    elif not answer.headers.get("retry-after", "").isdigit():
        seen["other answers"].append("409 without Retry-After")


async def test_fifty_clients_and_ten_keys_are_ten_payments(stack: Stack) -> None:
    keys = [f"r14-{number}" for number in range(KEYS)]
    seen = await attack(stack, keys, CLIENTS)
    assert (seen["other answers"], seen["not replayed"]) == ([], [])
    assert [len(seen["payments"][key]) for key in keys] == [1] * KEYS
    assert seen["charges"] == [1] * KEYS


async def test_a_key_that_is_new_for_everybody_is_caught(broken_stack: Stack) -> None:
    seen = await attack(broken_stack, ["r14-twin"], 10)
    assert len(seen["payments"]["r14-twin"]) > 1
    assert seen["charges"] != [1]


async def test_another_request_under_the_same_key_is_refused(stack: Stack) -> None:
    key = {"Idempotency-Key": "r14-other"}
    async with clients(stack, 1) as (http,):
        first = await http.post("/payments", json=order("r14-other"), headers=key)
        assert first.status_code == 200
        job = {"agent_id": "r14", "amount_cents": 900, "currency": "usd"}
        others = [
            await http.post("/payments", json=order("r14-other", 901), headers=key),
            await http.post("/payments/create", json=job, headers=key),
            await http.post("/agents/r14/reserve", params={"amount_cents": 900}, headers=key),
        ]
    assert [(one.status_code, one.json()["code"]) for one in others] == [(422, "idempotency_key_reused")] * 3


async def test_where_a_key_is_required_its_absence_is_named_and_nothing_is_stored(stack: Stack) -> None:
    with stack.administrator() as http:
        # What other tests of this service asked for may still move on.
        before = [payment["id"] for payment in http.get("/v1/payments").json()["data"]]
        answer = http.post("/v1/payments", json=CHARGE)
        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
        assert [payment["id"] for payment in http.get("/v1/payments").json()["data"]] == before


async def test_the_same_key_in_two_tenants_and_of_two_principals_is_independent(stack: Stack) -> None:
    made = stack.command("tenant", "create", "second", "--json", "--data", str(stack.data))
    assert made.returncode == 0, made.stderr
    second = json.loads(made.stdout)["admin_key"]
    with stack.administrator() as admin, stack.client(headers={"Authorization": f"Bearer {second}"}) as other:
        _give_mandate(other)
        colleague = admin.post("/v1/agents", json={"kind": "agent", "name": "r14", "roles": ["initiate"]}).json()
        _give_mandate(admin, colleague["id"])
        key = admin.post("/v1/keys", json={"principal": colleague["id"]}).json()["secret"]
        with stack.client(headers={"Authorization": f"Bearer {key}"}) as agent:
            answers = [
                http.post("/v1/payments", json=CHARGE, headers={"Idempotency-Key": "r14-shared"})
                for http in (admin, other, agent) * 2
            ]
    assert {answer.status_code for answer in answers} <= {200, 201, 202}, [answer.text for answer in answers]
    ids = [answer.json()["id"] for answer in answers]
    assert len(set(ids)) == 3
    assert ids[:3] == ids[3:]


def _give_mandate(http: httpx.Client, principal: str | None = None) -> None:
    """A mandate for somebody of this tenant, its administrator unless told otherwise."""
    if principal is None:
        (principal,) = [one["id"] for one in http.get("/v1/agents").json()["data"] if one["kind"] == "person"]
    lines = [{"currency": "usd", "window": window, "limit_minor": 10_000} for window in ("payment", "day")]
    body = {"principal": principal, "name": "m", "kinds": ["charge"], "limits": lines, "timezone": "UTC"}
    http.post("/v1/mandates", json=body).raise_for_status()
