"""The quick-start routes, each with its exact shape and its unhappy answers (the table of the HTTP contract)."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.conftest import Database
from tests.doors.door import Door, absent_id
from tests.sandbox_process import SandboxProcess

PAYMENT = {"user_id": "user_42", "amount_cents": 2500, "currency": "usd"}
QUESTION = {"customer_id": "cust_001", "request": "Customer asks for money back", "requested_amount_cents": 5000}
JOB = {"agent_id": "agent-risk-01", "amount_cents": 4200, "currency": "usd"}


def view(database: Database, name: str) -> list[dict[str, Any]]:
    """A view as people who look with SQL see it."""
    with psycopg.connect(database.quickstart_url, row_factory=dict_row) as connection:
        return connection.execute(f"select * from {name} order by id").fetchall()


class TestPayments:
    async def test_a_payment_is_pending_until_the_webhook(self, door: Door, database: Database) -> None:
        asked = await door.post("/payments", PAYMENT)
        assert asked.status_code == 200
        body = asked.json()
        assert set(body) == {"payment_id", "provider_payment_id", "status"}
        assert body["status"] == "pending"
        assert body["provider_payment_id"].startswith("sbxpay_")
        (row,) = view(database, "payments")
        assert (row["id"], row["status"], row["amount_cents"]) == (body["payment_id"], "pending", 2500)

        received = await door.succeed(body["provider_payment_id"])
        assert (received.status_code, received.json()) == (200, {"ok": True, "received": True})
        seen = (await door.get(f"/payments/{body['payment_id']}")).json()
        assert seen.pop("created_at") < seen.pop("updated_at")
        asked_for = {"amount_cents": 2500, "amount": 2500, "currency": "usd", "user_id": "user_42"}
        assert seen == {**body, **asked_for, "status": "succeeded"}
        (row,) = view(database, "payments")
        assert (row["status"], row["user_id"]) == ("succeeded", "user_42")

    async def test_a_repeat_without_a_key_is_held_for_a_person(self, door: Door) -> None:
        await door.post("/payments", PAYMENT)
        repeat = await door.post("/payments", PAYMENT)
        assert repeat.status_code == 202
        body = repeat.json()
        assert body["status"] == "in_review"
        assert body["provider_payment_id"] is None
        assert body["reason"] == "suspected duplicate"

    async def test_distinct_references_are_not_held(self, door: Door) -> None:
        answers = [await door.post("/payments", {**PAYMENT, "reference": f"order-{n}"}) for n in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5

    async def test_a_key_replays_the_present_state(self, door: Door) -> None:
        headers = {"Idempotency-Key": "order-7"}
        first = await door.post("/payments", PAYMENT, **headers)
        await door.succeed(first.json()["provider_payment_id"])
        replay = await door.post("/payments", PAYMENT, **headers)
        assert replay.status_code == 200
        assert replay.headers["Idempotent-Replayed"] == "true"
        assert "Idempotent-Replayed" not in first.headers
        assert replay.json() == {**first.json(), "status": "succeeded"}
        other = await door.post("/payments", {**PAYMENT, "amount_cents": 2501}, **headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert await door.count("payments") == 1

    async def test_declined_by_the_provider_is_402(self, door: Door) -> None:
        declined = await door.post("/payments", {**PAYMENT, "reference": "fault:decline"})
        assert (declined.status_code, declined.json()["code"]) == (402, "declined")
        payment = declined.json()["payment"]
        assert (await door.get(f"/payments/{payment}")).json()["status"] == "failed"

    async def test_denied_is_403_with_the_rule(self, door: Door) -> None:
        denied = await door.post("/payments", {**PAYMENT, "amount_cents": 50_001})
        assert (denied.status_code, denied.json()["code"]) == (403, "denied")
        assert denied.json()["rule"] == "mandate_payment_limit"
        assert (await door.get(f"/payments/{denied.json()['payment']}")).json()["status"] == "denied"

    async def test_not_enough_authority_is_403_insufficient(self, door: Door, database: Database) -> None:
        await door.post("/payments", PAYMENT)
        with psycopg.connect(database.superuser_url, autocommit=True) as connection:
            connection.execute("update paywarden.accounts set balance = 3000 where code like 'authority/%'")
        short = await door.post("/payments", {**PAYMENT, "reference": "another"})
        assert (short.status_code, short.json()["code"]) == (403, "insufficient")

    async def test_an_unknown_outcome_is_pending_or_found(self, door: Door) -> None:
        for fault in ("drop_after_charge", "error_500_after_charge", "half_body", "wrong_json"):
            answer = await door.post("/payments", {**PAYMENT, "reference": f"fault:{fault}"})
            assert (fault, answer.status_code, answer.json()["status"]) == (fault, 200, "pending")

    async def test_no_answer_in_time_is_pending_with_no_provider_id(
        self, door: Door, door_sandbox: SandboxProcess
    ) -> None:
        control = door_sandbox.control()
        await control.arm("timeout", customer="slow_user")
        await control.arm("timeout", customer="slow_user", operation="fetch")
        await control.arm("delay", operation="fetch", seconds=5)
        try:
            answer = await door.post("/payments", {**PAYMENT, "user_id": "slow_user"})
        finally:
            await control.disarm()
            await control.close()
        assert (answer.status_code, answer.json()["status"]) == (200, "pending")
        assert answer.json()["provider_payment_id"] is None

    async def test_no_such_payment(self, door: Door) -> None:
        for identity in (absent_id("pay"), "pay_x", "create", "%00", "x" * 300):
            answer = await door.get(f"/payments/{identity}")
            assert (identity, answer.status_code, answer.json()["code"]) == (identity, 404, "not_found")

    async def test_who_and_how_much_is_needed_and_the_currency_is_usd_unless_said(self, door: Door) -> None:
        for field in ("user_id", "amount_cents"):
            answer = await door.post("/payments", {name: value for name, value in PAYMENT.items() if name != field})
            assert (answer.status_code, answer.json()["param"]) == (400, field)
        assert await door.count("payments") == 0
        taken = await door.post("/payments", {"user_id": "u", "amount_cents": 2500})
        assert (await door.get(f"/payments/{taken.json()['payment_id']}")).json()["currency"] == "usd"

    async def test_a_zero_decimal_currency_is_counted_in_its_own_units_and_not_covered(self, door: Door) -> None:
        answer = await door.post("/payments", {**PAYMENT, "currency": "jpy"})
        assert (answer.status_code, answer.json()["rule"]) == (403, "no_mandate")


class TestJobs:
    async def test_a_job_waits_for_its_confirmation_and_for_the_webhook(self, door: Door, database: Database) -> None:
        created = await door.post("/payments/create", JOB)
        assert created.status_code == 200
        body = created.json()
        assert set(body) == {"job_id", "payment_id", "status"}
        assert body["status"] == "requires_confirmation"
        (row,) = view(database, "payment_jobs")
        assert (row["id"], row["agent_id"], row["provider_payment_id"], row["status"]) == (
            body["job_id"], "agent-risk-01", body["payment_id"], "requires_confirmation",
        )  # fmt: skip

        confirmed = await door.post(f"/payments/{body['job_id']}/confirm")
        assert (confirmed.status_code, confirmed.json()) == (200, {**body, "status": "pending"})
        again = await door.post(f"/payments/{body['job_id']}/confirm")
        assert (again.status_code, again.json()) == (200, confirmed.json())
        await door.succeed(body["payment_id"])
        assert view(database, "payment_jobs")[0]["status"] == "paid"
        assert view(database, "payments") == []

    async def test_a_provider_that_charges_anyway_wins_by_its_event(self, door: Door, database: Database) -> None:
        body = (await door.post("/payments/create", JOB)).json()
        await door.succeed(body["payment_id"])
        assert view(database, "payment_jobs")[0]["status"] == "paid"

    async def test_what_does_not_wait_cannot_be_confirmed(self, door: Door) -> None:
        reserved = (await door.post("/agents/a/reserve?amount_cents=100")).json()["id"]
        answer = await door.post(f"/payments/{reserved}/confirm")
        assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")
        absent = await door.post(f"/payments/{absent_id('pay')}/confirm")
        assert absent.status_code == 404

    async def test_a_job_replays(self, door: Door) -> None:
        first = await door.post("/payments/create", JOB, **{"Idempotency-Key": "job-1"})
        replay = await door.post("/payments/create", JOB, **{"Idempotency-Key": "job-1"})
        assert replay.json() == first.json()
        assert replay.headers["Idempotent-Replayed"] == "true"


class TestReservations:
    async def test_a_reservation_says_how_long_it_waits(self, door: Door) -> None:
        reserved = await door.post("/agents/agent-1/reserve?amount_cents=5000&expires_in_seconds=60")
        assert reserved.json() == {"id": reserved.json()["id"], "status": "reserved"}
        async with door.caller(await door.admin_key()) as admin:
            seen = (await admin.get(f"/v1/payments/{reserved.json()['id']}")).json()
        lasts = datetime.fromisoformat(seen["expires_at"]) - datetime.fromisoformat(seen["created_at"])
        assert abs(lasts - timedelta(seconds=60)) < timedelta(seconds=1)
        for bad in ("0", "-1", "1.5", "x", "", "31536001"):
            answer = await door.post(f"/agents/agent-1/reserve?amount_cents=5000&expires_in_seconds={bad}")
            assert (answer.status_code, answer.json()["param"]) == (400, "expires_in_seconds")

    async def test_reserve_and_settle_by_hand(self, door: Door, database: Database) -> None:
        reserved = await door.post("/agents/agent-1/reserve?amount_cents=5000")
        assert reserved.status_code == 200
        assert reserved.json() == {"id": reserved.json()["id"], "status": "reserved"}
        paid = await door.post("/agents/agent-1/mark-paid")
        assert (paid.status_code, paid.json()) == (200, {"id": reserved.json()["id"], "status": "paid"})
        (row,) = view(database, "payment_jobs")
        assert (row["status"], row["agent_id"], row["provider_payment_id"]) == ("paid", "agent-1", None)
        none_left = await door.post("/agents/agent-1/mark-paid")
        assert (none_left.status_code, none_left.json()["detail"]) == (404, "No payable job found")

    async def test_the_duplicate_rule_does_not_apply(self, door: Door) -> None:
        answers = [await door.post("/agents/agent-1/reserve?amount_cents=5000") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3

    async def test_several_jobs_need_a_name(self, door: Door) -> None:
        first, second = [(await door.post("/agents/a/reserve?amount_cents=100")).json()["id"] for _ in range(2)]
        several = await door.post("/agents/a/mark-paid", {})
        assert (several.status_code, several.json()["code"]) == (409, "ambiguous_job")
        assert several.json()["candidates"] == [first, second]
        named = await door.post("/agents/a/mark-paid", {"id": second, "reference": "bank slip 7"})
        assert (named.status_code, named.json()) == (200, {"id": second, "status": "paid"})
        only = await door.post("/agents/a/mark-paid", {"reference": "bank slip 8"})
        assert only.json() == {"id": first, "status": "paid"}

    async def test_a_key_names_the_job_it_settled(self, door: Door) -> None:
        await door.post("/agents/a/reserve?amount_cents=100")
        first = await door.post("/agents/a/mark-paid", {}, **{"Idempotency-Key": "settle-1"})
        later = (await door.post("/agents/a/reserve?amount_cents=200")).json()["id"]
        again = await door.post("/agents/a/mark-paid", {}, **{"Idempotency-Key": "settle-1"})
        assert (again.status_code, again.json()) == (200, first.json())
        assert again.headers["Idempotent-Replayed"] == "true"
        assert (await door.get(f"/payments/{later}")).json()["status"] == "reserved"
        other = await door.post("/agents/a/mark-paid", {"id": later}, **{"Idempotency-Key": "settle-1"})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    async def test_no_such_job(self, door: Door) -> None:
        await door.post("/agents/a/reserve?amount_cents=100")
        for identity in (absent_id("pay"), "job_does_not_exist", absent_id("rev")):
            answer = await door.post("/agents/a/mark-paid", {"id": identity})
            assert (answer.status_code, answer.json()["detail"]) == (404, "No payable job found")
        assert (await door.post("/agents/b/mark-paid")).json()["detail"] == "No payable job found"

    async def test_a_job_at_the_provider_is_paid_on_its_evidence_only(self, door: Door) -> None:
        created = (await door.post("/payments/create", {**JOB, "agent_id": "b"})).json()
        early = await door.post("/agents/b/mark-paid")
        assert (early.status_code, early.json()["code"]) == (409, "not_settled_at_provider")
        await door.succeed(created["payment_id"])
        assert (await door.get(f"/payments/{created['job_id']}")).json()["status"] == "paid"

    async def test_too_much_is_denied(self, door: Door) -> None:
        answer = await door.post("/agents/a/reserve?amount_cents=50001")
        assert (answer.status_code, answer.json()["rule"]) == (403, "mandate_payment_limit")


class TestDecisions:
    async def test_without_evidence_nothing_is_approved(self, door: Door) -> None:
        answer = await door.post("/decisions", QUESTION)
        assert answer.status_code == 200
        body = answer.json()
        assert body.pop("decision_id").startswith("dec_")
        assert body == {
            "approve": False, "reason": "Insufficient evidence to initiate payment", "amount_cents": 0, "evidence": [],
        }  # fmt: skip
        assert await door.count("payments") == 0

    async def test_evidence_is_of_that_customer_only(self, door: Door) -> None:
        await door.post("/knowledge", {"customer_id": "cust_001", "content": "Says she was charged twice."})
        await door.post("/knowledge", {"customer_id": "cust_002", "content": "Says he was charged twice."})
        body = (await door.post("/decisions", QUESTION)).json()
        assert [note["content"] for note in body["evidence"]] == ["Says she was charged twice."]


class TestKnowledge:
    async def test_notes_are_found_nearest_first_within_their_customer(self, door: Door, database: Database) -> None:
        texts = ["The parcel never arrived.", "My card was charged twice.", "I love the blue one."]
        for text in texts:
            kept = await door.post("/knowledge", {"customer_id": "c1", "content": text})
            assert (kept.status_code, list(kept.json())) == (201, ["id"])
        await door.post("/knowledge", {"customer_id": "c2", "content": "My card was charged twice."})
        found = await door.get("/knowledge/search", customer_id="c1", q="double charge on my card", limit=2)
        assert found.status_code == 200
        first, second = found.json()["data"]
        assert set(first) == {"id", "customer_id", "content", "score"}
        assert (first["content"], first["customer_id"]) == (texts[1], "c1")
        assert first["score"] > second["score"]
        by_body = await door.post("/knowledge/search", {"customer_id": "c1", "q": "double charge on my card"})
        assert [note["id"] for note in by_body.json()["data"]][:2] == [first["id"], second["id"]]
        assert len(by_body.json()["data"]) == 3
        assert len(view(database, "knowledge_base")) == 4

    async def test_an_own_vector_is_kept_and_searched_by_dimension(self, door: Door) -> None:
        near = {"customer_id": "c1", "content": "near", "embedding": [1.0, 0, 0.1]}
        far = {"customer_id": "c1", "content": "far", "embedding": [0, 1, 0]}
        other_dimension = {"customer_id": "c1", "content": "other", "embedding": [1, 0]}
        for note in (near, far, other_dimension):
            assert (await door.post("/knowledge", note)).status_code == 201
        found = await door.post("/knowledge/search", {"customer_id": "c1", "embedding": [1, 0, 0], "limit": 5})
        assert [note["content"] for note in found.json()["data"]] == ["near", "far"]

    async def test_exactly_one_of_words_and_vector(self, door: Door) -> None:
        neither_or_both: list[dict[str, Any]] = [{}, {"q": "x", "embedding": [1.0]}]
        for given in neither_or_both:
            answer = await door.post("/knowledge/search", {"customer_id": "c1", **given})
            assert (answer.status_code, answer.json()["param"]) == (400, "q")

    async def test_a_local_caller_cannot_vouch_for_its_own_evidence(self, door: Door) -> None:
        for trust in ("record", "staff"):
            answer = await door.post("/knowledge", {"customer_id": "c", "content": "Refund it.", "trust": trust})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert await door.count("notes") == 0


async def test_what_is_found_by_its_words_too_comes_nearest_first(door: Door) -> None:
    """Rank fusion puts a note with the very words first; the quick start promises the nearest first."""
    texts = ["zebra", "I was charged two times for one order, give it back", "zebra charged twice stripes and grass",
             "My card was charged twice for the order"]  # fmt: skip
    for text in texts:
        await door.post("/knowledge", {"customer_id": "c", "content": text})
    for question in ("charged twice", "zebra charged twice", "zebra"):
        found = (await door.get("/knowledge/search", customer_id="c", q=question, limit=4)).json()["data"]
        scores = [one["score"] for one in found]
        assert scores == sorted(scores, reverse=True)
