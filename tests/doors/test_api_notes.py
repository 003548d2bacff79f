"""Notes at the door: found by words beside meaning, ended by who may, traced to the decisions that were given them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.doors.door import Caller, Door, absent_id


@pytest.fixture
async def admin(door: Door) -> AsyncIterator[Caller]:
    async with door.caller(await door.admin_key()) as caller:
        yield caller


async def an_agent(admin: Caller, name: str, *roles: str) -> str:
    """The key of a new agent with these roles."""
    agent = (await admin.post("/v1/agents", {"name": name, "roles": list(roles)})).json()["id"]
    return str((await admin.post("/v1/keys", {"principal": agent})).json()["secret"])


async def kept(caller: Caller, content: str, **more: Any) -> str:
    answer = await caller.post("/v1/notes", {"customer": "c", "content": content, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def found(caller: Caller, q: str, customer: str = "c") -> list[str]:
    """The ids that both searches find, in the same order."""
    one = await caller.post("/v1/notes/search", {"customer": customer, "q": q, "limit": 50})
    other = await caller.post("/knowledge/search", {"customer_id": customer, "q": q, "limit": 50})
    assert (one.status_code, other.status_code) == (200, 200), one.text + other.text
    names = [note["id"] for note in one.json()["data"]]
    assert [note["id"] for note in other.json()["data"]] == names
    return names


async def decide(caller: Caller, request: str) -> dict[str, Any]:
    body = {"customer": "c", "request": request, "amount_minor": 500, "currency": "usd"}
    decision: dict[str, Any] = (await caller.post("/v1/decisions", body)).json()
    return decision


async def test_an_order_number_finds_its_note_among_near_ones(admin: Caller) -> None:
    for number in range(20):
        await kept(admin, f"Please refund order ORD-{7000 + number}, it was charged twice.")
    wanted = await kept(admin, "Birthday greetings were sent; reference QX-7719.")
    assert (await found(admin, "QX-7719"))[0] == wanted
    assert (await found(admin, '"reference QX-7719"'))[0] == wanted


async def test_hostile_queries_are_answered_or_refused(admin: Caller) -> None:
    note = await kept(admin, "x")
    for q in (
        "\"", "-x", "or", "!!", "' & |", "a:*", "<->", "x" * 20_000, "a or " * 4_000, "-a " * 6_000, "\"a b\" " * 3_000,
        "\u202e", "the", "\ufeff", "\\", "%s%n", "😀",
    ):  # fmt: skip
        assert await found(admin, q) == [note], q[:20]
    json_type = {"Content-Type": "application/json"}
    for q in ("", " ", "\x00", "a\x00b", "\ud800", "x" * 20_001):
        for path, body in (("/v1/notes/search", {"customer": "c"}), ("/knowledge/search", {"customer_id": "c"})):
            answer = await admin.http.post(path, content=json.dumps({**body, "q": q}), headers=json_type)
            assert (answer.status_code, answer.json()["param"]) == (400, "q")


async def test_an_ended_note_is_neither_found_nor_given_to_a_decision(admin: Caller) -> None:
    note = await kept(admin, "Was promised a refund of the yearly fee.")
    before = await decide(admin, "the yearly fee refund")
    ended = await admin.post(f"/v1/notes/{note}/expire")
    assert (ended.status_code, ended.json()["id"]) == (200, note)
    assert ended.json()["valid_until"] is not None
    assert (await admin.post(f"/v1/notes/{note}/expire", {})).json() == ended.json()
    assert await found(admin, "yearly fee") == []
    after = await decide(admin, "the yearly fee refund")
    assert ([each["id"] for each in before["evidence"]], after["evidence"]) == ([note], [])
    influenced = (await admin.get(f"/v1/notes/{note}/decisions")).json()["data"]
    assert [each["decision"] for each in influenced] == [before["id"]]


async def test_a_note_ends_when_it_says(admin: Caller) -> None:
    past = await kept(admin, "an old promise", valid_until="2020-01-01T00:00:00Z")
    coming = await kept(admin, "a new promise", valid_until="2099-01-01T00:00:00Z")
    assert await found(admin, "promise") == [coming]
    earlier = await admin.post(f"/v1/notes/{coming}/expire", {"valid_until": "2098-01-01T00:00:00Z"})
    assert earlier.json()["valid_until"] == "2098-01-01T00:00:00.000Z"
    for note in (past, coming):
        put_off = await admin.post(f"/v1/notes/{note}/expire", {"valid_until": "2098-06-01T00:00:00Z"})
        assert (put_off.status_code, put_off.json()["code"]) == (409, "state_conflict")


async def test_only_an_administrator_or_the_author_ends_a_note(door: Door, admin: Caller) -> None:
    theirs = await kept(admin, "said by the administrator")
    async with (
        door.caller(await an_agent(admin, "author", "initiate")) as author,
        door.caller(await an_agent(admin, "other", "initiate", "review", "settle")) as other,
    ):
        own = await kept(author, "said by the agent")
        for caller, note in ((author, theirs), (other, own), (other, theirs)):
            refused = await caller.post(f"/v1/notes/{note}/expire")
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert (await author.post(f"/v1/notes/{own}/expire")).status_code == 200
    assert (await admin.post(f"/v1/notes/{theirs}/expire")).status_code == 200
    assert await found(admin, "said") == []


async def test_who_was_influenced_by_a_note_page_by_page(admin: Caller) -> None:
    note, unused = await kept(admin, "Says she was charged twice."), await kept(admin, "x", customer="nobody")
    made = [(await decide(admin, f"charged twice, letter {number}"))["id"] for number in range(3)]
    first = (await admin.get(f"/v1/notes/{note}/decisions", limit="2")).json()
    rest = (await admin.get(f"/v1/notes/{note}/decisions", limit="2", cursor=first["next_cursor"])).json()
    assert [each["decision"] for each in (*first["data"], *rest["data"])] == made[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    one = rest["data"][0]
    assert (one["object"], one["customer"], one["cited"], one["payment"]) == (
        "note_influence",
        "c",
        False,
        None,
    )
    assert (await admin.get(f"/v1/notes/{unused}/decisions")).json()["data"] == []
    assert (await admin.get(f"/v1/notes/{absent_id('note')}/decisions")).status_code == 404
    assert (await admin.get(f"/v1/notes/{note}/decisions", cursor="x")).json()["param"] == "cursor"


def lines(count: int, customer: str = "c") -> list[dict[str, Any]]:
    return [{"customer": f"{customer}{number % 3}", "content": f"message {number}"} for number in range(count)]


async def imported(caller: Caller, notes: list[dict[str, Any]]) -> dict[str, Any]:
    answer = await caller.post("/v1/notes:import", {"notes": notes})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_repeated_import_adds_nothing(door: Door, admin: Caller) -> None:
    first = await imported(admin, lines(50))
    assert (first["added"], first["already_there"], len(first["notes"])) == (50, 0, 50)
    again = await imported(admin, lines(60))
    assert (again["added"], again["already_there"]) == (10, 50)
    assert [note["id"] for note in again["notes"][:50]] == [note["id"] for note in first["notes"]]
    assert await door.count("notes") == 60
    assert len(await found(admin, "message", customer="c1")) == 20


async def test_a_note_is_the_same_only_if_all_it_says_is(door: Door, admin: Caller) -> None:
    note = {"customer": "c", "content": "paid", "trust": "staff", "source": "crm", "invoice": "i1", "case": "k1"}
    others = [{**note, name: "external" if name == "trust" else "x"} for name in note]
    told = await imported(admin, [note, note, *others, {**note, "valid_until": "2099-01-01T00:00:00Z"}])
    assert [each["added"] for each in told["notes"]] == [True, False, *[True] * 6, False]
    assert await door.count("notes") == 7


async def test_imports_of_the_same_at_once_add_it_once(door: Door, admin: Caller) -> None:
    told = await asyncio.gather(*(imported(admin, lines(40)[::step]) for step in (1, -1, 1, -1)))
    assert sum(each["added"] for each in told) == 40
    assert await door.count("notes") == 40


async def test_one_bad_note_is_named_and_none_is_kept(door: Door, admin: Caller) -> None:
    fact = {"type": "charge"}
    for bad, param in (
        ({"content": " "}, "content"),
        ({"customer": ""}, "customer"),
        ({"trust": "gospel"}, "trust"),
        ({"trust": "record", "facts": fact}, "facts"),
        ({"facts": fact}, "facts"),
        ({"embedding": [0.0]}, "embedding"),
        ({"valid_until": "soon"}, "valid_until"),
        ({"surprise": 1}, "surprise"),
    ):
        notes = lines(5)
        notes[3] |= bad
        answer = await admin.post("/v1/notes:import", {"notes": notes})
        assert (answer.status_code, answer.json()["param"]) == (400, f"notes.3.{param}"), answer.text
    for notes in ([], lines(201), [1]):
        assert (await admin.post("/v1/notes:import", {"notes": notes})).status_code == 400
    assert await door.count("notes") == 0


async def test_an_agent_imports_nothing_that_justifies_money(door: Door, admin: Caller) -> None:
    async with door.caller(await an_agent(admin, "importer", "initiate")) as agent:
        refused = await agent.post("/v1/notes:import", {"notes": [*lines(2), {**lines(1)[0], "trust": "staff"}]})
        assert (refused.status_code, await door.count("notes")) == (403, 0)
        assert (await imported(agent, lines(2)))["added"] == 2
    async with door.caller(await an_agent(admin, "reader", "review")) as reader:
        assert (await reader.post("/v1/notes:import", {"notes": lines(1)})).status_code == 403


async def test_an_import_is_its_own_tenants(door: Door, admin: Caller) -> None:
    async with door.caller(await door.tenant("acme")) as other:
        assert (await imported(admin, lines(3)))["added"] == 3
        assert (await imported(other, lines(3)))["added"] == 3
        assert len(await found(other, "message 1", customer="c1")) == 1


async def test_reviewers_and_administrators_search_all_customers(door: Door, admin: Caller) -> None:
    async with door.caller(await door.tenant("acme")) as other:
        await kept(other, "Was charged twice, says somebody of another tenant.")
    wanted = [await kept(admin, "Was charged twice for the order.", customer=name) for name in ("a", "b")]
    await kept(admin, "Was charged twice, long ago.", valid_until="2020-01-01T00:00:00Z")
    query = {"q": "double charge", "limit": 50}
    everything = (await admin.post("/v1/notes/search", query)).json()["data"]
    assert sorted((note["id"], note["customer"]) for note in everything) == sorted(zip(wanted, "ab", strict=True))
    for role, status in (("review", 200), ("initiate", 403), ("settle", 403)):
        async with door.caller(await an_agent(admin, f"all {role}", role)) as agent:
            assert (await agent.post("/v1/notes/search", query)).status_code == status
    for body in ({"embedding": [1.0]}, {"q": "x", "embedding": [1.0]}, {}):
        assert (await admin.post("/v1/notes/search", body)).json()["param"] == "customer"
