"""Who gets in: keys on every route, and on the quick-start routes also plain local programs; nobody else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx

from paywarden.flow import access
from paywarden.flow.desk import Actor, Desk
from paywarden.kit import ids
from paywarden.sandbox.control import SandboxControl
from tests.doors.door import Caller, Door, application, client, open_door

PAYMENT = {"user_id": "user_42", "amount_cents": 2500, "currency": "usd"}


@asynccontextmanager
async def door_with(desk: Desk, sandbox: SandboxControl, **settings: Any) -> AsyncIterator[Door]:
    changed = replace(desk, settings=desk.settings.model_copy(update=settings))

    @asynccontextmanager
    async def open_desk() -> AsyncIterator[Desk]:
        yield changed

    async with open_door(application(open_desk), changed, sandbox) as opened:
        yield opened


async def status_with(door: Door, **headers: str) -> int:
    return (
        await door.post("/payments", PAYMENT, **{name.replace("_", "-"): it for name, it in headers.items()})
    ).status_code


async def test_a_web_page_and_a_proxy_need_a_key(door: Door) -> None:
    hostile = [
        {"Origin": "http://127.0.0.1:8000"}, {"Origin": "null"}, {"Origin": ""}, {"Forwarded": "for=1.2.3.4"},
        {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-Proto": "http"}, {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"}, {"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example:8000"},
        {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Via": "1.1 proxy"},
    ]  # fmt: skip
    for headers in hostile:
        assert (headers, await status_with(door, **headers)) == (headers, 401)
    assert await door.count("payments") == 0
    assert await status_with(door, **{"Sec-Fetch-Site": "none", "Host": "[::1]:8000"}) == 200


async def test_a_body_without_its_type_needs_a_key(door: Door) -> None:
    answer = await door.local.post("/payments", content=b'{"user_id":"u","amount_cents":1,"currency":"usd"}')
    assert answer.status_code == 401
    assert await door.count("payments") == 0


async def test_another_machine_needs_a_key(door: Door) -> None:
    async with client(door.app, "192.168.1.9") as elsewhere:
        assert (await elsewhere.post("/payments", json=PAYMENT)).status_code == 401
        assert (await elsewhere.get("/knowledge/search?customer_id=c&q=x")).status_code == 401


async def test_another_configuration_needs_a_key(door: Door) -> None:
    configurations: list[dict[str, Any]] = [
        {"keyless_quickstart": False},
        {"host": "0.0.0.0"},
        {"payment_api_url": "https://api.provider.example"},
    ]
    for settings in configurations:
        async with door_with(door.desk, door.sandbox, **settings) as changed:
            answer = await changed.post("/payments", PAYMENT)
            assert (settings, answer.status_code) == (settings, 401)
            key = await changed.admin_key()
            async with changed.caller(key) as caller:
                reference = str(settings)
                assert (await caller.post("/payments", {**PAYMENT, "reference": reference})).status_code == 200


async def test_a_key_acts_for_its_own_tenant(door: Door) -> None:
    key = await door.tenant("acme")
    async with door.caller(key) as caller:
        asked = await caller.post("/payments", PAYMENT)
        assert asked.status_code == 200
        payment = asked.json()["payment_id"]
        assert (await caller.get(f"/payments/{payment}")).status_code == 200
        assert (await caller.get(f"/v1/payments/{payment}")).json()["agent"] == "admin"
    assert (await door.get(f"/payments/{payment}")).status_code == 404
    assert await door.count("payments") == 0


async def test_a_wrong_key_is_no_keyless_caller(door: Door) -> None:
    good = await door.admin_key()
    tenant = good.split("_")[2]
    wrong = [
        "Bearer", "Bearer ", f"Basic {good}", good, f"Bearer {good}x", f"Bearer {good[:-1]}", "Bearer pw_test__",
        f"Bearer pw_live_{tenant}_{good.split('_')[3]}", f"Bearer pw_test_{tenant}_", "Bearer pw_test_x_y",
        f"Bearer pw_test_{ids.to_text('ten', ids.new_uuid()).removeprefix('ten_')}_{good.split('_')[3]}",
        f"Bearer {good} {good}", "Bearer \x01", "Bearer " + "a" * 5000, "bearer\t" + good,
    ]  # fmt: skip
    for header in wrong:
        answer = await door.post("/payments", PAYMENT, Authorization=header)
        assert (header, answer.status_code, answer.json()["code"]) == (header, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    twice = httpx.Headers([("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")])
    assert (await door.local.post("/payments", json=PAYMENT, headers=twice)).status_code == 401
    assert await door.count("payments") == 0


async def test_a_revoked_expired_or_suspended_key_stops_at_once(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        agent = (await admin.post("/v1/agents", {"name": "bot", "roles": ["initiate"]})).json()["id"]
        made = (await admin.post("/v1/keys", {"principal": agent})).json()
        async with door.caller(made["secret"]) as bot:
            assert await statuses(bot) == {"list": 200, "search": 200, "note": 201}
            await admin.post(f"/v1/agents/{agent}/suspend")
            assert await statuses(bot) == {"list": 401, "search": 401, "note": 401}
            await admin.post(f"/v1/agents/{agent}/activate")
            assert await statuses(bot) == {"list": 200, "search": 200, "note": 201}
            await admin.post(f"/v1/keys/{made['id']}/revoke")
            assert await statuses(bot) == {"list": 401, "search": 401, "note": 401}


async def statuses(caller: Caller) -> dict[str, int]:
    """What a route of the framework and two beside it answer this caller."""
    return {
        "list": (await caller.get("/v1/payments")).status_code,
        "search": (await caller.post("/v1/notes/search", {"customer": "cus_1", "q": "twice"})).status_code,
        "note": (await caller.post("/v1/notes", {"customer": "cus_1", "content": "Charged twice."})).status_code,
    }


async def test_the_local_caller_may_initiate_and_settle_only(door_desk: Desk) -> None:
    principal = Actor(await access.quickstart_principal(door_desk)).principal
    assert principal.roles == {"initiate", "settle"}


async def test_v1_never_answers_without_a_key(door: Door) -> None:
    for path, operations in door.app.openapi()["paths"].items():
        for method in operations:
            answer = await door.local.request(method, path.replace("{", "").replace("}", ""))
            expected = 401 if path.startswith("/v1") else None
            if expected:
                assert (method, path, answer.status_code) == (method, path, expected)
                assert answer.headers["Content-Type"] == "application/problem+json"


async def test_whoever_has_no_key_learns_nothing_of_the_body(door: Door) -> None:
    for body in (b"{", b'{"kind":1}', b"x" * 300_000):
        answer = await door.local.post("/v1/payments", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 401
