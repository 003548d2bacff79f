"""The tenant wall and the roles, operation by operation from the OpenAPI document (R21)."""

from collections.abc import Iterator
from typing import Any

from paywarden.flow import advance
from tests.doors.door import Caller, Door, absent_id

# Bodies that are good enough to get to the id in the path.
BODIES: dict[str, dict[str, Any]] = {
    "refundPayment": {"amount_minor": 1, "currency": "usd"},
    "giveVerdict": {"verdict": "reject", "reason": "r"},
    "giveFacts": {"facts": [{"content": "x"}]},
    "attestPayment": {"outcome": "failed", "reference": "case 1"},
    "quickMarkPaid": {},
    "keepReview": {"fence": 1},
    "releaseReview": {"fence": 1},
    "expireNote": {},
    "captureHold": {"amount_minor": 1},
    "extendHold": {"expires_in": 60},
    "reverseTopUp": {"reason": "r"},
}
PREFIXES = {"payment_id": "pay", "job_id": "pay", "review_id": "rev", "decision_id": "dec", "agent_id": "agt",
            "key_id": "key", "mandate_id": "mdt", "note_id": "note", "customer": "top",
            "hold_id": "hold", "top_up_id": "top"}  # fmt: skip
# Quick-start agents are named by the caller and exist in every tenant that names them.
NAMED_BY_CALLER = {"quickReserve", "quickMarkPaid"}
OPEN = {"isAlive", "isReady", "getMetrics", "receiveQuickstartEvent", "receiveEvent"}
# What only some roles may do; everything else of /v1 is reading, or asks for `initiate`.
BY_ROLE = {
    "createAgent": "administer", "suspendAgent": "administer", "activateAgent": "administer", "createKey": "administer",
    "listKeys": "administer", "revokeKey": "administer", "createMandate": "administer", "revokeMandate": "administer",
    "suspendTenant": "administer", "activateTenant": "administer", "giveVerdict": "review",
    "createPayment": "initiate", "refundPayment": "initiate", "confirmPayment": "initiate", "cancelPayment": "initiate",
    "checkPayment": "initiate", "createDecision": "initiate", "createNote": "initiate", "quickMarkPaid": "settle",
    "attestPayment": "settle", "expireNote": "administer",
    "importNotes": "initiate", "giveFacts": "initiate", "createHold": "initiate", "createHolds": "initiate",
}  # fmt: skip


def operations(door: Door) -> Iterator[tuple[str, str, str, list[str]]]:
    """(operation id, method, path, names of path parameters) of every operation that asks who is there."""
    for path, by_method in door.app.openapi()["paths"].items():
        for method, operation in by_method.items():
            if operation["operationId"] not in OPEN:
                names = [each["name"] for each in operation.get("parameters", []) if each["in"] == "path"]
                yield operation["operationId"], method.upper(), path, names


async def send(caller: Caller, operation: str, method: str, path: str) -> Any:
    body = BODIES.get(operation)
    headers = (
        {"Idempotency-Key": f"wall-{path}"}
        if operation in {"refundPayment", "createPayment", "giveFacts", "captureHold", "reverseTopUp"}
        else {}
    )
    return (
        await caller.http.request(method, path, json=body, headers=headers)
        if body is not None
        else (await caller.http.request(method, path, headers=headers))
    )


async def things_of(door: Door, caller: Caller) -> dict[str, str]:
    """One of each thing that has an id in a path."""
    body = {"customer": "c", "request": "r", "amount_minor": 1, "currency": "usd"}
    agent = (await caller.post("/v1/agents", {"name": "bot", "roles": ["initiate"]})).json()["id"]
    limits = [{"currency": "usd", "window": "day", "limit_minor": 10_000}]
    terms = {"principal": agent, "name": "n", "kinds": ["charge", "refund"], "limits": limits, "timezone": "UTC"}
    async with door.settling_at_once():
        charge = (await caller.charge(100)).json()["id"]
    given = {"customer": "credited", "amount_minor": 100, "currency": "usd", "funding": "granted"}
    for _ in range(2):
        await caller.post("/payments", {"user_id": "u", "amount_cents": 100, "currency": "usd"})
    return {
        "payment_id": charge,
        "job_id": (await caller.charge(100, confirm=False)).json()["id"],
        "review_id": (await caller.get("/v1/reviews")).json()["data"][0]["id"],
        "decision_id": (await caller.post("/v1/decisions", body)).json()["id"],
        "agent_id": agent,
        "key_id": (await caller.post("/v1/keys", {"principal": agent})).json()["id"],
        "mandate_id": (await caller.post("/v1/mandates", terms)).json()["id"],
        "hold_id": await caller.held(),
        "note_id": (await caller.post("/v1/notes", {"customer": "n", "content": "x"})).json()["id"],
        "top_up_id": (await caller.pay("/v1/credits/top-ups", **given)).json()["id"],
        "customer": "credited",
    }


