"""The billing gate over HTTP: the hot routes answer what every other route would, and a revocation counts at once."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from paywarden.api.requests import JSON_LIMIT_BYTES
from paywarden.db.transaction import transaction
from paywarden.flow.ledger_group import LedgerGroup
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit import ids
from paywarden.kit.errors import OverloadedError
from paywarden.ledger import chart
from paywarden.ledger import door as ledger
from paywarden.ledger.intents import Book, Intent, Movement
from tests.doors.door import Caller, Door, absent_id

HOLD = {"customer": "cust_1", "amount_minor": 100, "currency": "usd"}


@dataclass
class Gate:
    """A customer who has prepaid 10.00, the agent at the gate, and an administrator."""

    door: Door
    agent: Caller
    admin: Caller
    agent_id: str

    async def hold(self, key: str | None = "", **changes: Any) -> httpx.Response:
        body = {**HOLD, **changes}
        return await (self.agent.pay("/v1/holds", **body) if key == "" else self.agent.post("/v1/holds", body, key=key))

    async def held(self, **changes: Any) -> str:
        answer = await self.hold(**changes)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def credit(self) -> tuple[int, int]:
        async with transaction(self.door.desk.pool, QUICKSTART_TENANT_ID) as connection:
            found = {row["code"]: row for row in await ledger.accounts(connection)}["customer_credit/cust_1"]
        return found["balance"], found["held"]


@pytest.fixture
async def gate(door: Door) -> AsyncIterator[Gate]:
    top_up = Movement(chart.bank("default", "usd"), chart.customer_credit("cust_1", "usd"), 1000)
    async with transaction(door.desk.pool, QUICKSTART_TENANT_ID) as connection:
        await ledger.write(connection, [Book(f"test:{ids.new_uuid()}", "test", [top_up], fact=True)])
    async with door.caller(await door.admin_key()) as admin:
        agent = (await admin.post("/v1/agents", {"name": "gate", "roles": ["initiate"]})).json()["id"]
        secret = (await admin.post("/v1/keys", {"principal": agent})).json()["secret"]
        async with door.caller(secret) as caller:
            yield Gate(door, caller, admin, agent)


async def test_hold_capture_and_release_answer_the_hold_as_it_stands(gate: Gate) -> None:
    held = await gate.hold(feature="summary", expires_in=60)
    body = held.json()
    assert (held.status_code, held.headers["Content-Type"]) == (201, "application/json")
    assert held.headers["Cache-Control"] == "no-store"
    assert held.headers["X-Request-Id"].startswith("req_")
    assert {name: body[name] for name in body if not name.endswith("_at")} == {
        "object": "hold", "id": body["id"], "status": "pending", "amount_minor": 100, "captured_minor": 0,
        "currency": "usd", "display": "$1.00", "customer": "cust_1", "mandate": None, "feature": "summary",
    }  # fmt: skip
    captured = await gate.agent.pay(f"/v1/holds/{body['id']}/capture", amount_minor=42)
    assert (captured.status_code, captured.json()["status"], captured.json()["captured_minor"]) == (200, "captured", 42)
    other = await gate.held()
    for _ in range(2):
        released = await gate.agent.post(f"/v1/holds/{other}/release")
        assert (released.status_code, released.json()["status"]) == (200, "released")
    assert await gate.credit() == (958, 0)


async def test_problems_are_those_of_every_route(gate: Gate) -> None:
    hold = await gate.held()
    capture = f"/v1/holds/{hold}/capture"
    assert await told(gate.hold(amount_minor=1001)) == (403, "insufficient", None)
    assert await told(gate.hold(customer=None)) == (400, "invalid_field", "customer")
    assert await told(gate.hold(customer=None, mandate=absent_id("mdt"))) == (403, "denied", None)
    assert await told(gate.hold(key=None)) == (400, "idempotency_key_missing", "Idempotency-Key")
    assert await told(gate.hold(key="a b")) == (400, "invalid_field", "Idempotency-Key")
    assert await told(gate.agent.pay(capture, amount_minor=101)) == (422, "capture_too_large", "amount_minor")
    assert await told(gate.agent.pay("/v1/holds/x/capture", amount_minor=1)) == (404, "not_found", None)
    assert await told(gate.agent.post(f"{capture}?x=1", {"amount_minor": 1}, key="k")) == (400, "invalid_field", "x")
    assert await told(gate.agent.post(f"/v1/holds/{hold}/release", {"a": 1})) == (400, "invalid_field", "body")
    assert await told(gate.agent.get("/v1/holds:batch")) == (405, "method_not_allowed", None)
    await gate.agent.pay(capture, amount_minor=1)
    assert await told(gate.agent.post(f"/v1/holds/{hold}/release")) == (409, "state_conflict", None)


async def told(answering: Any) -> tuple[int, str, str | None]:
    answer = await answering
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    return answer.status_code, problem["code"], problem.get("param")


async def test_what_is_no_json_or_too_long_is_refused_as_everywhere(gate: Gate) -> None:
    key = {"Idempotency-Key": "k"}
    plain = await gate.agent.http.post(
        "/v1/holds", content=json.dumps(HOLD), headers={**key, "Content-Type": "text/plain"}
    )
    assert (plain.status_code, plain.json()["code"]) == (415, "unsupported_media_type")
    long = json.dumps({**HOLD, "feature": "x" * JSON_LIMIT_BYTES})
    long_answer = await gate.agent.http.post(
        "/v1/holds", content=long, headers={**key, "Content-Type": "application/json"}
    )
    assert (long_answer.status_code, long_answer.json()["code"]) == (413, "body_too_large")
    async with gate.door.caller("pw_test_nothing") as nobody:
        answer = await nobody.pay("/v1/holds", **HOLD)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    without = await gate.door.local.post("/v1/holds", json=HOLD, headers=key)
    assert without.status_code == 401


async def test_many_clients_with_one_key_hold_once(gate: Gate) -> None:
    answers = await asyncio.gather(*(gate.hold(key="one") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert await told(gate.hold(key="one", amount_minor=101)) == (422, "idempotency_key_reused", None)
    hold = answers[0].json()["id"]
    captures = await asyncio.gather(
        *(gate.agent.post(f"/v1/holds/{hold}/capture", {"amount_minor": 30}, key="two") for _ in range(50))
    )
    assert {(answer.status_code, answer.json()["captured_minor"]) for answer in captures} == {(200, 30)}
    assert sum("Idempotent-Replayed" not in answer.headers for answer in captures) == 1
    assert await gate.credit() == (970, 0)


async def test_a_batch_answers_each_member_in_its_place(gate: Gate) -> None:
    holds: list[dict[str, Any]] = [
        {**HOLD, "idempotency_key": "a"},
        {**HOLD, "idempotency_key": "b", "amount_minor": 1000},
        {**HOLD, "idempotency_key": "a"},
        {**HOLD, "idempotency_key": "a", "amount_minor": 99},
        {"amount_minor": 1, "currency": "usd", "idempotency_key": "c"},
        {**HOLD, "idempotency_key": "d", "amount_minor": 900},
    ]
    answer = await gate.agent.post("/v1/holds:batch", {"holds": holds})
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert [(each["status"], each.get("problem", {}).get("code")) for each in data] == [
        (201, None), (403, "insufficient"), (201, None),
        (422, "idempotency_key_reused"), (400, "invalid_field"), (201, None),
    ]  # fmt: skip
    assert data[2]["hold"]["id"] == data[0]["hold"]["id"]
    assert [each.get("replayed") for each in data] == [None, None, True, None, None, None]
    assert await gate.credit() == (1000, 1000)
    alone = await gate.hold(key="a")
    assert (alone.json()["id"], alone.headers["Idempotent-Replayed"]) == (data[0]["hold"]["id"], "true")


async def test_one_key_a_hundred_times_in_a_batch_is_written_once(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time would be a commit that every other tenant waits for."""
    real, written = LedgerGroup.write, []

    async def counting(self: LedgerGroup, tenant_id: Any, intents: list[Intent]) -> Any:
        written.append(len(intents))
        return await real(self, tenant_id, intents)

    monkeypatch.setattr(LedgerGroup, "write", counting)
    for amount_minor, status in ((1, 201), (5000, 403)):
        holds = [{**HOLD, "amount_minor": amount_minor, "idempotency_key": f"k{amount_minor}"}] * 100
        data = (await gate.agent.post("/v1/holds:batch", {"holds": holds})).json()["data"]
        assert [each["status"] for each in data] == [status] * 100
    assert sum(written) == 2
    assert await gate.credit() == (1000, 1)


