"""``/v1``, noun by noun: what is sent, what comes back, and that the flow underneath did it."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.doors.door import Caller, Door, absent_id

Json = dict[str, Any]
CLAIM = {
    "kind": "payout", "amount_minor": 600, "currency": "usd", "payee": "iban-of-ann", "customer": "ann",
    "purpose": "claims", "reference": "CLM-1",
}  # fmt: skip
APPROVAL = {"verdict": "approve", "reason": "the papers are in order"}
BARE_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture
async def admin(door: Door) -> AsyncIterator[Caller]:
    async with door.caller(await door.admin_key()) as caller:
        yield caller


async def paid_charge(door: Door, caller: Caller, amount_minor: int = 2_500, **more: Any) -> Json:
    """A charge that has succeeded at the provider and here."""
    async with door.settling_at_once():
        charge: Json = (await caller.charge(amount_minor, **more)).json()
    await door.succeed(charge["provider_payment_id"])
    return charge


async def an_agent(admin: Caller, *roles: str, kind: str = "agent", name: str = "bot") -> tuple[str, str]:
    """A principal with a key: its id and the secret."""
    agent = (await admin.post("/v1/agents", {"kind": kind, "name": name, "roles": list(roles)})).json()["id"]
    return agent, (await admin.post("/v1/keys", {"principal": agent})).json()["secret"]


def mandate_of(principal: str, **changes: Any) -> Json:
    limits = [
        {"currency": "usd", "window": "payment", "limit_minor": 20_000},
        {"currency": "usd", "window": "day", "limit_minor": 50_000},
    ]
    terms = {"principal": principal, "name": "support", "kinds": ["charge", "refund"], "limits": limits}
    return {**terms, "timezone": "Europe/Berlin", **changes}


class TestPayouts:
    async def test_a_payout_waits_for_a_person_and_ends_with_the_providers_event(
        self, door: Door, admin: Caller
    ) -> None:
        await paid_charge(door, admin)
        agent, secret = await an_agent(admin, "initiate", name="triage")
        assert (await admin.post("/v1/mandates", mandate_of(agent, kinds=["payout"]))).status_code == 201
        async with door.caller(secret) as triage:
            asked = await triage.pay(**CLAIM)
            assert (asked.status_code, asked.json()["status"], asked.json()["payee"]) == (
                202,
                "in_review",
                "iban-of-ann",
            )
            (review,) = (await admin.get("/v1/reviews", payment=asked.json()["id"])).json()["data"]
            assert (await triage.post(f"/v1/reviews/{review['id']}/verdict", APPROVAL)).status_code == 403
        approved = await admin.post(f"/v1/reviews/{review['id']}/verdict", APPROVAL)
        assert approved.status_code == 200
        payout = (await admin.get(f"/v1/payments/{asked.json()['id']}")).json()
        assert (payout["status"], payout["customer"], payout["refundable_minor"]) == ("processing", "ann", 0)
        event = {"id": "evt_payout_1", "type": "payout.succeeded", "data": {"id": payout["provider_payment_id"]}}
        assert (await door.event(event)).status_code == 200
        await door.work()
        told = (await admin.get(f"/v1/payments/{payout['id']}/dossier")).json()
        assert told["payment"]["status"] == "succeeded"
        booked = [(row["debit"], row["credit"]) for row in told["transfers"] if row["book"] == "money"]
        assert booked == [("expense/claims", "provider_clearing/rest/default")]

    @pytest.mark.parametrize(
        ("changes", "param"), [({"payee": None}, "payee"), ({"kind": "charge"}, "payee"), ({"payee": ""}, "payee")]
    )
    async def test_a_payout_names_its_payee_and_nothing_else_does(
        self, admin: Caller, changes: Json, param: str
    ) -> None:
        refused = await admin.pay(**{**CLAIM, **changes})
        assert (refused.status_code, refused.json()["param"]) == (400, param)

    async def test_without_a_mandate_for_payouts_there_is_none(self, admin: Caller) -> None:
        refused = await admin.pay(**CLAIM)
        assert (refused.status_code, refused.json()["code"]) == (403, "denied")


class TestPayments:
    async def test_a_charge_from_ask_to_success(self, door: Door, admin: Caller) -> None:
        asked = await admin.charge(2_500, reference="order-7")
        assert asked.status_code == 201
        charge = asked.json()
        assert (charge["object"], charge["status"], charge["display"]) == ("payment", "processing", "$25.00")
        assert (charge["customer"], charge["agent"], charge["purpose"]) == ("cust_1", "admin", "order")
        assert charge["decided_by"] == ["charge_autonomous"]
        await door.succeed(charge["provider_payment_id"])
        seen = (await admin.get(f"/v1/payments/{charge['id']}")).json()
        assert seen["status"] == "succeeded"
        assert (seen["captured_minor"], seen["refundable_minor"], seen["late"]) == (2_500, 2_500, False)

    async def test_pages_lead_through_all_payments_newest_first(self, door: Door, admin: Caller) -> None:
        made = [(await admin.charge(100 + n, f"cust_{n % 2}")).json()["id"] for n in range(5)]
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            query: Json = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            shown = (await admin.get("/v1/payments", **query)).json()
            assert shown["object"] == "list"
            seen += [payment["id"] for payment in shown["data"]]
            cursor = shown["next_cursor"]
        assert cursor is None
        assert seen == made[::-1]
        of_one = (await admin.get("/v1/payments", customer="cust_1", status="processing")).json()
        assert [payment["id"] for payment in of_one["data"]] == [made[3], made[1]]
        assert (await admin.get("/v1/payments", status="canceled")).json()["data"] == []

    async def test_kinds_and_statuses_are_found_alone_and_together(self, door: Door, admin: Caller) -> None:
        paid = [(await paid_charge(door, admin))["id"]]
        open_ = (await admin.charge(100)).json()["id"]
        paid.append((await paid_charge(door, admin))["id"])
        asked = {"amount_minor": 2_500, "currency": "usd", "request": "I sent it back."}
        for payment in paid:
            assert (await admin.post(f"/v1/payments/{payment}/refund", asked, key=payment)).status_code in (201, 202)
        every = (await admin.get("/v1/payments")).json()["data"]
        assert {(each["kind"], each["status"]) for each in every} >= {("charge", "succeeded"), ("charge", "processing")}
        for kind in (None, "charge", "refund", "payout"):
            for status in (None, "succeeded", "processing", "in_review", "denied"):
                wanted = [
                    each["id"] for each in every if kind in (None, each["kind"]) and status in (None, each["status"])
                ]
                query = {"kind": kind, "status": status, "customer": None}
                for customer in (None, "cust_1"):
                    given = {name: value for name, value in (query | {"customer": customer}).items() if value}
                    assert await self.paged(admin, given) == wanted, given
        assert open_ in await self.paged(admin, {"kind": "charge"})
        refused = await admin.get("/v1/payments", kind="gift")
        assert (refused.status_code, refused.json()["param"]) == (400, "kind")

    async def paged(self, admin: Caller, query: Json) -> list[str]:
        """The ids of a list that was read two at a time."""
        found: list[str] = []
        cursor: Json = {}
        while True:
            page = (await admin.get("/v1/payments", limit=2, **query, **cursor)).json()
            found += [each["id"] for each in page["data"]]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}

    async def test_denied_and_declined_are_problems_with_the_payment(self, door: Door, admin: Caller) -> None:
        denied = await admin.charge(50_001)
        assert (denied.status_code, denied.json()["code"]) == (403, "denied")
        assert denied.json()["rule"] == "mandate_payment_limit"
        assert (await admin.get(f"/v1/payments/{denied.json()['payment']}")).json()["status"] == "denied"
        declined = await admin.charge(purpose="fault:decline")
        assert (declined.status_code, declined.json()["code"]) == (402, "declined")
        assert (await admin.get(f"/v1/payments/{declined.json()['payment']}")).json()["status"] == "failed"

    async def test_an_unconfirmed_payment_is_confirmed(self, door: Door, admin: Caller) -> None:
        charge = (await admin.charge(confirm=False)).json()
        assert charge["status"] == "requires_action"
        confirmed = await admin.post(f"/v1/payments/{charge['id']}/confirm")
        assert (confirmed.status_code, confirmed.json()["status"]) == (200, "processing")
        late = await admin.post(f"/v1/payments/{charge['id']}/cancel")
        assert (late.status_code, late.json()["code"]) == (409, "state_conflict")

    async def test_the_key_is_required_and_replayed(self, door: Door, admin: Caller) -> None:
        body = {"kind": "charge", "amount_minor": 2500, "currency": "usd", "customer": "c", "purpose": "p"}
        missing = await admin.post("/v1/payments", body)
        assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_missing")
        first = await admin.post("/v1/payments", body, key="k")
        replay = await admin.post("/v1/payments", {**dict(reversed(body.items()))}, key="k")
        assert (replay.status_code, replay.json()["id"]) == (201, first.json()["id"])
        assert replay.headers["Idempotent-Replayed"] == "true"
        other = await admin.post("/v1/payments", {**body, "purpose": "q"}, key="k")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        for bad in ("", " ", "a b", "ä", "x" * 256):
            headers = [(b"Idempotency-Key", bad.encode())]
            refused = await admin.http.post("/v1/payments", json=body, headers=headers)
            assert (bad, refused.status_code, refused.json()["param"]) == (bad, 400, "Idempotency-Key")
        assert await door.count("payments") == 1

    async def test_a_dry_run_stores_nothing(self, door: Door, admin: Caller) -> None:
        allowed = await admin.post(
            "/v1/payments:check", {"kind": "charge", "amount_minor": 500, "currency": "usd", "customer": "c"}
        )
        assert (allowed.status_code, allowed.json()["status"]) == (200, "reserved")
        assert allowed.json()["oversight"] == "autonomous"
        too_much = await admin.post(
            "/v1/payments:check", {"kind": "charge", "amount_minor": 50_001, "currency": "usd", "customer": "c"}
        )
        assert too_much.json()["status"] == "denied"
        assert too_much.json()["reason"].startswith("mandate_payment_limit: at most $")
        assert await door.count("payments") == 0

    async def test_fields_that_contradict_each_other(self, door: Door, admin: Caller) -> None:
        base = {"amount_minor": 100, "currency": "usd", "purpose": "p"}
        contradictions: list[tuple[Json, str]] = [
            ({"kind": "charge"}, "customer"),
            ({"kind": "charge", "customer": "c", "payment": absent_id("pay")}, "payment"),
            ({"kind": "refund"}, "payment"),
            ({"kind": "refund", "payment": absent_id("pay"), "customer": "c"}, "customer"),
            ({"kind": "refund", "payment": absent_id("pay"), "payee": "c"}, "payee"),
            ({"kind": "payout", "customer": "c"}, "payee"),
            ({"kind": "charge", "payee": "p"}, "payee"),
        ]
        for fields, param in contradictions:
            answer = await admin.pay(**base, **fields)
            assert (fields, answer.status_code, answer.json()["param"]) == (fields, 400, param)
        assert await door.count("payments") == 0


class TestRefunds:
    async def test_without_support_a_person_decides_and_the_money_goes_back_once(
        self, door: Door, admin: Caller
    ) -> None:
        agent, secret = await an_agent(admin, "initiate")
        assert (await admin.post("/v1/mandates", mandate_of(agent))).status_code == 201
        charge = await paid_charge(door, admin)
        async with door.caller(secret) as bot:
            body = {"amount_minor": 1_000, "currency": "usd", "request": "I do not recognise this payment."}
            asked = await bot.pay(f"/v1/payments/{charge['id']}/refund", **body)
            assert asked.status_code == 202
            refund = asked.json()
            assert (refund["kind"], refund["status"], refund["payment"]) == ("refund", "in_review", charge["id"])
            (review,) = (await admin.get("/v1/reviews")).json()["data"]
            assert review["payment"]["id"] == refund["id"]
            refused = await bot.post(f"/v1/reviews/{review['id']}/verdict", {"verdict": "approve", "reason": "ok"})
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        other_action = {"verdict": "approve", "reason": "ok", "action_digest": "0" * 64}
        conflict = await admin.post(f"/v1/reviews/{review['id']}/verdict", other_action)
        assert (conflict.status_code, conflict.json()["code"]) == (409, "review_conflict")
        verdict = {**other_action, "action_digest": review["action_digest"]}
        approved = await admin.post(f"/v1/reviews/{review['id']}/verdict", verdict)
        assert (approved.status_code, approved.json()["status"]) == (200, "approved")
        again = await admin.post(f"/v1/reviews/{review['id']}/verdict", verdict)
        assert (again.status_code, again.json()["code"]) == (409, "review_conflict")
        await door.work()
        assert (await admin.get("/v1/reviews")).json()["data"] == []
        assert (await admin.get(f"/v1/reviews/{review['id']}")).json()["status"] == "approved"
        seen = (await admin.get(f"/v1/payments/{charge['id']}")).json()
        assert seen["refundable_minor"] == 1_500

    async def test_a_rejected_refund_is_denied(self, door: Door, admin: Caller) -> None:
        agent, secret = await an_agent(admin, "initiate")
        await admin.post("/v1/mandates", mandate_of(agent))
        charge = await paid_charge(door, admin)
        async with door.caller(secret) as bot:
            body = {"amount_minor": 1_000, "currency": "usd", "request": "I do not recognise this payment."}
            await bot.post(f"/v1/payments/{charge['id']}/refund", body, key="r")
            (review,) = (await admin.get("/v1/reviews")).json()["data"]
            verdict = {"verdict": "reject", "reason": "Not charged twice."}
            await admin.post(f"/v1/reviews/{review['id']}/verdict", verdict)
            replay = await bot.post(f"/v1/payments/{charge['id']}/refund", body, key="r")
            assert (replay.status_code, replay.json()["code"]) == (403, "denied")
            assert "Not charged twice." in replay.json()["detail"]
            canceled = await bot.pay(f"/v1/payments/{charge['id']}/refund", **body)
            gone = await bot.post(f"/v1/payments/{canceled.json()['id']}/cancel")
            assert (gone.status_code, gone.json()["status"]) == (200, "canceled")

    async def test_no_more_than_was_captured(self, door: Door, admin: Caller) -> None:
        charge = await paid_charge(door, admin)
        too_much = await admin.pay(f"/v1/payments/{charge['id']}/refund", amount_minor=2_501, currency="usd")
        assert (too_much.status_code, too_much.json()["code"]) == (409, "state_conflict")
        other = await admin.pay(f"/v1/payments/{charge['id']}/refund", amount_minor=1, currency="eur")
        assert (other.status_code, other.json()["param"]) == (400, "currency")
        absent = await admin.pay(f"/v1/payments/{absent_id('pay')}/refund", amount_minor=1, currency="usd")
        assert absent.status_code == 404


class TestStory:
    async def test_the_dossier_tells_everything_in_public_ids(self, door: Door, admin: Caller) -> None:
        charge = await paid_charge(door, admin)
        answer = await admin.get(f"/v1/payments/{charge['id']}/dossier")
        assert answer.status_code == 200
        dossier = answer.json()
        statuses = [moment["what"] for moment in dossier["timeline"]]
        assert [status for status in statuses if status != "processing"] == [
            "pending", "reserved", "submitting", "succeeded",
        ]  # fmt: skip
        assert [moment["at"] for moment in dossier["timeline"]] == sorted(
            moment["at"] for moment in dossier["timeline"]
        )
        assert {hold["status"] for hold in dossier["holds"]} == {"posted"}
        assert [operation["status"] for operation in dossier["operations"]] == ["accepted"]
        assert [event["event_type"] for event in dossier["webhooks"]] == ["payment.succeeded"]
        assert {transfer["book"] for transfer in dossier["transfers"]} == {"authority", "money"}
        assert all(check["result"] != "fail" for check in dossier["checks"])
        assert dossier["discrepancies"] == []
        assert BARE_UUID.findall(answer.text) == []

    async def test_the_books_agree(self, door: Door, admin: Caller) -> None:
        await paid_charge(door, admin)
        accounts = (await admin.get("/v1/ledger/accounts")).json()["data"]
        clearing = next(account for account in accounts if account["code"].startswith("provider_clearing/"))
        assert (clearing["balance_minor"], clearing["display"], clearing["floor_minor"]) == (2_500, "$25.00", 0)
        lines = (await admin.get("/v1/ledger/trial-balance")).json()["data"]
        assert {line["book"] for line in lines} == {"authority", "money"}
        assert all(line["difference_minor"] == 0 for line in lines)
        first = (await admin.get("/v1/ledger/transfers", limit=1)).json()
        assert first["has_more"] is True
        rest = (await admin.get("/v1/ledger/transfers", cursor=first["next_cursor"])).json()
        every = [*first["data"], *rest["data"]]
        assert len({transfer["id"] for transfer in every}) == len(every) == 3

    async def test_the_transfers_of_one_payment(self, door: Door, admin: Caller) -> None:
        first, second = (await paid_charge(door, admin))["id"], (await paid_charge(door, admin))["id"]
        for payment in (first, second):
            page = (await admin.get("/v1/ledger/transfers", payment=payment, limit=1)).json()
            rest = (await admin.get("/v1/ledger/transfers", payment=payment, cursor=page["next_cursor"])).json()
            every = [*page["data"], *rest["data"]]
            assert {transfer["payment"] for transfer in every} == {payment}
            assert {transfer["book"] for transfer in every} == {"authority", "money"}
            assert len({transfer["id"] for transfer in every}) == len(every) == 2
        assert (await admin.get("/v1/ledger/transfers", payment=absent_id("pay"))).json()["data"] == []
        for query, param in (({"payment": "pay_1"}, "payment"), ({"payment": first, "customer": "c"}, "customer")):
            refused = await admin.get("/v1/ledger/transfers", **query)
            assert (refused.status_code, refused.json()["param"]) == (400, param)

    async def test_reconciliation_compares_with_the_provider(self, door: Door, admin: Caller) -> None:
        await paid_charge(door, admin)
        forged = (await admin.charge(700)).json()
        await door.succeed(forged["provider_payment_id"])
        report = (await admin.post("/v1/reconciliation/runs")).json()
        assert (report["object"], report["has_statement"], report["matched"]) == ("reconciliation_run", True, 1)
        assert [(each["kind"], each["subject"]) for each in report["findings"]] == [
            ("booked_without_provider", forged["id"])
        ]
        (listed,) = (await admin.get("/v1/reconciliation/discrepancies")).json()["data"]
        assert (listed["object"], listed["payment"], listed["status"]) == ("discrepancy", forged["id"], "open")
        nothing = {"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00+02:00"}
        assert (await admin.post("/v1/reconciliation/runs", nothing)).json()["books"] == []

    async def test_one_payment_is_reconciled_on_demand(self, door: Door, admin: Caller) -> None:
        async with door.settling_at_once():
            charge = (await admin.charge()).json()
        found = await admin.post(f"/v1/payments/{charge['id']}/reconcile")
        assert (found.status_code, found.json()["object"]) == (200, "payment_reconciliation")
        assert (found.json()["payment"], found.json()["discrepancies"]) == (charge["id"], [])
        seen = (await admin.get(f"/v1/payments/{charge['id']}")).json()["status"]
        assert seen == found.json()["status"]
        assert (await admin.post(f"/v1/payments/{absent_id('pay')}/reconcile")).status_code == 404


class TestMemoryAndDecisions:
    async def test_notes_with_facts_are_an_administrators(self, door: Door, admin: Caller) -> None:
        facts = {
            "type": "charge", "payment_id": "pay_7", "amount_minor": 2500, "currency": "usd", "reference": "order-7",
            "status": "succeeded", "at": "2026-11-20T09:00:00Z",
        }  # fmt: skip
        note = {"customer": "c", "content": "Order 7, 25.00 usd.", "trust": "record", "facts": facts, "invoice": "i"}
        kept = await admin.post("/v1/notes", note)
        assert kept.status_code == 201
        assert (kept.json()["object"], kept.json()["invoice"], kept.json()["score"]) == ("note", "i", None)
        found = (await admin.post("/v1/notes/search", {"customer": "c", "q": "order"})).json()
        assert [each["id"] for each in found["data"]] == [kept.json()["id"]]
        _, secret = await an_agent(admin, "initiate")
        async with door.caller(secret) as bot:
            refused = await bot.post("/v1/notes", note)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
            assert (await bot.post("/v1/notes", {"customer": "c", "content": "x"})).status_code == 201

    async def test_a_decision_is_stored_as_it_was_made(self, door: Door, admin: Caller) -> None:
        await admin.post("/v1/notes", {"customer": "c", "content": "Says she was charged twice."})
        question = {"customer": "c", "request": "Charged twice", "amount_minor": 500, "currency": "usd"}
        made = await admin.post("/v1/decisions", question)
        assert made.status_code == 201
        assert (made.json()["approve"], made.json()["amount_minor"]) == (False, 0)
        stored = (await admin.get(f"/v1/decisions/{made.json()['id']}")).json()
        same = ("id", "approve", "verdict", "reason", "amount_minor", "currency", "confidence", "adviser")
        assert {name: stored[name] for name in same} == {name: made.json()[name] for name in same}
        assert [note["content"] for note in stored["evidence"]] == ["Says she was charged twice."]


class TestAuthority:
    async def test_an_agent_spends_within_its_mandate_until_it_is_revoked(self, door: Door, admin: Caller) -> None:
        agent, secret = await an_agent(admin, "initiate")
        async with door.caller(secret) as bot:
            assert (await bot.charge()).json()["rule"] == "no_mandate"
            made = await admin.post("/v1/mandates", mandate_of(agent, valid_from="2020-01-01T00:00:00Z"))
            assert made.status_code == 201
            mandate = made.json()
            assert (mandate["principal"], mandate["status"]) == (agent, "active")
            assert mandate["valid_from"] == "2020-01-01T00:00:00.000Z"
            assert (await bot.charge()).status_code == 201
            assert (await bot.charge(20_001)).json()["rule"] == "mandate_payment_limit"
            revoked = await admin.post(f"/v1/mandates/{mandate['id']}/revoke")
            assert revoked.json()["status"] == "revoked"
            assert (await bot.charge()).status_code == 403
        assert mandate["id"] in [each["id"] for each in (await admin.get("/v1/mandates")).json()["data"]]

    async def test_only_administrators_change_authority(self, door: Door, admin: Caller) -> None:
        agent, secret = await an_agent(admin, "initiate", "review", "settle")
        async with door.caller(secret) as bot:
            attempts = [
                await bot.post("/v1/mandates", mandate_of(agent)),
                await bot.post("/v1/agents", {"name": "x", "roles": []}),
                await bot.post("/v1/keys", {"principal": agent}),
                await bot.post(f"/v1/agents/{agent}/activate"),
                await bot.post("/v1/tenant/suspend"),
                await bot.get("/v1/keys"),
            ]
        assert [(answer.status_code, answer.json()["code"]) for answer in attempts] == [(403, "forbidden")] * 6

    async def test_the_kill_switch(self, door: Door, admin: Caller) -> None:
        suspended = await admin.post("/v1/tenant/suspend")
        assert (suspended.status_code, suspended.json()["status"]) == (200, "suspended")
        assert (await admin.charge()).json()["rule"] == "tenant_inactive"
        assert (await door.post("/agents/a/reserve?amount_cents=1")).status_code == 403
        assert (await admin.post("/v1/tenant/activate")).json()["status"] == "active"
        assert (await admin.charge()).status_code == 201

    async def test_a_key_is_shown_once(self, door: Door, admin: Caller) -> None:
        agent, _ = await an_agent(admin, "initiate")
        made = await admin.post("/v1/keys", {"principal": agent, "expires_in_seconds": 60})
        assert made.status_code == 201
        secret = made.json()["secret"]
        listed = await admin.get("/v1/keys")
        assert made.json()["id"] in [key["id"] for key in listed.json()["data"]]
        assert secret.rpartition("_")[2] not in listed.text
        assert made.json()["principal"] == agent
        taken = await admin.post("/v1/agents", {"kind": "agent", "name": "bot", "roles": []})
        assert (taken.status_code, taken.json()["param"]) == (409, "name")


class TestWords:
    @pytest.mark.parametrize(
        ("path", "body", "detail"),
        [
            ("/v1/agents", {"name": "n", "roles": ["boss"]}, "roles.0 must be 'initiate', 'review', 'settle'"),
            ("/v1/agents", {"name": "n", "roles": "all"}, "roles must be a list"),
            ("/v1/agents", {"name": "n", "roles": ["review"] * 8}, "roles must have at most 7 entries"),
            ("/v1/agents", {"roles": []}, "name is required"),
            (
                "/v1/keys",
                {"principal": absent_id("agt"), "expires_in_seconds": 0},
                "expires_in_seconds must be at least 1",
            ),
            (
                "/v1/keys",
                {"principal": absent_id("agt"), "expires_in_seconds": 10**9},
                "expires_in_seconds must be at most ",
            ),
            (
                "/v1/payments:check",
                {"kind": "charge", "amount_minor": "5", "currency": "usd"},
                "amount_minor must be a whole",
            ),
        ],
    )
    async def test_what_is_wrong_is_said_in_plain_words(
        self, admin: Caller, path: str, body: Json, detail: str
    ) -> None:
        answer = await admin.post(path, body)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(detail)

    async def test_a_name_that_is_taken_and_a_refund_that_is_too_large(self, door: Door, admin: Caller) -> None:
        await an_agent(admin)
        again = await admin.post("/v1/agents", {"name": "bot", "roles": []})
        assert (again.status_code, again.json()["detail"]) == (409, "The name 'bot' is taken by another agent.")
        charge = await paid_charge(door, admin, 8_000)
        more = await admin.pay(f"/v1/payments/{charge['id']}/refund", amount_minor=8_001, currency="usd")
        assert more.json()["detail"] == "Only $80.00 of this charge can be refunded."
        assert more.json()["refundable_minor"] == 8_000


class TestReviewTasks:
    async def held(self, door: Door, admin: Caller) -> tuple[Caller, str]:
        for _ in range(2):
            await door.post("/payments", {"user_id": "u", "amount_cents": 100, "currency": "usd"})
        return admin, (await admin.get("/v1/reviews")).json()["data"][0]["id"]

    async def test_a_review_is_claimed_kept_released_and_decided(self, door: Door, admin: Caller) -> None:
        _, review = await self.held(door, admin)
        _, key = await an_agent(admin, "review", kind="person", name="ann")
        async with door.caller(key) as ann:
            claimed = (await ann.post(f"/v1/reviews/{review}/claim")).json()
            assert (claimed["fence"], claimed["lease_until"] is not None) == (1, True)
            assert claimed["claimed_by"].startswith("per_")
            assert (await admin.get("/v1/reviews", unclaimed=True)).json()["data"] == []
            taken = await admin.post(f"/v1/reviews/{review}/claim")
            assert (taken.status_code, taken.json()["code"]) == (409, "review_conflict")
            assert (await ann.post(f"/v1/reviews/{review}/heartbeat", {"fence": 1})).status_code == 200
            assert (await ann.post(f"/v1/reviews/{review}/release", {"fence": 1})).json()["claimed_by"] is None
            fence = (await ann.post(f"/v1/reviews/{review}/claim")).json()["fence"]
            body = {"verdict": "reject", "reason": "a retry"}
            assert (await ann.post(f"/v1/reviews/{review}/verdict", {**body, "fence": 1})).status_code == 409
            done = (await ann.post(f"/v1/reviews/{review}/verdict", {**body, "fence": fence})).json()
            assert (done["status"], done["verdicts"][0]["reviewer_name"]) == ("rejected", "ann")

    @pytest.mark.parametrize(
        ("path", "param"),
        [
            ("/v1/reviews?wait_seconds=31", "wait_seconds"),
            ("/v1/reviews?wait_seconds=-1", "wait_seconds"),
            ("/v1/reviews?role=boss", "role"),
            ("/v1/reviews?unclaimed=perhaps", "unclaimed"),
        ],
    )
    async def test_bad_questions_are_refused_by_name(self, admin: Caller, path: str, param: str) -> None:
        answer = await admin.get(path)
        assert (answer.status_code, answer.json()["param"]) == (400, param)

    async def test_a_fence_is_a_number_of_a_claim(self, door: Door, admin: Caller) -> None:
        _, review = await self.held(door, admin)
        for bad in (0, -1, "1", 1.0, True, 2**63):
            answer = await admin.post(f"/v1/reviews/{review}/heartbeat", {"fence": bad})
            assert (answer.status_code, answer.json()["param"]) == (400, "fence")

    async def test_waiting_for_work_and_for_an_end(self, door: Door, admin: Caller) -> None:
        began = time.monotonic()
        assert (await admin.get("/v1/reviews", role="risk", wait_seconds=1)).json()["data"] == []
        assert time.monotonic() - began >= 1
        async with door.settling_at_once():
            charge = (await admin.charge()).json()["id"]
        waits = asyncio.create_task(admin.get(f"/v1/payments/{charge}", wait_seconds=25))
        await door.work()
        assert (await waits).json()["status"] == "succeeded"