async def differences(door: Door) -> list[tuple[str, int, int]]:
    """Operations whose answer for a thing of another tenant is not the 404 of a thing that is not there."""
    found = []
    async with door.caller(await door.admin_key()) as victim, door.caller(await door.tenant("acme")) as attacker:
        theirs = await things_of(door, victim)
        for operation, method, path, names in operations(door):
            if not names or operation in NAMED_BY_CALLER:
                continue
            absent = {name: absent_id(PREFIXES[name]) for name in names}  # type: ignore[arg-type]
            for_foreign = await send(attacker, operation, method, path.format(**theirs))
            for_absent = await send(attacker, operation, method, path.format(**absent))
            bodies = [answer.json() | {"request_id": ""} for answer in (for_foreign, for_absent)]
            if for_foreign.status_code != 404 or bodies[0] != bodies[1]:
                found.append((operation, for_foreign.status_code, for_absent.status_code))
        tried = sum(bool(names) for _, _, _, names in operations(door))
        assert tried >= 14
    return found


async def test_a_foreign_id_looks_exactly_like_an_absent_one(door: Door) -> None:
    assert await differences(door) == []


async def test_the_comparison_notices_a_hole_in_the_wall(door: Door, monkeypatch: Any) -> None:
    """The broken twin: payments are looked up in the quick-start tenant, whoever asks."""
    real = advance.find

    async def without_wall(desk: Any, tenant_id: Any, payment_id: Any) -> Any:
        from paywarden.identity.tenants import QUICKSTART_TENANT_ID

        return await real(desk, QUICKSTART_TENANT_ID, payment_id)

    monkeypatch.setattr(advance, "find", without_wall)
    assert "getPayment" in [operation for operation, _, _ in await differences(door)]


async def test_foreign_ids_in_bodies_name_nothing(door: Door) -> None:
    async with door.caller(await door.admin_key()) as victim, door.caller(await door.tenant("acme")) as attacker:
        theirs = await things_of(door, victim)
        limits = [{"currency": "usd", "window": "day", "limit_minor": 1}]
        terms = {"name": "n", "kinds": ["charge"], "limits": limits, "timezone": "UTC"}
        for agent in (theirs["agent_id"], absent_id("agt")):
            for answer in (
                await attacker.post("/v1/keys", {"principal": agent}),
                await attacker.post("/v1/mandates", {"principal": agent, **terms}),
            ):
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        for payment in (theirs["payment_id"], absent_id("pay")):
            answer = await attacker.pay(kind="refund", amount_minor=1, currency="usd", purpose="p", payment=payment)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        for mandate in (theirs["mandate_id"], absent_id("mdt")):
            answer = await attacker.charge(100, mandate=mandate)
            assert (answer.status_code, answer.json()["rule"]) == (403, "no_mandate")


async def test_lists_and_searches_show_the_own_tenant_only(door: Door) -> None:
    async with door.caller(await door.admin_key()) as victim, door.caller(await door.tenant("acme")) as attacker:
        theirs = await things_of(door, victim)
        await victim.post("/v1/notes", {"customer": "c", "content": "a secret of the victim"})
        for operation, method, path, names in operations(door):
            if method == "GET" and not names and path.startswith("/v1"):
                text = (await attacker.get(path)).text
                assert not [identity for identity in theirs.values() if identity in text], operation
        found = await attacker.post("/v1/notes/search", {"customer": "c", "q": "a secret of the victim"})
        assert found.json()["data"] == []
        found = await attacker.post("/v1/notes/search", {"q": "a secret of the victim"})
        assert [note["customer"] for note in found.json()["data"]] == []
        assert (await attacker.get("/knowledge/search", customer_id="c", q="secret")).json()["data"] == []


async def test_a_role_that_is_missing_is_403_everywhere(door: Door) -> None:
    bodies: dict[str, dict[str, Any]] = {
        **BODIES,
        "createAgent": {"name": "n", "roles": []},
        "createNote": {"customer": "c", "content": "x"},
        "importNotes": {"notes": [{"customer": "c", "content": "x"}]},
        "createDecision": {"customer": "c", "request": "r", "amount_minor": 1, "currency": "usd"},
        "createPayment": {"kind": "charge", "amount_minor": 1, "currency": "usd", "customer": "c", "purpose": "p"},
        "createHold": {"amount_minor": 1, "currency": "usd", "customer": "c"},
        "createHolds": {"holds": [{"amount_minor": 1, "currency": "usd", "customer": "c", "idempotency_key": "k"}]},
        "checkPayment": {"kind": "charge", "amount_minor": 1, "currency": "usd", "customer": "c"},
    }
    async with door.caller(await door.admin_key()) as admin:
        things = await things_of(door, admin)
        limits = [{"currency": "usd", "window": "day", "limit_minor": 1}]
        terms = {"name": "n", "kinds": ["charge"], "limits": limits, "timezone": "UTC"}
        bodies["createMandate"] = {"principal": things["agent_id"], **terms}
        bodies["createKey"] = {"principal": things["agent_id"]}
        for role in ("initiate", "review", "settle", "administer"):
            others = [each for each in ("initiate", "review", "settle", "administer") if each != role]
            name = {"kind": "person", "name": f"without {role}", "roles": others}
            person = (await admin.post("/v1/agents", name)).json()["id"]
            secret = (await admin.post("/v1/keys", {"principal": person})).json()["secret"]
            async with door.caller(secret) as caller:
                for operation, method, path, _ in operations(door):
                    if BY_ROLE.get(operation) != role:
                        continue
                    headers = {"Idempotency-Key": f"role-{operation}"}
                    body = {"json": bodies[operation]} if operation in bodies else {}
                    answer = await caller.http.request(method, path.format(**things), headers=headers, **body)
                    told = (operation, answer.status_code, answer.json().get("code"))
                    assert told == (operation, 403, "forbidden"), answer.text