async def test_holds_are_counted_and_logged_by_their_route(gate: Gate) -> None:
    hold = await gate.held()
    await gate.agent.pay(f"/v1/holds/{hold}/capture", amount_minor=1)
    await gate.hold(amount_minor=1001)
    batch = [{**HOLD, "amount_minor": amount, "idempotency_key": str(amount)} for amount in (1, 1001, 1002)]
    await gate.agent.post("/v1/holds:batch", {"holds": batch})
    text = (await gate.door.get("/metrics")).text
    assert 'paywarden_http_requests_total{method="POST",route="/v1/holds",status="201"} 1.0' in text
    assert 'paywarden_http_requests_total{method="POST",route="/v1/holds/{hold_id}/capture",status="200"} 1.0' in text
    assert 'paywarden_denials_total{code="insufficient"} 3.0' in text


async def test_a_failure_or_overload_of_the_ledger_is_told_to_its_member_alone(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LedgerGroup.write

    async def unknown_principal(self: LedgerGroup, tenant_id: Any, intents: list[Intent]) -> Any:
        outcomes = await real(self, tenant_id, intents)
        return [*outcomes[:-1], type(outcomes[-1])("error", detail={"sqlstate": "XX000"})]

    monkeypatch.setattr(LedgerGroup, "write", unknown_principal)
    holds = [{**HOLD, "idempotency_key": key} for key in ("a", "b")]
    data = (await gate.agent.post("/v1/holds:batch", {"holds": holds})).json()["data"]
    assert [(each["status"], each.get("problem", {}).get("code")) for each in data] == [
        (201, None),
        (500, "internal_error"),
    ]

    async def overloaded(*_: Any) -> Any:
        raise OverloadedError("too many requests wait to be written", retry_after_seconds=1)

    monkeypatch.setattr(LedgerGroup, "write", overloaded)
    answer = await gate.hold()
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "overloaded", "1")


