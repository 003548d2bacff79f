"""The door on the real server over a real socket, with the provider's own webhooks: what a test client cannot show."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from paywarden.client import AsyncPaywarden, PaywardenApiError, objects
from paywarden.sandbox.control import SandboxControl
from tests.doors.door import Door

PAYMENT = {"user_id": "user_42", "amount_cents": 2500, "currency": "usd"}


async def until(local: httpx.AsyncClient, payment: str, status: str, limit_seconds: float = 20) -> dict[str, Any]:
    deadline = time.monotonic() + limit_seconds
    while (seen := (await local.get(f"/payments/{payment}")).json())["status"] != status:
        assert time.monotonic() < deadline, f"still {seen['status']}"
        await asyncio.sleep(0.05)
    return dict(seen)


@asynccontextmanager
async def settling_soon(control: SandboxControl) -> AsyncIterator[None]:
    before = await control.change_settings(webhook_delay_seconds=0.2)
    yield
    await control.change_settings(webhook_delay_seconds=before["webhook_delay_seconds"])


async def test_a_payment_succeeds_by_the_providers_own_webhook(served: Door) -> None:
    async with settling_soon(served.sandbox):
        asked = await served.post("/payments", PAYMENT)
        assert (asked.status_code, asked.json()["status"]) == (200, "pending")
        job = await served.post("/payments/create", {"agent_id": "a", "amount_cents": 4200, "currency": "usd"})
        await served.post(f"/payments/{job.json()['job_id']}/confirm")
        await until(served.local, asked.json()["payment_id"], "succeeded")
        await until(served.local, job.json()["job_id"], "paid")


async def test_the_gate_sees_the_real_connection(served: Door) -> None:
    assert (await served.post("/payments", PAYMENT)).status_code == 200
    for headers in ({"Host": "evil.example"}, {"Origin": "http://127.0.0.1"}, {"X-Forwarded-For": "127.0.0.1"}):
        assert (await served.post("/payments", PAYMENT, **headers)).status_code == 401
    by_name = await served.post("/payments", {**PAYMENT, "reference": "r"}, Host="localhost:8000")
    assert by_name.status_code == 200


async def raw(served: Door, request: bytes) -> tuple[int, bytes]:
    """Bytes on the wire, as no client library sends them: the status and the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.local.base_url.port)
    writer.write(request)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(65_536), 20)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]), answer


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def test_hostile_bytes_on_the_wire_are_refused(served: Door) -> None:
    json_type, good = b"Content-Type: application/json", json.dumps(PAYMENT).encode()
    length = b"Content-Length: %d"
    hostile = [
        post(b"/payments", b"", json_type),
        post(b"/payments", b"{", json_type, length % 1),
        post(b"/payments", good, b"Content-Type: text/plain", length % len(good)),
        post(b"/payments", good, length % len(good)),
        post(b"/payments", good, json_type, length % len(good), b"Host: 127.0.0.1"),
        post(b"/payments", good, json_type, length % len(good), b"Idempotency-Key: a b"),
        post(b"/payments", good, json_type, length % len(good), b"Idempotency-Key: \xff"),
        post(b"/payments", good, json_type, length % len(good), b"Authorization: Bearer \xff\xfe"),
        post(b"/payments", good, json_type, length % len(good), b"Origin: \xff"),
        post(b"/payments", good, json_type, b"Transfer-Encoding: chunked", length % len(good)),
        post(b"/payments", b"zz\r\n", json_type, b"Transfer-Encoding: chunked"),
        post(b"/payments?a=%ff%fe", good, json_type, length % len(good)),
        post(b"/agents/%ff%fe%00/mark-paid", b""),
        post(b"/agents/%ED%A0%80/reserve?amount_cents=%ff", b""),
        post(b"/agents/a/reserve?amount_cents=\xef\xbc\x95", b""),
        post(b"/webhooks/payments", good, b"X-Signature: \xff\xfe", length % len(good)),
        post(b"/payments/%2e%2e/%2e%2e/etc/confirm", b""),
        post(b"//payments", good, json_type, length % len(good)),
        b"GET /payments/%00%ff HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET /payments/\xff HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET /readyz HTTP/9.9\r\n\r\n",
    ]  # fmt: skip
    for request in hostile:
        status, answer = await raw(served, request)
        assert 400 <= status < 500, (request, answer)
    assert await served.count("payments") == 0
    assert (await served.get("/healthz")).status_code == 200


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read(served: Door) -> None:
    head = post(b"/payments", b"", b"Content-Type: application/json", b"Content-Length: 1000000000")
    status, answer = await raw(served, head + b"x" * 1000)
    assert (status, b"body_too_large" in answer) == (413, True)


async def test_a_caller_that_hangs_up_harms_nobody(served: Door) -> None:
    for _ in range(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.local.base_url.port)
        writer.write(post(b"/payments", b'{"user', b"Content-Type: application/json", b"Content-Length: 100"))
        await writer.drain()
        writer.close()
        del reader
    assert (await served.get("/healthz")).status_code == 200
    assert await served.count("payments") == 0


