"""``/v1/credits``: topping up, replays, refusals and the view of what is left."""

import pytest

from paywarden.flow import credit
from tests.doors.door import Door, absent_id

CASH = {
    "customer": "cust_42", "amount_minor": 50_000, "currency": "usd", "funding": "prepaid",
    "reference": "bank statement 7, line 3",
}  # fmt: skip


async def test_a_top_up_is_answered_whole_and_replayed_as_such(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        first = await admin.post("/v1/credits/top-ups", CASH, key="top-1")
        again = await admin.post("/v1/credits/top-ups", CASH, key="top-1")
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        assert (first.json()["object"], first.json()["display"]) == ("credit_top_up", "$500.00")
        assert first.json()["id"].startswith("top_")
        other = await admin.post("/v1/credits/top-ups", {**CASH, "amount_minor": 1}, key="top-1")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        shown = (await admin.get("/v1/credits/cust_42")).json()
        assert (shown["object"], shown["customer"]) == ("credit", "cust_42")
        assert shown["balances"] == [
            {"funding": "prepaid", "currency": "usd", "balance_minor": 50_000, "held_minor": 0,
             "available_minor": 50_000, "available": "$500.00", "blocked": False}
        ]  # fmt: skip


async def test_an_agent_cannot_fund_its_own_gate(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        bot = (await admin.post("/v1/agents", {"name": "bot", "roles": ["initiate"]})).json()["id"]
        secret = (await admin.post("/v1/keys", {"principal": bot})).json()["secret"]
        async with door.caller(secret) as agent:
            refused = await agent.pay("/v1/credits/top-ups", **CASH)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert (await admin.get("/v1/credits/cust_42")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "param"),
    [({"reference": None}, "reference"), ({"funding": "borrowed"}, "funding"), ({"amount_minor": 0}, "amount_minor")],
)
async def test_a_refusal_names_the_field(door: Door, changes: dict[str, object], param: str) -> None:
    async with door.caller(await door.admin_key()) as admin:
        refused = await admin.pay("/v1/credits/top-ups", **{**CASH, **changes})
        assert (refused.status_code, refused.json()["param"]) == (400, param)


async def test_without_a_key_of_idempotency_nothing_is_topped_up(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        refused = await admin.post("/v1/credits/top-ups", CASH)
        assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_key_missing")
        assert (await admin.get("/v1/credits/cust_42")).status_code == 404


async def test_top_ups_are_listed_newest_first_with_who_made_them(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        clerk = (await admin.post("/v1/agents", {"kind": "person", "name": "ann", "roles": ["settle"]})).json()["id"]
        secret = (await admin.post("/v1/keys", {"principal": clerk})).json()["secret"]
        await admin.pay("/v1/credits/top-ups", **CASH)
        async with door.caller(secret) as ann:
            made = (await ann.pay("/v1/credits/top-ups", **CASH)).json()
            other = (await ann.pay("/v1/credits/top-ups", **{**CASH, "customer": "cust_43"})).json()
        assert made["principal"] == clerk
        first = (await admin.get("/v1/credits/top-ups?limit=2")).json()
        assert (first["data"], first["has_more"]) == ([other, made], True)
        rest = (await admin.get(f"/v1/credits/top-ups?cursor={first['next_cursor']}")).json()
        assert [each["principal"][:4] for each in rest["data"]] == ["per_"]
        assert (rest["data"][0]["principal"] != clerk, rest["has_more"]) == (True, False)
        assert (await admin.get("/v1/credits/top-ups?customer=cust_43")).json()["data"] == [other]
        for query, param in (("cursor=top_1", "cursor"), ("limit=0", "limit"), ("customer=", "customer")):
            refused = await admin.get(f"/v1/credits/top-ups?{query}")
            assert (refused.status_code, refused.json()["param"]) == (400, param)
        async with door.caller(await door.tenant("acme")) as stranger:
            for query in ("", "?customer=cust_42", f"?cursor={other['id']}"):
                assert (await stranger.get(f"/v1/credits/top-ups{query}")).json()["data"] == []


WHY = {"reason": "Meant for cust_43."}


async def test_a_wrong_top_up_is_reversed_once_and_shown_as_such(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        clerk = (await admin.post("/v1/agents", {"kind": "person", "name": "ann", "roles": ["settle"]})).json()["id"]
        secret = (await admin.post("/v1/keys", {"principal": clerk})).json()["secret"]
        made = (await admin.post("/v1/credits/top-ups", CASH, key="top-1")).json()
        assert made["reversal"] is None
        path = f"/v1/credits/top-ups/{made['id']}/reverse"
        async with door.caller(secret) as ann:
            done = await ann.post(path, WHY, key="undo-1")
            again = await ann.post(path, WHY, key="undo-1")
        assert (done.status_code, again.status_code) == (200, 200)
        assert ("Idempotent-Replayed" in done.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
        undone = done.json()["reversal"]
        assert (undone["principal"], undone["reason"]) == (clerk, "Meant for cust_43.")
        assert done.json() == again.json() == {**made, "reversal": undone}
        assert (await admin.get("/v1/credits/top-ups")).json()["data"] == [done.json()]
        assert (await admin.post("/v1/credits/top-ups", CASH, key="top-1")).json() == done.json()
        second = await admin.post(path, WHY, key="undo-2")
        assert (second.status_code, second.json()["code"]) == (409, "state_conflict")
        (left,) = (await admin.get("/v1/credits/cust_42")).json()["balances"]
        assert left["balance_minor"] == 0


async def test_the_transfers_on_a_customers_credit(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        for customer in ("cust_42", "cust_4"):
            made = (await admin.pay("/v1/credits/top-ups", **{**CASH, "customer": customer})).json()["id"]
            await admin.pay("/v1/credits/top-ups", **{**CASH, "customer": customer, "currency": "eur"})
            await admin.pay("/v1/credits/top-ups", **{**CASH, "customer": customer, "funding": "granted"})
            assert (await admin.post(f"/v1/credits/top-ups/{made}/reverse", WHY, key=f"undo-{customer}")).is_success
        found: list[dict[str, str]] = []
        cursor = None
        while len(found) < 9:
            query = {"customer": "cust_42", "limit": 1} | ({"cursor": cursor} if cursor else {})
            page = (await admin.get("/v1/ledger/transfers", **query)).json()
            found += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        told = [(each["debit"], each["credit"], each["asset"]) for each in found]
        assert told == [
            ("customer_credit/cust_42", "bank/default", "USD/2"),
            ("credit_source", "credit/cust_42", "USD/2"),
            ("bank/default", "customer_credit/cust_42", "EUR/2"),
            ("bank/default", "customer_credit/cust_42", "USD/2"),
        ]
        assert (await admin.get("/v1/ledger/transfers", customer="cust_42")).json()["data"] == found
        assert (await admin.get("/v1/ledger/transfers", customer="nobody")).json()["data"] == []
        async with door.caller(await door.tenant("acme")) as stranger:
            assert (await stranger.get("/v1/ledger/transfers", customer="cust_42")).json()["data"] == []


async def test_more_than_is_left_is_not_taken_back_and_the_answer_names_what_is(door: Door) -> None:
    async with door.caller(await door.admin_key()) as admin:
        bot = (await admin.post("/v1/agents", {"name": "bot", "roles": ["initiate"]})).json()["id"]
        made = (await admin.pay("/v1/credits/top-ups", **CASH)).json()["id"]
        secret = (await admin.post("/v1/keys", {"principal": bot})).json()["secret"]
        path = f"/v1/credits/top-ups/{made}/reverse"
        async with door.caller(secret) as agent:
            held = await agent.pay("/v1/holds", amount_minor=1, currency="usd", customer="cust_42")
            assert held.status_code == 201, held.text
            refused = await agent.post(path, WHY, key="mine")
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        refused = await admin.post(path, WHY, key="undo-1")
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient")
        assert refused.json()["available_minor"] == 49_999
        assert "$499.99" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "key", "told"),
    [({}, "u", (400, "reason")), ({"reason": " "}, "u", (400, "reason")), (WHY, None, (400, "Idempotency-Key")),
     ({**WHY, "amount_minor": 1}, "u", (400, "amount_minor"))],
)  # fmt: skip
async def test_a_reversal_needs_a_reason_and_a_key(
    door: Door, body: dict[str, object], key: str | None, told: tuple[int, str]
) -> None:
    async with door.caller(await door.admin_key()) as admin:
        made = (await admin.pay("/v1/credits/top-ups", **CASH)).json()["id"]
        refused = await admin.post(f"/v1/credits/top-ups/{made}/reverse", body, key=key)
        for absent in (absent_id("top"), "top_1", made.replace("top_", "hold_")):
            nothing = await admin.post(f"/v1/credits/top-ups/{absent}/reverse", WHY, key="u")
            assert (nothing.status_code, nothing.json()["detail"]) == (404, "There is no such top-up.")
        assert (refused.status_code, refused.json().get("param")) == told


async def test_more_credit_than_can_be_counted_is_a_refusal_that_names_the_field(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credit, "MAX_GIVEN_MINOR", 99_999)
    async with door.caller(await door.admin_key()) as admin:
        assert (await admin.pay("/v1/credits/top-ups", **CASH)).status_code == 201
        refused = await admin.pay("/v1/credits/top-ups", **CASH)
        assert (refused.status_code, refused.json()["param"]) == (400, "amount_minor")
        assert "may come to $999.99, and $500.00 was given before" in refused.json()["detail"]
        assert len((await admin.get("/v1/credits/top-ups")).json()["data"]) == 1
