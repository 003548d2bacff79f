"""Decisions at the door: shown whole, and made again as of today."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.doors.door import Caller, Door

QUESTION = {"customer": "cust_1", "request": "I was charged twice", "amount_minor": 2_500, "currency": "usd"}
COURSE = {
    "verdict": "escalate",
    "amount_minor": 0,
    "status": None,
    "oversight": None,
    "decided_by": [],
    "pays_minor": 0,
    "pays": "$0.00",
    "adviser": "rules",
    "model": None,
    "failure": None,
}


@pytest.fixture
async def admin(door: Door) -> AsyncIterator[Caller]:
    async with door.caller(await door.admin_key()) as caller:
        yield caller


async def decided(caller: Caller) -> dict[str, Any]:
    answer = await caller.post("/v1/decisions", QUESTION)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_decision_is_shown_with_all_it_rested_on(door: Door, admin: Caller) -> None:
    note = (await admin.post("/v1/notes", {"customer": "cust_1", "content": "charged twice"})).json()["id"]
    async with door.settling_at_once():
        charge = (await admin.charge(2_500)).json()["id"]
    made = await decided(admin)
    assert made == (await admin.get(f"/v1/decisions/{made['id']}")).json()
    assert (made["request"], made["requested_minor"], made["customer"]) == ("I was charged twice", 2_500, "cust_1")
    assert (made["payment"], made["replay_of"], made["display"]) == (None, None, "$0.00")
    assert made["asked_by"].startswith("per_")
    (evidence,) = made["evidence"]
    assert (evidence["id"], evidence["trust"], len(evidence["content_sha256"])) == (note, "customer", 64)
    assert [(record["id"], record["fact"]["type"]) for record in made["records"]] == [(charge, "charge")]
    assert made["given"]["verdict"] in {"escalate", "deny", "need_facts"}
    assert {"adviser_answered", "advice_citations"} <= {check["rule"] for check in made["checks"]}
    assert {check["decision"] for check in made["checks"]} == {made["id"]}
    assert (made["policy_version"] or "").startswith("default")


async def test_a_replay_tells_then_and_now(admin: Caller) -> None:
    made = await decided(admin)
    answer = await admin.post(f"/v1/decisions/{made['id']}/replay")
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["object"], told["decision"], told["payment"]) == ("decision_replay", made["id"], None)
    assert (told["difference_minor"], told["difference"], told["changed"]) == (0, "$0.00", [])
    assert told["then"]["decision"] == made["id"] != told["now"]["decision"]
    for course in (told["then"], told["now"]):
        assert course == {**course, **COURSE, "verdict": made["verdict"]}
    again = (await admin.get(f"/v1/decisions/{told['now']['decision']}")).json()
    assert (again["replay_of"], again["request"]) == (made["id"], QUESTION["request"])
    refused = await admin.post(f"/v1/decisions/{again['id']}/replay")
    assert (refused.status_code, refused.json()["code"]) == (409, "state_conflict")


async def test_who_may_replay(door: Door, admin: Caller) -> None:
    made = await decided(admin)
    for number, (roles, status) in enumerate(((["initiate", "settle"], 403), (["review"], 201))):
        person = (await admin.post("/v1/agents", {"name": f"a-{number}", "roles": roles})).json()["id"]
        secret = (await admin.post("/v1/keys", {"principal": person})).json()["secret"]
        async with door.caller(secret) as caller:
            answer = await caller.post(f"/v1/decisions/{made['id']}/replay")
            assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "claude-opus-5-5"}, "model"),
        ({"effort": "low"}, "effort"),
        ({"model": "two words"}, "model"),
        ({"model": ""}, "model"),
        ({"effort": "enormous"}, "effort"),
        ({"adviser": "rules"}, "adviser"),
    ],
    ids=str,
)
async def test_what_cannot_be_asked(admin: Caller, body: dict[str, Any], param: str) -> None:
    made = await decided(admin)
    answer = await admin.post(f"/v1/decisions/{made['id']}/replay", body)
    assert (answer.status_code, answer.json()["param"]) == (400, param), answer.text
