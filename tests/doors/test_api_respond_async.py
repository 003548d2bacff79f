"""``Prefer: respond-async``: the answer comes with the ask's own commit, and a worker does the rest."""

import httpx
import pytest

from paywarden.api.preferences import prefers_async
from tests.doors.door import Caller, Door
from tests.doors.test_api_v1 import paid_charge

CHARGE = {"kind": "charge", "amount_minor": 2500, "currency": "usd", "purpose": "order", "customer": "ann"}


async def ask(caller: Caller, key: str, prefer: str | None = "respond-async", **changes: object) -> httpx.Response:
    headers = {"Idempotency-Key": key} | ({} if prefer is None else {"Prefer": prefer})
    path = str(changes.pop("path", "/v1/payments"))
    return await caller.http.post(path, json=changes.pop("body", CHARGE | changes), headers=headers)


async def test_an_allowed_charge_is_answered_reserved_and_a_worker_sends_it(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        answer = await ask(admin, "k")
        shown = answer.json()
        assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "respond-async")
        assert (shown["status"], shown["oversight"], shown["provider_payment_id"]) == ("reserved", "autonomous", None)
        assert await door.count("operations") == 0
        await door.work()
        sent = (await admin.get(f"/v1/payments/{shown['id']}")).json()
        assert (sent["status"], bool(sent["provider_payment_id"])) == ("processing", True)


async def test_a_repeat_is_a_replay_at_once_and_one_without_the_preference_drives_it(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        first = (await ask(admin, "k")).json()
        replay = await ask(admin, "k")
        assert (replay.status_code, replay.headers["Idempotent-Replayed"]) == (202, "true")
        assert replay.json() == first
        waited = await ask(admin, "k", None)
        assert (waited.status_code, waited.json()["id"]) == (201, first["id"])
        assert waited.json()["status"] == "processing"
        assert "Preference-Applied" not in waited.headers
        late = await ask(admin, "k")
        assert (late.status_code, "Preference-Applied" in late.headers) == (201, False)
        reused = await ask(admin, "k", amount_minor=2501)
        assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert await door.count("operations") == 1


async def test_what_needs_advice_is_pending_until_a_worker_has_asked_for_it(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        charge = await paid_charge(door, admin)
        body = {"amount_minor": 500, "currency": "usd", "request": "I was charged twice."}
        answer = await ask(admin, "k", path=f"/v1/payments/{charge['id']}/refund", body=body)
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
        assert answer.headers["Preference-Applied"] == "respond-async"
        await door.work()
        judged = (await admin.get(f"/v1/payments/{answer.json()['id']}")).json()
        assert judged["status"] not in {"pending", "reserved"}


async def test_a_denial_and_a_review_are_answered_as_ever(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        denied = await ask(admin, "k", amount_minor=50_001)
        assert (denied.status_code, denied.json()["rule"]) == (403, "mandate_payment_limit")
        held = await ask(admin, "l", amount_minor=50_000, purpose="checkout")
        assert (held.status_code, held.json()["status"]) == (202, "in_review")
        assert "Preference-Applied" not in held.headers


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("respond-async", True),
        ("Respond-Async, wait=10", True),
        ("return=minimal ,respond-async; foo", True),
        ("return=minimal", False),
        ('note="a, respond-async"', False),
        ("respond-asynchronously", False),
        ("", False),
    ],
)
def test_a_prefer_header_is_read_as_the_rfc_says(header: str, wanted: bool) -> None:
    assert prefers_async(header) is wanted