class TestRevocation:
    """A key that is remembered stops at once, whatever ended it."""

    async def test_a_revoked_key(self, gate: Gate) -> None:
        await gate.held()
        (key,) = [k for k in (await gate.admin.get("/v1/keys")).json()["data"] if k["principal"] == gate.agent_id]
        await gate.admin.post(f"/v1/keys/{key['id']}/revoke")
        assert await told(gate.hold()) == (401, "unauthenticated", None)
        batch = {"holds": [{**HOLD, "idempotency_key": "k"}]}
        assert await told(gate.agent.post("/v1/holds:batch", batch)) == (401, "unauthenticated", None)

    async def test_a_suspended_principal(self, gate: Gate) -> None:
        hold = await gate.held()
        await gate.admin.post(f"/v1/agents/{gate.agent_id}/suspend")
        assert await told(gate.agent.pay(f"/v1/holds/{hold}/capture", amount_minor=1)) == (401, "unauthenticated", None)
        await gate.admin.post(f"/v1/agents/{gate.agent_id}/activate")
        assert (await gate.hold()).status_code == 201

    async def test_a_suspended_tenant(self, gate: Gate) -> None:
        hold = await gate.held()
        await gate.admin.post("/v1/tenant/suspend")
        denied = await gate.hold()
        assert (denied.status_code, denied.json()["rule"]) == (403, "tenant_inactive")
        assert await told(gate.agent.post(f"/v1/holds/{hold}/release")) == (403, "denied", None)
        await gate.admin.post("/v1/tenant/activate")
        assert (await gate.hold()).status_code == 201

    async def test_a_revoked_mandate(self, gate: Gate) -> None:
        limits = [{"currency": "usd", "window": "day", "limit_minor": 10_000}]
        terms = {"principal": gate.agent_id, "name": "n", "kinds": ["gate"], "limits": limits, "timezone": "UTC"}
        mandate = (await gate.admin.post("/v1/mandates", terms)).json()["id"]
        wanted = {"customer": None, "mandate": mandate}
        assert (await gate.hold(**wanted)).status_code == 201
        await gate.admin.post(f"/v1/mandates/{mandate}/revoke")
        assert (await gate.hold(**wanted)).json()["rule"] == "mandate_status"