async def test_many_at_once(served: Door) -> None:
    asked = await asyncio.gather(
        *(served.post("/payments", {**PAYMENT, "reference": f"order-{number}"}) for number in range(60))
    )
    assert {answer.status_code for answer in asked} <= {200, 503}
    assert sum(answer.status_code == 200 for answer in asked) >= 30
    assert all("Retry-After" in answer.headers for answer in asked if answer.status_code == 503)


def assert_has(answer: Any, shape: type) -> None:
    """Every member that the SDK promises is there."""
    missing = set(shape.__annotations__) - set(answer)
    assert missing == set(), f"{shape.__name__} lacks {missing}"


class TestSdk:
    """The SDK and the door speak the same language, call by call."""

    async def test_payments_and_their_story(self, served: Door) -> None:
        async with AsyncPaywarden(str(served.local.base_url), await served.admin_key()) as desk:
            async with served.settling_at_once():
                charge = await desk.charge(2500, "usd", "cust_1", purpose="order", reference="order-7")
            assert_has(charge, objects.Payment)
            await until(served.local, charge["id"], "succeeded")
            refund = await desk.refund(charge["id"], 1000, "usd", request="Charged twice, please.")
            assert refund["status"] == "in_review"
            assert_has(await desk.get_payment(refund["id"]), objects.Payment)
            assert_has(await desk.list_payments(status="in_review", customer="cust_1", limit=5), objects.Page)
            assert_has(await desk.get_dossier(charge["id"]), objects.Dossier)
            check = await desk.check_payment("charge", 100, "usd", customer="cust_1")
            assert_has(check, objects.PaymentCheck)
            reviews = await desk.list_reviews()
            assert_has(reviews["data"][0], objects.Review)
            assert_has(await desk.get_review(reviews["data"][0]["id"]), objects.Review)
            with pytest.raises(PaywardenApiError) as refused:
                await desk.give_verdict(reviews["data"][0]["id"], "approve", "my own")
            assert (refused.value.code, refused.value.status) == ("forbidden", 403)
            assert (await desk.cancel_payment(refund["id"]))["status"] == "canceled"
            with pytest.raises(PaywardenApiError) as denied:
                await desk.charge(50_001, "usd", "cust_1", purpose="too much")
            assert denied.value.extra["rule"] == "mandate_payment_limit"

    async def test_memory_and_decisions(self, served: Door) -> None:
        async with AsyncPaywarden(str(served.local.base_url), await served.admin_key()) as desk:
            assert_has(await desk.add_note("cust_1", "Says she was charged twice."), objects.Note)
            found = await desk.search_notes("cust_1", "double charge", limit=2)
            assert_has(found["data"][0], objects.Note)
            decision = await desk.decide("cust_1", "Refund one of them.", 2500, "usd")
            assert_has(decision, objects.Decision)
            assert_has(await desk.get_decision(decision["id"]), objects.Decision)
            assert_has(await desk.replay_decision(decision["id"]), objects.DecisionReplay)

    async def test_authority(self, served: Door) -> None:
        async with AsyncPaywarden(str(served.local.base_url), await served.admin_key()) as desk:
            agent = await desk.create_agent("agent", "bot", ["initiate"])
            assert_has(agent, objects.Agent)
            limits: list[objects.Limit] = [{"currency": "usd", "window": "day", "limit_minor": 100}]
            mandate = await desk.create_mandate(agent["id"], "small", ["charge"], limits)
            assert_has(mandate, objects.Mandate)
            key = await desk.create_key(agent["id"], expires_in_seconds=60)
            assert_has(key, objects.NewKey)
            for listed in (desk.list_agents, desk.list_mandates, desk.list_keys):
                assert (await listed())["data"]
            assert (await desk.revoke_key(key["id"]))["status"] == "revoked"
            assert (await desk.revoke_mandate(mandate["id"]))["status"] == "revoked"
            assert (await desk.suspend_agent(agent["id"]))["status"] == "suspended"
            assert (await desk.activate_agent(agent["id"]))["status"] == "active"
            assert (await desk.suspend_tenant())["status"] == "suspended"
            assert (await desk.activate_tenant())["status"] == "active"

    async def test_the_books(self, served: Door) -> None:
        async with AsyncPaywarden(str(served.local.base_url), await served.admin_key()) as desk:
            async with served.settling_at_once():
                charge = await desk.charge(2500, "usd", "cust_1", purpose="order")
            await until(served.local, charge["id"], "succeeded")
            assert_has((await desk.list_accounts())["data"][0], objects.Account)
            assert_has((await desk.list_transfers(limit=1))["data"][0], objects.Transfer)
            assert_has((await desk.trial_balance())["data"][0], objects.TrialBalanceLine)
            assert_has(await desk.reconcile(), objects.Reconciliation)
            assert (await desk.list_discrepancies())["object"] == "list"
