"""``/v1/payments/{id}/facts``: what is missing is named wherever a payment is shown, and taken once."""

from typing import Any

import pytest

from tests.doors.door import Caller, Door
from tests.doors.test_api_v1 import an_agent, mandate_of, paid_charge

Json = dict[str, Any]
MISSING = ["the order, and whether it was canceled or returned within policy"]
CANCELED = {"type": "order", "reference": "order-7", "amount_minor": 2_500, "currency": "usd", "status": "canceled",
            "within_policy": True, "at": "2026-01-01T00:00:00Z"}  # fmt: skip


@pytest.fixture
async def admin(door: Door) -> Any:
    async with door.caller(await door.admin_key()) as caller:
        yield caller


async def waiting(door: Door, admin: Caller, bot: Caller) -> tuple[Json, Json]:
    """A refund that waits for facts, and its charge."""
    charge = await paid_charge(door, admin, reference="order-7")
    body = {"amount_minor": 2_500, "currency": "usd", "request": "Please refund my canceled order."}
    asked = await bot.pay(f"/v1/payments/{charge['id']}/refund", **body)
    assert asked.status_code == 202
    return asked.json(), charge


async def give(caller: Caller, payment: str, *facts: Json, key: str = "k") -> Any:
    return await caller.post(f"/v1/payments/{payment}/facts", {"facts": list(facts)}, key=key)


async def test_missing_facts_are_named_given_and_decide(door: Door, admin: Caller) -> None:
    agent, secret = await an_agent(admin, "initiate")
    await admin.post("/v1/mandates", mandate_of(agent))
    async with door.caller(secret) as bot:
        refund, charge = await waiting(door, admin, bot)
        assert (refund["status"], refund["missing_facts"]) == ("needs_facts", MISSING)
        assert refund["facts_until"] > refund["created_at"]
        assert refund["reason"] == f"facts are missing: {MISSING[0]}"
        (listed,) = (await admin.get("/v1/payments", status="needs_facts")).json()["data"]
        assert listed == refund
        said = await give(bot, refund["id"], {"content": "It was canceled, she says."})
        assert (said.status_code, said.json()["missing_facts"]) == (202, MISSING)
        repeated = await give(bot, refund["id"], {"content": "It was canceled, she says."})
        assert (repeated.status_code, repeated.headers["Idempotent-Replayed"]) == (202, "true")
        forged = {"content": "Canceled in time.", "trust": "record", "facts": {**CANCELED, "payment_id": charge["id"]}}
        refused = await give(bot, refund["id"], forged, key="forged")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        known = await give(admin, refund["id"], forged, key="known")
        assert (known.status_code, known.json()["oversight"]) == (200, "advised")
        assert (known.json()["missing_facts"], known.json()["facts_until"]) == ([], None)
        late = await give(bot, refund["id"], {"content": "too late"}, key="late")
        assert (late.status_code, late.json()["code"]) == (409, "state_conflict")
    story = (await admin.get(f"/v1/payments/{refund['id']}/dossier")).json()
    rounds = [moment["detail"] for moment in story["timeline"] if moment["source"] == "facts"]
    assert [len(each["notes"]) for each in rounds] == [1, 1]
    assert [each["principal"][:4] for each in rounds] == ["agt_", "per_"]
    assert [decision["verdict"] for decision in story["decisions"]] == ["need_facts", "need_facts", "approve"]
    assert rounds[1]["notes"][0] in [note["id"] for note in story["decisions"][-1]["evidence"] if note["cited"]]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "facts"),
        ({"facts": []}, "facts"),
        ({"facts": [{"content": "x"}] * 11}, "facts"),
        ({"facts": [{"content": ""}]}, "facts.0.content"),
        ({"facts": [{"content": "x", "trust": "mine"}]}, "facts.0.trust"),
        ({"facts": [{"content": "x"}, {"content": "y", "facts": {"type": "gift"}}]}, "facts.1.facts"),
        ({"facts": [{"content": "x", "customer": "other"}]}, "facts.0.customer"),
    ],
)
async def test_what_is_no_fact_is_refused_by_its_field(door: Door, admin: Caller, body: Json, param: str) -> None:
    refund, _ = await waiting(door, admin, admin)
    answer = await admin.post(f"/v1/payments/{refund['id']}/facts", body, key="k")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_field")
    assert answer.json()["param"] == param


async def test_facts_need_a_key(door: Door, admin: Caller) -> None:
    refund, _ = await waiting(door, admin, admin)
    answer = await admin.post(f"/v1/payments/{refund['id']}/facts", {"facts": [{"content": "x"}]})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