async def test_closing_a_hold_takes_a_role(gate: Gate) -> None:
    hold = await gate.held()
    for roles, status in ((["review"], 403), (["initiate"], 404), (["settle"], 200)):
        made = (await gate.admin.post("/v1/agents", {"name": f"with {roles}", "roles": roles})).json()["id"]
        secret = (await gate.admin.post("/v1/keys", {"principal": made})).json()["secret"]
        async with gate.door.caller(secret) as caller:
            body = {"amount_minor": 1, "final": False}
            answers = [
                await caller.post(f"/v1/holds/{hold}/capture", body, key="k"),
                await caller.post(f"/v1/holds/{hold}/release"),
            ]
            assert Counter(answer.status_code for answer in answers) == {status: 2}


# ---- The calm part


async def test_holds_are_listed_looked_at_and_given_more_time(gate: Gate) -> None:
    first, second = await gate.held(), await gate.held(feature="summary")
    await gate.agent.pay(f"/v1/holds/{first}/capture", amount_minor=40)
    shown = (await gate.agent.get(f"/v1/holds/{first}")).json()
    assert shown["principal"] == gate.agent_id
    assert shown["created_at"] < shown["closed_at"]
    assert (shown["status"], shown["captured_minor"], shown["amount_minor"]) == ("captured", 40, 100)
    booked = (await gate.admin.get("/v1/ledger/transfers", limit=1)).json()["data"][0]
    assert (booked["hold"], booked["payment"], booked["amount_minor"]) == (first, None, 40)
    page = (await gate.agent.get("/v1/holds", limit=1)).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == ([second], True)
    rest = (await gate.agent.get("/v1/holds", cursor=page["next_cursor"])).json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([first], False)
    pending = (await gate.agent.get("/v1/holds", status="pending", customer="cust_1")).json()
    assert [each["closed_at"] for each in pending["data"]] == [None]
    assert [each["id"] for each in pending["data"]] == [second]
    assert (await gate.agent.get("/v1/holds", customer="cust_2")).json()["data"] == []
    longer = await gate.agent.post(f"/v1/holds/{second}/extend", {"expires_in": 86_400})
    assert longer.status_code == 200
    assert longer.json()["expires_at"] > pending["data"][0]["expires_at"]
    closed = await gate.agent.post(f"/v1/holds/{first}/extend", {"expires_in": 60})
    assert (closed.status_code, closed.json()["code"]) == (409, "state_conflict")


@pytest.mark.parametrize(
    ("path", "param"),
    [("/v1/holds?status=held", "status"), ("/v1/holds?cursor=pay_1", "cursor"), ("/v1/holds?limit=0", "limit")],
)
async def test_a_list_that_cannot_be_is_refused_by_its_field(gate: Gate, path: str, param: str) -> None:
    refused = await gate.agent.get(path)
    assert (refused.status_code, refused.json()["param"]) == (400, param)


async def test_a_time_that_is_none_is_refused_by_its_field(gate: Gate) -> None:
    held = await gate.held()
    for seconds in (0, 30 * 86_400 + 1, "60"):
        refused = await gate.agent.post(f"/v1/holds/{held}/extend", {"expires_in": seconds})
        assert (refused.status_code, refused.json()["param"]) == (400, "expires_in")
