"""Providers' events at the door: forged ones change nothing, true ones count once, none is lost to a failure (R11)."""

import asyncio
import hashlib
import hmac
import json
import random
from typing import Any
from uuid import UUID

import pytest

from paywarden.db.transaction import transaction
from paywarden.flow import provider_event
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit import ids
from paywarden.providers.rest import RestProvider
from paywarden.webhooks import inbox
from tests.doors.door import Door, absent_id
from tests.sandbox_process import WEBHOOK_SECRET

PAYMENT = {"user_id": "user_42", "amount_cents": 2500, "currency": "usd"}
FORGERIES = 400


def signed(body: bytes, secret: str = WEBHOOK_SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def forgeries(body: bytes, dice: random.Random) -> list[tuple[bytes, str | None]]:
    """The true body with wrong signatures, and wrong bodies with signatures of other bodies."""
    good = signed(body)
    fixed: list[tuple[bytes, str | None]] = [
        (body, None), (body, ""), (body, "0" * 64), (body, good[:-1]), (body, good + "0"), (body, good.upper() + "x"),
        (body, signed(body, "another secret")), (body, signed(body + b" ")), (body + b" ", good), (body[:-1], good),
        (body, f"sha256={good[:10]}"), (body, "\xff" * 64), (body, "é" * 32), (b"", good), (b"", signed(b"")),
        (b"{", signed(b"{")), (b"[]", signed(b"[]")), (b"null", signed(b"null")), (b"\xff", signed(b"\xff")),
        (body[:-2], signed(body[:-2])),
    ]  # fmt: skip
    while len(fixed) < FORGERIES:
        changed = bytearray(body)
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        fixed.append((bytes(changed), good))
    return fixed


async def accepted(door: Door) -> list[tuple[bytes, str | None, int]]:
    """The forged events that were not refused as such."""
    provider_id = (await door.post("/payments", PAYMENT)).json()["provider_payment_id"]
    body = json.dumps({"id": "evt_1", "type": "payment.succeeded", "data": {"id": provider_id}}).encode()
    found = []
    for forged, signature in forgeries(body, random.Random(11)):
        headers = [(b"Content-Type", b"application/json")]
        headers += [] if signature is None else [(b"X-Signature", signature.encode("latin-1", "replace"))]
        answer = await door.local.post("/webhooks/payments", content=forged, headers=headers)
        if answer.status_code != 400 or answer.json()["code"] != "webhook_refused":
            found.append((forged, signature, answer.status_code))
    return found


async def test_forged_and_malformed_events_change_nothing(door: Door) -> None:
    assert await accepted(door) == []
    assert await door.count("webhook_inbox") == 0
    page = await door.post("/payments", {**PAYMENT, "reference": "other"})
    assert page.json()["status"] == "pending"


async def test_the_check_notices_a_provider_that_verifies_nothing(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: the event is read without a look at its signature."""
    monkeypatch.setattr(RestProvider, "parse_event", lambda self, body, signature, secret: self.read_event(body))
    assert await accepted(door) != []


async def test_two_signatures_are_none(door: Door) -> None:
    provider_id = (await door.post("/payments", PAYMENT)).json()["provider_payment_id"]
    body = json.dumps({"id": "evt_1", "type": "payment.succeeded", "data": {"id": provider_id}}).encode()
    headers = [(b"X-Signature", signed(body).encode()), (b"X-Signature", b"0" * 64)]
    assert (await door.local.post("/webhooks/payments", content=body, headers=headers)).status_code == 400


async def test_copies_at_once_count_once(door: Door) -> None:
    asked = (await door.post("/payments", PAYMENT)).json()
    event = {"id": "evt_1", "type": "payment.succeeded", "data": {"id": asked["provider_payment_id"]}}
    answers = await asyncio.gather(*(door.event(event) for _ in range(10)))
    assert [answer.json() for answer in answers] == [{"ok": True, "received": True}] * 10
    assert (await door.get(f"/payments/{asked['payment_id']}")).json()["status"] == "succeeded"
    assert await door.count("webhook_inbox") == 1


async def test_the_types_it_understands(door: Door) -> None:
    for event_type, by_object, status in (
        ("payment.succeeded", False, "succeeded"),
        ("payment_intent.succeeded", True, "succeeded"),
        ("payment.failed", False, "failed"),
        ("payment_intent.payment_failed", True, "failed"),
        ("something.else", False, "pending"),
    ):
        asked = (await door.post("/payments", {**PAYMENT, "reference": event_type})).json()
        data: dict[str, Any] = {"id": asked["provider_payment_id"]}
        answer = await door.event({"type": event_type, "data": {"object": data} if by_object else data})
        assert answer.status_code == 200
        seen = (await door.get(f"/payments/{asked['payment_id']}")).json()
        assert (event_type, seen["status"]) == (event_type, status)


async def test_an_event_is_stored_before_the_answer_and_applied_by_the_worker_if_not_at_once(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (await door.post("/payments", PAYMENT)).json()
    real = provider_event.apply

    async def broken(*_: Any) -> None:
        raise RuntimeError("not now")

    monkeypatch.setattr(provider_event, "apply", broken)
    answer = await door.succeed(asked["provider_payment_id"])
    assert answer.status_code == 200
    assert await door.count("webhook_inbox") == 1
    assert (await door.get(f"/payments/{asked['payment_id']}")).json()["status"] == "pending"
    monkeypatch.setattr(provider_event, "apply", real)
    await door.work()
    assert (await door.get(f"/payments/{asked['payment_id']}")).json()["status"] == "succeeded"


async def test_an_event_beyond_the_limit(door: Door) -> None:
    body = b'{"id":"' + b"x" * 1_048_576 + b'"}'
    answer = await door.local.post("/webhooks/payments", content=body, headers={"X-Signature": signed(body)})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    large = json.dumps({"id": "evt_1", "type": "other", "data": {"id": "x"}, "padding": "x" * 500_000}).encode()
    answer = await door.local.post("/webhooks/payments", content=large, headers={"X-Signature": signed(large)})
    assert answer.status_code == 200


async def registered(door: Door, provider: str = "rest") -> str:
    """A registered endpoint of the quick-start tenant."""
    async with transaction(door.desk.pool, QUICKSTART_TENANT_ID) as connection:
        endpoint: UUID = await inbox.add_endpoint(connection, provider, "default", "PAYMENT_WEBHOOK_SECRET")
    return ids.to_text("ep", endpoint)


async def test_a_registered_endpoint_names_tenant_and_secret(door: Door) -> None:
    endpoint = await registered(door)
    asked = (await door.post("/payments", PAYMENT)).json()
    event = {"id": "evt_1", "type": "payment.succeeded", "data": {"id": asked["provider_payment_id"]}}
    for path in (f"/webhooks/payments/other/{endpoint}", f"/webhooks/payments/rest/{absent_id('ep')}",
                 "/webhooks/payments/rest/x", "/webhooks/payments/rest/%00"):  # fmt: skip
        answer = await door.event(event, path)
        assert (path, answer.status_code, answer.json()["code"]) == (path, 404, "not_found")
    forged = await door.event(event, f"/webhooks/payments/rest/{endpoint}", secret="another")
    assert forged.status_code == 400
    assert (await door.event(event, f"/webhooks/payments/rest/{endpoint}")).status_code == 200
    assert (await door.get(f"/payments/{asked['payment_id']}")).json()["status"] == "succeeded"


async def test_an_endpoint_is_looked_up_once_and_an_absent_one_whenever_it_is_named(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[UUID] = []
    real = inbox.endpoint_tenant

    async def counted(connection: Any, endpoint_id: UUID) -> Any:
        looked_up.append(endpoint_id)
        return await real(connection, endpoint_id)

    monkeypatch.setattr(inbox, "endpoint_tenant", counted)
    endpoint = await registered(door)
    absent = absent_id("ep")
    for number in range(3):
        event = {"id": f"evt_{number}", "type": "payment.created"}
        assert (await door.event(event, f"/webhooks/payments/rest/{endpoint}")).status_code == 200
        assert (await door.event(event, f"/webhooks/payments/rest/{absent}")).status_code == 404
        assert (await door.event(event, f"/webhooks/payments/other/{endpoint}")).status_code == 404
    assert looked_up.count(ids.parse("ep", endpoint)) == 1
    assert looked_up.count(ids.parse("ep", absent)) == 3
