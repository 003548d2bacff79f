"""Bad input of every kind, on every POST route: 400 with the field named, nothing repeated, no row left behind (R19).

A case that should have been refused and was not shows up by its route, field and value.
"""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from paywarden.api import strict_json
from tests.conftest import Database
from tests.doors.door import Caller, Door, absent_id

CARD = "4111 1111 1111 1111"
RAW = "\x01raw:"
AMOUNTS: list[Any] = [
    True, False, 1.0, 2500.5, "2500", "12", "２５００", "1_000", "", -1, 0, 10**15 + 1, 2**63, 2**64, -(2**63),
    f"{RAW}1e999", f"{RAW}NaN", f"{RAW}-Infinity", f"{RAW}1e400", f"{RAW}{'9' * 5000}", [2500], {"amount": 1},
]  # fmt: skip
WORDS: list[Any] = [
    "", " ", "\t", "\x00", "a\x00b", "a\x1bb", "\ud800", "a\udfffb", f"card {CARD}", 1, True, 1.5, [], {}, ["a"],
    f"{RAW}1e999",
]  # fmt: skip
IDS: list[Any] = [*WORDS, "a\nb", "x" * 256]
TEXTS: list[Any] = [*WORDS, "x" * 20_001]
CURRENCIES: list[Any] = ["USD", "Usd", "us", "usdd", "zzz", "xau", "usd ", " usd", "ｕｓｄ", "$", None, *WORDS]
VECTORS: list[Any] = [
    [], [0.0, 0.0], ["1"], [True], [None], [[1.0]], "1,2", {}, 1, [1.0] * 2001, [f"{RAW}1e999"], [f"{RAW}NaN"], [1e300],
    [f"{RAW}{'9' * 400}"],
]  # fmt: skip
COUNTS: list[Any] = [0, -1, 51, 1.0, "3", True, 2**63, [], f"{RAW}1e999"]
ENUMS: list[Any] = ["", "x", "CHARGE", 1, True, [], {}, "\ud800", CARD]
PRINCIPALS: list[Any] = [absent_id("pay"), "agt_", "agt_0", "x", "agt_" + "z" * 26, "\ud800", 1, True, [], CARD]
PAYMENTS: list[Any] = [absent_id("agt"), "pay_", absent_id("pay").upper(), "\ud800", 1, True, []]
MANDATES: list[Any] = [absent_id("pay"), "mdt_", "\ud800", 1, []]
INSTANTS: list[Any] = [
    "2030-01-01", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "2030-02-30T00:00:00Z", 1893456000, "1893456000",
    "now", "2030-01-01T25:00:00Z", "２０３０-01-01T00:00:00Z", "2030-01-01T00:00:00+99:99", "0000-01-01T00:00:00Z",
    True, [], "",
]  # fmt: skip
BOOLEANS: list[Any] = [1, 0, "true", "", [], 1.0]
NAMES: list[Any] = [["x"], "initiate", [1], [True], ["initiate"] * 8, {}]
BODIES: list[bytes] = [
    b"{", b"}", b"[]", b"[1]", b'"x"', b"1", b"true", b"NaN", b"Infinity", b"\xff\xfe", b"\x00", b"{} {}", b"{'a':1}",
    b"\xef\xbb\xbf{}", '{"a":1}'.encode("utf-16"), b'{"a":"\xed\xa0\x80"}', b"[" * 100_000, b'{"a":' * 5_000,
    b'{"a":' * 40 + b"1" + b"}" * 40, b'{"a":1,"a":2}', b"\x1f\x8b\x08\x00",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Route:
    """A POST route with a good body, and which kinds of bad values each of its fields gets."""

    path: str
    body: dict[str, Any]
    fields: dict[str, list[Any]]
    required: tuple[str, ...]
    keyed: bool = False

    @property
    def takes_no_body(self) -> bool:
        return not self.required


LIMIT = {"currency": "usd", "window": "day", "limit_minor": 100}
V1_PAYMENT = {"kind": "charge", "amount_minor": 2500, "currency": "usd", "customer": "c", "purpose": "p"}
V1_PAYMENT_FIELDS = {
    "kind": ENUMS, "amount_minor": AMOUNTS, "currency": CURRENCIES, "customer": IDS, "payee": IDS, "purpose": IDS,
    "reference": IDS, "request": TEXTS, "payment": PAYMENTS, "mandate": MANDATES,
}  # fmt: skip
V1_HOLD = {"amount_minor": 5, "currency": "usd", "customer": "c"}
V1_HOLD_FIELDS = {
    "amount_minor": AMOUNTS, "currency": CURRENCIES, "customer": IDS, "mandate": MANDATES, "feature": IDS,
    "funding": ENUMS, "expires_in": [0, -1, 1.0, True, "60", 30 * 86_400 + 1, 2**63, [], f"{RAW}NaN"],
}  # fmt: skip
ROUTES = [
    Route(
        "/payments",
        {"user_id": "u", "amount_cents": 2500, "currency": "usd"},
        {"user_id": IDS, "amount_cents": AMOUNTS, "currency": CURRENCIES, "reference": IDS},
        ("user_id", "amount_cents"),
    ),
    Route(
        "/payments/create",
        {"agent_id": "a", "amount_cents": 2500, "currency": "usd"},
        {"agent_id": IDS, "amount_cents": AMOUNTS, "currency": CURRENCIES, "reference": IDS},
        ("agent_id", "amount_cents"),
    ),
    Route("/agents/nobody/mark-paid", {}, {"id": IDS, "reference": IDS}, ()),
    Route(
        "/decisions",
        {"customer_id": "c", "request": "r", "requested_amount_cents": 5000},
        {"customer_id": IDS, "request": TEXTS, "requested_amount_cents": AMOUNTS},
        ("customer_id", "request", "requested_amount_cents"),
    ),
    Route(
        "/knowledge",
        {"customer_id": "c", "content": "x"},
        {
            "customer_id": IDS, "content": TEXTS, "embedding": VECTORS, "trust": ENUMS, "source": IDS,
            "invoice_id": IDS, "case_id": IDS,
        },
        ("customer_id", "content"),
    ),
    Route(
        "/knowledge/search",
        {"customer_id": "c", "q": "x"},
        {"customer_id": IDS, "q": TEXTS, "limit": COUNTS},
        ("customer_id",),
    ),
    Route("/knowledge/search", {"customer_id": "c"}, {"embedding": VECTORS}, ("customer_id",)),
    Route(
        "/v1/payments",
        V1_PAYMENT,
        {**V1_PAYMENT_FIELDS, "confirm": BOOLEANS, "capture": [False, 1], "provider": ["x", 1]},
        ("kind", "amount_minor", "currency", "purpose"),
        keyed=True,
    ),
    Route(
        "/v1/holds", V1_HOLD, V1_HOLD_FIELDS, ("amount_minor", "currency", "customer"), keyed=True,
    ),
    Route(
        "/v1/holds:batch",
        {"holds": [{**V1_HOLD, "idempotency_key": "k"}]},
        {"holds": [
            [], {}, "x", [1], [None], [{}], [V1_HOLD], [{**V1_HOLD, "idempotency_key": "k"}] * 101,
            [{**V1_HOLD, "idempotency_key": "k", "more": 1}],
            *([{**V1_HOLD, "idempotency_key": key}] for key in ("", "a b", "x" * 256, "é", "a\n", "\x00", 1, None)),
            *([{**V1_HOLD, "idempotency_key": "k", field: value}]
              for field, values in V1_HOLD_FIELDS.items() if field != "mandate" for value in values),
        ]},
        ("holds",),
    ),
    Route(
        "/v1/holds/{hold}/capture", {"amount_minor": 1}, {"amount_minor": AMOUNTS, "final": BOOLEANS},
        ("amount_minor",), keyed=True,
    ),
    Route("/v1/payments:check", V1_PAYMENT, V1_PAYMENT_FIELDS, ("kind", "amount_minor", "currency")),
    Route(
        "/v1/payments/{payment}/refund",
        {"amount_minor": 1, "currency": "usd"},
        {
            "amount_minor": AMOUNTS, "currency": CURRENCIES, "purpose": IDS, "reference": IDS, "request": TEXTS,
            "mandate": MANDATES,
        },
        ("amount_minor", "currency"),
        keyed=True,
    ),
    Route(
        "/v1/reviews/{review}/verdict",
        {"verdict": "reject", "reason": "r"},
        {"verdict": ENUMS, "reason": TEXTS, "action_digest": ["", "0" * 63, "g" * 64, "0" * 64 + "\n", 1, []]},
        ("verdict", "reason"),
    ),
    Route(
        "/v1/notes",
        {"customer": "c", "content": "x"},
        {
            "customer": IDS, "content": TEXTS, "embedding": VECTORS, "trust": ENUMS, "source": IDS, "invoice": IDS,
            "case": IDS, "facts": [1, "x", [], {"a": 1}, {"a": f"{RAW}NaN"}, {"a": "\ud800"}],
            "valid_until": INSTANTS,
        },
        ("customer", "content"),
    ),
    Route("/v1/notes:import", {"notes": [{"customer": "c", "content": "x"}]},
          {"notes": [*([{"customer": "c", "content": value}] for value in TEXTS),
                     [], {}, "x", [1], [None], [{}], [{"customer": "c", "content": "x"}] * 201]}, ("notes",)),
    Route("/v1/notes/{note}/expire", {}, {"valid_until": INSTANTS}, ()),
    Route(
        "/v1/notes/search", {"customer": "c", "q": "x"}, {"customer": IDS, "q": TEXTS, "limit": COUNTS}, ()
    ),
    Route(
        "/v1/decisions",
        {"customer": "c", "request": "r", "amount_minor": 5000, "currency": "usd"},
        {"customer": IDS, "request": TEXTS, "amount_minor": AMOUNTS, "currency": CURRENCIES},
        ("customer", "request", "amount_minor", "currency"),
    ),
    Route(
        "/v1/mandates",
        {"principal": "{agent}", "name": "n", "kinds": ["charge"], "limits": [LIMIT], "timezone": "UTC"},
        {
            "principal": PRINCIPALS, "name": IDS, "kinds": [[], "charge", ["x"], [1], ["charge"] * 5],
            "limits": [[], {}, "x", [1], [{}], [LIMIT, LIMIT], [{**LIMIT, "window": "payment"}],
                       *([{**LIMIT, "limit_minor": amount}] for amount in AMOUNTS),
                       *([{**LIMIT, "currency": currency}] for currency in CURRENCIES), [{**LIMIT, "window": "week"}],
                       [{**LIMIT, "more": 1}]],
            "timezone": [*IDS, "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "utc\n"],
            "payees": [[], "x", [1], ["\x00"], [CARD], ["p"] * 1001], "valid_from": INSTANTS, "valid_until": INSTANTS,
        },
        ("principal", "name", "kinds", "limits", "timezone"),
    ),
    Route(
        "/v1/agents",
        {"kind": "agent", "name": "n", "roles": []},
        {"kind": ENUMS, "name": IDS, "roles": NAMES},
        ("name", "roles"),
    ),
    Route(
        "/v1/keys",
        {"principal": "{agent}"},
        {"principal": PRINCIPALS, "expires_in_seconds": [0, -1, 1.0, True, "60", 10**10, 2**63, []]},
        ("principal",),
    ),
    Route("/v1/reconciliation/runs", {}, {"since": INSTANTS, "until": INSTANTS}, ()),
]  # fmt: skip


def encoded(body: Any) -> bytes:
    """The body as JSON; what is marked as raw stands in it as it is."""
    text = json.dumps(body)
    marker = json.dumps(RAW)[:-1]
    while marker in text:
        before, _, after = text.partition(marker)
        value, _, rest = after.partition('"')
        text = before + value + rest
    return text.encode()


def bad_bodies(route: Route) -> Iterator[tuple[str, bytes]]:
    """(the field to be named, a body that is wrong by just that)."""
    for field, values in route.fields.items():
        for value in values:
            yield field, encoded({**route.body, field: value})
    for field in route.required:
        yield field, encoded({name: value for name, value in route.body.items() if name != field})
        yield field, encoded({**route.body, field: None})
    yield "surprise", encoded({**route.body, "surprise": 1})
    yield "surprise", encoded({**route.body, "surprise": f"{RAW}{'9' * 5_000}"})
    for name in ("\ud800", "a b", "", "x" * 10_000, CARD, "__proto__\x00"):
        yield "body", encoded({**route.body, name: 1})
    for body in BODIES:
        yield "body", body
    if route.required:
        yield "body", b"null"
        yield "body", b""


def rows(database: Database) -> dict[str, int]:
    """How many rows every table has."""
    with psycopg.connect(database.superuser_url) as connection:
        names = connection.execute("select tablename from pg_tables where schemaname = 'paywarden'").fetchall()
        return {
            name: connection.execute(f'select count(*) from paywarden."{name}"').fetchall()[0][0] for (name,) in names
        }


@pytest.fixture
async def scene(door: Door) -> AsyncIterator[tuple[Door, Caller, dict[str, str]]]:
    """A caller with every role, and real ids to put into paths and bodies."""
    await door.post("/agents/other/reserve?amount_cents=1")
    async with door.caller(await door.admin_key()) as admin:
        async with door.settling_at_once():
            charge = (await admin.charge()).json()
        for _ in range(2):
            await door.post("/payments", {"user_id": "u", "amount_cents": 100, "currency": "usd"})
        (review,) = (await admin.get("/v1/reviews")).json()["data"]
        agent = (await admin.get("/v1/agents")).json()["data"][0]
        note = (await admin.post("/v1/notes", {"customer": "n", "content": "x"})).json()
        named = {"payment": charge["id"], "review": review["id"], "agent": agent["id"], "note": note["id"]}
        yield door, admin, {**named, "hold": await admin.held()}


async def test_bad_bodies_name_the_field_and_leave_no_row(
    scene: tuple[Door, Caller, dict[str, str]], database: Database
) -> None:
    _, admin, names = scene
    before = rows(database)
    wrong = {route.path: await wrongly_answered(admin, route, names) for route in ROUTES}
    assert {path: answers for path, answers in wrong.items() if answers} == {}
    assert rows(database) == before


async def test_the_table_notices_a_door_that_parses_with_tolerance(
    scene: tuple[Door, Caller, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: the standard library's parser, which takes NaN, repeated names and any depth."""
    _, admin, names = scene
    monkeypatch.setattr(strict_json, "parse", json.loads)
    assert await wrongly_answered(admin, ROUTES[0], names) != []


async def wrongly_answered(caller: Caller, route: Route, names: dict[str, str]) -> list[tuple[str, bytes, int, str]]:
    """Every bad body that was not refused for the field that is wrong: field, body, status, answer."""
    wrong: list[tuple[str, bytes, int, str]] = []
    for field, content in bad_bodies(route):
        body = content.replace(b"{agent}", names["agent"].encode())
        answer = await post_raw(caller, route.path.format(**names), body, keyed=route.keyed)
        if not refused_for(answer, field) or CARD in answer.text:
            wrong.append((field, body[:120], answer.status_code, answer.text[:200]))
    return wrong


async def post_raw(caller: Caller, path: str, body: bytes, *, keyed: bool) -> httpx.Response:
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": "hostile"} if keyed else {})
    return await caller.http.post(path, content=body, headers=headers)


def refused_for(answer: httpx.Response, field: str) -> bool:
    """A problem with status 400 that names the field, or the line of it that is wrong."""
    if answer.status_code != 400 or answer.headers["Content-Type"] != "application/problem+json":
        return False
    param = answer.json().get("param")
    return bool(param == field or str(param).startswith(f"{field}.") or (field, param) in ALSO)


# Where a rule of the flow looks across fields it may name the other one; the value itself is refused all the same.
ALSO = {("valid_until", "valid_from"), ("limits", "currency"), ("payee", "customer")}


async def test_a_good_body_is_taken_where_the_bad_ones_were_refused(scene: tuple[Door, Caller, dict[str, str]]) -> None:
    """So that no route above refused for another reason than the bad value."""
    _, admin, names = scene
    for route in ROUTES:
        if route.path in {"/agents/nobody/mark-paid", "/v1/reviews/{review}/verdict"} or "embedding" in route.fields:
            continue
        body = encoded(route.body).replace(b"{agent}", names["agent"].encode())
        answer = await post_raw(admin, route.path.format(**names), body, keyed=False)
        code = answer.json().get("code")
        assert (route.path, answer.status_code in {200, 201, 202} or code == "idempotency_key_missing") == (
            route.path, True,
        ), answer.text  # fmt: skip


class TestQueries:
    async def test_amounts_in_ascii_digits_only(self, scene: tuple[Door, Caller, dict[str, str]]) -> None:
        door, _, _ = scene
        before = await door.count("payments")
        for text in (
            "1_000", "１２", "+5", "%2B5", "%205", "5%20", "5.0", "1e3", "0", "-1", "", "0x10", "1" * 30, "%00", "NaN",
            "true", "١٢", "10000000000000000", "1000000000000001", "5&amount_cents=6",
        ):  # fmt: skip
            answer = await door.post(f"/agents/a/reserve?amount_cents={text}")
            assert (text, answer.status_code, answer.json().get("param")) == (text, 400, "amount_cents")
        missing = await door.post("/agents/a/reserve")
        assert (missing.status_code, missing.json()["param"]) == (400, "amount_cents")
        assert await door.count("payments") == before

    async def test_a_body_where_none_belongs(self, scene: tuple[Door, Caller, dict[str, str]]) -> None:
        door, _, _ = scene
        answer = await door.post("/agents/a/reserve?amount_cents=5", {"amount_cents": 6})
        assert (answer.status_code, answer.json()["param"]) == (400, "body")
        assert (await door.post("/agents/a/reserve?amount_cents=5", {})).status_code == 200

    async def test_agents_by_hostile_names(self, scene: tuple[Door, Caller, dict[str, str]]) -> None:
        door, _, _ = scene
        for name in ("%00", "a%0Ab", "%ED%A0%80%00", "x" * 256, "%20", "4111111111111111"):
            for path in (f"/agents/{name}/reserve?amount_cents=5", f"/agents/{name}/mark-paid"):
                answer = await door.post(path)
                assert (path, answer.status_code, answer.json().get("param")) == (path, 400, "agent_id")

    async def test_what_is_no_utf8_becomes_nobodys_name(
        self, scene: tuple[Door, Caller, dict[str, str]], database: Database
    ) -> None:
        """Servers decode such an address with replacement characters, in which two names would be one agent."""
        door, admin, _ = scene
        before = rows(database)
        for name in ("a%FFb", "%ED%A0%80", "%C3", "%C0%AF"):
            for path in (f"/agents/{name}/reserve?amount_cents=5", f"/agents/{name}/mark-paid"):
                answer = await door.post(path)
                assert (path, answer.status_code, answer.json().get("param")) == (path, 400, "agent_id")
            for query, param in ((f"customer_id=c&q={name}", "q"), (f"customer_id={name}&q=x", "customer_id")):
                answer = await door.local.get(f"/knowledge/search?{query}")
                assert (query, answer.status_code, answer.json().get("param")) == (query, 400, param)
            answer = await admin.http.get(f"/v1/payments?customer={name}")
            assert (name, answer.status_code, answer.json().get("param")) == (name, 400, "customer")
            capture = await admin.http.post(f"/v1/holds/{name}/capture", json={"amount_minor": 1})
            assert (name, capture.status_code) == (name, 400)
        assert rows(database) == before
        # Whoever really has that character in a name can be asked for.
        assert (await door.get("/knowledge/search", customer_id="a\N{REPLACEMENT CHARACTER}", q="x")).status_code == 200
        assert (await door.post("/agents/a%EF%BF%BDb/reserve?amount_cents=5")).status_code == 200

    async def test_what_is_too_large_is_told_to_be_too_large(self, scene: tuple[Door, Caller, dict[str, str]]) -> None:
        door, _, _ = scene
        for digits in ("1000000000000001", str(2**63), "9" * 40):
            answer = await door.post(f"/agents/a/reserve?amount_cents={digits}")
            assert answer.json()["detail"] == "amount_cents must be at most 1000000000000000"
        answer = await door.post("/knowledge", {"customer_id": "c", "content": "x", "embedding": ["1"]})
        assert answer.json()["detail"] == "embedding.0 must be a number"

    async def test_lists(self, scene: tuple[Door, Caller, dict[str, str]]) -> None:
        _, admin, _ = scene
        for query, param in (
            ("limit=0", "limit"), ("limit=101", "limit"), ("limit=1_0", "limit"), ("limit=", "limit"),
            ("limit=1&limit=2", "limit"), ("cursor=x", "cursor"), ("cursor=" + "A" * 200, "cursor"),
            ("status=paid", "status"), ("customer=%00", "customer"), ("customer=", "customer"),
            ("surprise=1", "surprise"), ("%00=1", "query"), (f"{CARD}=1", "query"), ("limit=%EF%BC%95", "limit"),
        ):  # fmt: skip
            answer = await admin.http.get(f"/v1/payments?{query}")
            assert (query, answer.status_code, answer.json().get("param")) == (query, 400, param)

    async def test_searches(self, scene: tuple[Door, Caller, dict[str, str]]) -> None:
        door, _, _ = scene
        for query, param in (
            ("q=x", "customer_id"), ("customer_id=c", "q"), ("customer_id=c&q=x&limit=51", "limit"),
            ("customer_id=c&q=x&limit=0", "limit"), ("customer_id=c&q=%20", "q"),
            ("customer_id=%00&q=x", "customer_id"), ("customer_id=c&q=" + "x" * 20_001, "q"),
            ("customer_id=c&q=x&customer_id=d", "customer_id"),
        ):  # fmt: skip
            answer = await door.local.get(f"/knowledge/search?{query}")
            assert (query[:40], answer.status_code, answer.json().get("param")) == (query[:40], 400, param)


class TestBodies:
    async def test_a_body_beyond_the_limit(self, door: Door) -> None:
        body = json.dumps({"customer_id": "c", "content": "x" * 262_144}).encode()
        headers = {"Content-Type": "application/json"}
        declared = await door.local.post("/knowledge", content=body, headers=headers)
        assert (declared.status_code, declared.json()["code"]) == (413, "body_too_large")

        async def in_pieces() -> AsyncIterator[bytes]:
            for _ in range(300):
                yield b"x" * 1024

        streamed = await door.local.post("/knowledge", content=in_pieces(), headers=headers)
        assert (streamed.status_code, streamed.json()["code"]) == (413, "body_too_large")
        lying = await door.local.post("/knowledge", content=body, headers={**headers, "Content-Length": "10"})
        assert lying.status_code == 413

    @pytest.mark.parametrize(("pieces", "whole"), [(30, True), (100, False)])
    async def test_a_refused_body_is_received_so_that_its_sender_reads_the_refusal(
        self, door: Door, pieces: int, whole: bool
    ) -> None:
        """Answered while it sends, a caller sees a broken connection; but nobody is listened to for ever."""
        received = 0

        async def body() -> AsyncIterator[bytes]:
            nonlocal received
            while received < pieces:
                received += 1
                yield b"x" * 65_536

        answer = await door.local.post("/knowledge", content=body(), headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert (received == pieces) == whole

    async def test_what_is_not_declared_as_json(self, door: Door) -> None:
        body = b'{"user_id":"u","amount_cents":2500,"currency":"usd"}'
        async with door.caller(await door.admin_key()) as admin:
            for content_type in (
                "text/plain",
                "application/xml",
                "multipart/form-data; boundary=x",
                "",
                "application/jsonx",
            ):
                answer = await admin.http.post("/payments", content=body, headers={"Content-Type": content_type})
                assert (content_type, answer.status_code) == (content_type, 415)
            assert (await admin.http.post("/payments", content=body)).status_code == 415
        assert await door.count("payments") == 0
