"""One key, one effect, whoever asks how often (R14); and a retry without a key is held for a person (R15)."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from paywarden.guardrails import duplicate_store
from tests.doors.door import Caller, Door

CLIENTS, KEYS = 20, 10
CHARGE = {"kind": "charge", "amount_minor": 2500, "currency": "usd", "purpose": "order"}


async def race(callers: list[Caller], key: str, body: dict[str, Any]) -> list[httpx.Response]:
    """The same request from all callers at once."""
    return await asyncio.gather(*(caller.post("/v1/payments", body, key=key) for caller in callers))


async def test_many_clients_with_one_key_have_one_effect(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        for number in range(KEYS):
            body = {**CHARGE, "customer": f"cust_{number}"}
            answers = await race([admin] * CLIENTS, f"key-{number}", body)
            statuses = Counter(answer.status_code for answer in answers)
            assert set(statuses) <= {201, 409}, [answer.text for answer in answers if answer.status_code >= 400]
            taken = [answer for answer in answers if answer.status_code == 201]
            assert len({answer.json()["id"] for answer in taken}) == 1
            assert sum("Idempotent-Replayed" not in answer.headers for answer in taken) == 1
            for answer in answers:
                if answer.status_code == 409:
                    assert answer.json()["code"] == "idempotency_in_progress"
                    assert int(answer.headers["Retry-After"]) >= 1
            replay = await admin.post("/v1/payments", body, key=f"key-{number}")
            assert (replay.status_code, replay.json()["id"]) == (201, taken[0].json()["id"])
    assert await door.count("payments") == KEYS
    assert await door.count("operations") == KEYS


async def test_one_key_names_one_request_of_one_principal_of_one_tenant(door: Door) -> None:
    other_tenant = await door.tenant("acme")
    async with door.caller(await door.admin_key()) as admin, door.caller(other_tenant) as acme:
        agent = (await admin.post("/v1/agents", {"name": "bot", "roles": ["initiate"]})).json()["id"]
        secret = (await admin.post("/v1/keys", {"principal": agent})).json()["secret"]
        body = {**CHARGE, "customer": "c"}
        first = (await admin.post("/v1/payments", body, key="k")).json()["id"]
        theirs = (await acme.post("/v1/payments", body, key="k")).json()["id"]
        async with door.caller(secret) as bot:
            denied = await bot.post("/v1/payments", body, key="k")
            assert denied.json()["rule"] == "no_mandate"
        assert len({first, theirs, denied.json()["payment"]}) == 3
        for other in ({**body, "amount_minor": 2501}, {**body, "reference": "r"}, {**body, "customer": "d"}):
            reused = await admin.post("/v1/payments", other, key="k")
            assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
        elsewhere = await admin.post(f"/v1/payments/{first}/refund", {"amount_minor": 1, "currency": "usd"}, key="k")
        assert elsewhere.status_code == 422


async def test_the_query_is_part_of_the_request(door: Door) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await door.post("/agents/a/reserve?amount_cents=100", **headers)
    assert (await door.post("/agents/a/reserve?amount_cents=100", **headers)).json() == first.json()
    assert (await door.post("/agents/a/reserve?amount_cents=101", **headers)).status_code == 422
    assert (await door.post("/agents/b/reserve?amount_cents=100", **headers)).status_code == 422


async def test_what_was_refused_before_it_was_stored_does_not_use_up_the_key(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        refused = await admin.post("/v1/payments", {**CHARGE, "customer": "c", "amount_minor": 0}, key="k")
        assert refused.status_code == 400
        assert (await admin.post("/v1/payments", {**CHARGE, "customer": "c"}, key="k")).status_code == 201


async def retried(door: Door) -> tuple[list[int], list[int]]:
    """Statuses of retries of the same payment at once and again, and of payments that differ in their reference."""
    payment = {"user_id": "u", "amount_cents": 700, "currency": "usd", "reference": "same"}
    at_once = await asyncio.gather(*(door.post("/payments", payment) for _ in range(10)))
    later = await door.post("/payments", payment)
    distinct = [await door.post("/payments", {**payment, "reference": f"order-{n}"}) for n in range(10)]
    return sorted(answer.status_code for answer in [*at_once, later]), [answer.status_code for answer in distinct]


async def test_a_retry_without_a_key_is_held_and_distinct_references_are_not(door: Door) -> None:
    same, distinct = await retried(door)
    assert same == [200] + [202] * 10
    assert distinct == [200] * 10
    assert await door.count("operations") == 11


async def test_the_check_notices_a_missing_duplicate_guard(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: nothing was ever seen before."""

    async def never_seen(*_: Any, **__: Any) -> bool:
        return False

    monkeypatch.setattr(duplicate_store, "suspect", never_seen)
    same, _ = await retried(door)
    assert same.count(200) > 1
