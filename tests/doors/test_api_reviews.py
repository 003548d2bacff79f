"""``/v1/reviews`` and discrepancies: a queue that shows all of itself, and what a verdict needs."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from paywarden.client import objects
from paywarden.db.transaction import transaction
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.reconciliation import discrepancies
from tests.doors.door import Caller, Door, absent_id

Json = dict[str, Any]


@pytest.fixture
async def admin(door: Door) -> AsyncIterator[Caller]:
    async with door.caller(await door.admin_key()) as caller:
        yield caller


async def waiting(admin: Caller, customer: str) -> Json:
    """A charge that looks like a repeat of another, and so waits for a person."""
    body = {"user_id": customer, "amount_cents": 2500, "currency": "usd", "reference": f"order-{customer}"}
    for _ in range(2):
        asked = await admin.post("/payments", body)
    assert (asked.status_code, asked.json()["status"]) == (202, "in_review")
    return dict(asked.json())


async def a_reviewer(admin: Caller) -> tuple[str, str]:
    """Another person, who may review: id and key."""
    made = await admin.post("/v1/agents", {"kind": "person", "name": "ann", "roles": ["review"]})
    return made.json()["id"], (await admin.post("/v1/keys", {"principal": made.json()["id"]})).json()["secret"]


async def ids_of(admin: Caller, **query: Any) -> list[str]:
    answer = await admin.get("/v1/reviews", **query)
    assert answer.status_code == 200, answer.text
    return [review["id"] for review in answer.json()["data"]]


class TestTheQueue:
    async def test_pages_lead_through_all_of_it_the_longest_waiting_first(self, door: Door, admin: Caller) -> None:
        for number in range(5):
            await waiting(admin, f"cust_{number}")
        seen: list[str] = []
        customers: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            page = (await admin.get("/v1/reviews", limit=2, **({"cursor": cursor} if cursor else {}))).json()
            seen += [review["id"] for review in page["data"]]
            customers += [review["payment"]["customer"] for review in page["data"]]
            cursor = page["next_cursor"]
            assert page["has_more"] is (cursor is not None)
        assert cursor is None
        assert customers == [f"cust_{number}" for number in range(5)]
        assert seen == await ids_of(admin)

    async def test_a_cursor_goes_on_when_what_it_names_was_decided(self, door: Door, admin: Caller) -> None:
        for number in range(3):
            await waiting(admin, f"cust_{number}")
        first = (await admin.get("/v1/reviews", limit=1)).json()
        every = await ids_of(admin)
        decided = await admin.post(f"/v1/payments/{first['data'][0]['payment']['id']}/cancel")
        assert decided.json()["status"] == "canceled"
        assert await ids_of(admin, cursor=first["next_cursor"]) == every[1:]

    async def test_it_can_be_asked_for_one_customer_or_one_payment(self, door: Door, admin: Caller) -> None:
        for number in range(3):
            await waiting(admin, f"cust_{number}")
        every = (await admin.get("/v1/reviews")).json()["data"]
        assert await ids_of(admin, customer="cust_1") == [every[1]["id"]]
        assert await ids_of(admin, payment=every[2]["payment"]["id"]) == [every[2]["id"]]
        assert await ids_of(admin, customer="cust_1", payment=every[2]["payment"]["id"]) == []
        assert await ids_of(admin, payment=absent_id("pay")) == []

    @pytest.mark.parametrize(
        ("param", "value"), [("cursor", "x"), ("cursor", ""), ("payment", "rev_1"), ("payment", ""), ("customer", "")]
    )
    async def test_what_names_nothing_is_refused_by_its_field(
        self, door: Door, admin: Caller, param: str, value: str
    ) -> None:
        refused = await admin.get("/v1/reviews", **{param: value})
        assert (refused.status_code, refused.json()["param"]) == (400, param)

    async def test_nobody_pages_into_another_tenant(self, door: Door, admin: Caller) -> None:
        await waiting(admin, "cust_1")
        (ours,) = (await admin.get("/v1/reviews")).json()["data"]
        async with door.caller(await door.tenant("acme")) as stranger:
            assert await ids_of(stranger, customer="cust_1") == []
            assert await ids_of(stranger, payment=ours["payment"]["id"]) == []


class TestWhatAVerdictNeeds:
    async def test_the_customers_words_and_who_said_what_and_why(self, door: Door, admin: Caller) -> None:
        async with door.settling_at_once():
            charge = (await admin.charge()).json()
        await door.succeed(charge["provider_payment_id"])
        body = {"amount_minor": 1_000, "currency": "usd", "request": "I do not recognise this payment."}
        assert (await admin.pay(f"/v1/payments/{charge['id']}/refund", **body)).status_code == 202
        (review,) = (await admin.get("/v1/reviews")).json()["data"]
        assert (review["request"], review["verdicts"]) == ("I do not recognise this payment.", [])
        person, secret = await a_reviewer(admin)
        async with door.caller(secret) as ann:
            reason = {"verdict": "reject", "reason": "Our records differ."}
            given = (await ann.post(f"/v1/reviews/{review['id']}/verdict", reason)).json()
        (said,) = given["verdicts"]
        assert (said["verdict"], said["reason"], said["reviewer_name"]) == ("reject", "Our records differ.", "ann")
        assert (said["reviewer_id"], said["reviewer_kind"]) == (person, "person")
        assert said["id"].startswith("vrd_")
        assert said["created_at"].endswith("Z")
        assert (await admin.get(f"/v1/reviews/{review['id']}")).json() == given
        (listed,) = (await admin.get("/v1/reviews", status="rejected")).json()["data"]
        assert listed == given

    async def test_each_review_of_a_page_has_its_own_verdicts(self, door: Door, admin: Caller) -> None:
        for customer in ("cust_1", "cust_2"):
            await waiting(admin, customer)
        _, secret = await a_reviewer(admin)
        async with door.caller(secret) as ann:
            for review in (await admin.get("/v1/reviews")).json()["data"]:
                reason = {"verdict": "reject", "reason": f"{review['payment']['customer']} paid once"}
                assert (await ann.post(f"/v1/reviews/{review['id']}/verdict", reason)).status_code == 200
        rejected = (await admin.get("/v1/reviews", status="rejected")).json()["data"]
        assert [[said["reason"] for said in review["verdicts"]] for review in rejected] == [
            ["cust_1 paid once"],
            ["cust_2 paid once"],
        ]


class TestPromisesOfTheSdk:
    """What ``client.objects`` names is sent by the door."""

    async def test_the_tenant_a_review_and_a_discrepancy(self, door: Door, admin: Caller) -> None:
        await waiting(admin, "cust_1")
        charge = (await admin.charge(700)).json()
        await door.succeed(charge["provider_payment_id"], amount=900)
        answers = {
            objects.Tenant: (await admin.post("/v1/tenant/activate")).json(),
            objects.Review: (await admin.get("/v1/reviews")).json()["data"][0],
            objects.Discrepancy: (await admin.get("/v1/reconciliation/discrepancies")).json()["data"][0],
        }
        for shape, answer in answers.items():
            assert set(shape.__annotations__) <= set(answer), shape.__name__


class TestDiscrepancies:
    async def test_the_amount_of_the_payment_stands_with_it(self, door: Door, admin: Caller) -> None:
        charge = (await admin.charge(700)).json()
        await door.succeed(charge["provider_payment_id"], amount=900)
        async with transaction(door.desk.pool, QUICKSTART_TENANT_ID) as connection:
            await discrepancies.open_discrepancy(connection, "event_without_payment", "evt_stranger")
        listed = (await admin.get("/v1/reconciliation/discrepancies")).json()["data"]
        assert [(each["subject"], each["display"]) for each in listed] == [
            ("evt_stranger", None),
            (charge["id"], "$7.00"),
        ]
