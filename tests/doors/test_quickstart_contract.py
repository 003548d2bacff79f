"""The quick-start table of the HTTP contract, row by row, against what ``paywarden up`` starts.

A program on this machine without a key, the provider behind it, and people who look with SQL.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from paywarden.sandbox.control import SandboxControl
from tests.doors.outside import agent, await_status, event, fresh, payment, refused, reserve, rows, status_in
from tests.sandbox_process import SandboxProcess
from tests.stack import Stack

pytestmark = pytest.mark.timeout(120)

ANSWER_SECONDS = 5.0


@pytest.fixture
def local(stack: Stack) -> Iterator[httpx.Client]:
    """A program on this machine, without a key."""
    with stack.client() as http:
        yield http


@pytest.fixture
async def provider(stack: Stack) -> AsyncIterator[SandboxControl]:
    control = stack.sandbox()
    yield control
    await control.disarm()
    await control.close()


# POST /payments, GET /payments/{payment_id}


async def test_a_payment_is_pending_until_the_webhook(stack: Stack, local: httpx.Client) -> None:
    body = payment(reference="order-1")
    answer = local.post("/payments", json=body)
    assert answer.status_code == 200
    taken = answer.json()
    assert set(taken) == {"payment_id", "provider_payment_id", "status"}
    assert taken["status"] == "pending"
    assert taken["provider_payment_id"]
    await_status(stack, "payments", taken["payment_id"], "succeeded")
    seen = local.get(f"/payments/{taken['payment_id']}").json()
    assert seen.pop("created_at") < seen.pop("updated_at")
    assert seen == taken | {"status": "succeeded", "user_id": body["user_id"], "currency": "usd"} | {
        "amount_cents": 2500,
        "amount": 2500,
    }


async def test_a_repeat_without_a_key_waits_for_a_person(stack: Stack, local: httpx.Client) -> None:
    body = payment(reference="order-2")
    first, second = local.post("/payments", json=body), local.post("/payments", json=body)
    assert (first.status_code, second.status_code) == (200, 202)
    held = second.json()
    assert (held["status"], held["provider_payment_id"]) == ("in_review", None)
    assert held["payment_id"] != first.json()["payment_id"]
    assert status_in(stack, "payments", held["payment_id"]) == "in_review"


async def test_a_repeat_with_a_key_is_the_same_payment(local: httpx.Client) -> None:
    body, key = payment(), {"Idempotency-Key": fresh("key")}
    first, second = (local.post("/payments", json=body, headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["payment_id"] == second.json()["payment_id"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    refused(local.post("/payments", json=body | {"amount_cents": 1}, headers=key), 422, "idempotency_key_reused")


async def test_a_denial_names_the_rule(stack: Stack, local: httpx.Client) -> None:
    problem = refused(local.post("/payments", json=payment(amount_cents=50_001)), 403, "denied")
    assert problem["rule"] == "mandate_payment_limit"
    assert status_in(stack, "payments", problem["payment"]) == "denied"


async def test_not_enough_authority_is_insufficient(stack: Stack) -> None:
    with agent(stack, ["initiate"], payment=1_000, day=1_000) as http:
        assert http.post("/payments", json=payment(amount_cents=600)).status_code == 200
        problem = refused(http.post("/payments", json=payment(amount_cents=600)), 403, "insufficient")
        assert problem["rule"] == "insufficient"


async def test_a_decline_of_the_provider_is_told(stack: Stack, local: httpx.Client, provider: SandboxControl) -> None:
    body = payment()
    await provider.arm("decline", operation="submit", customer=body["user_id"])
    problem = refused(local.post("/payments", json=body), 402, "declined")
    assert status_in(stack, "payments", problem["payment"]) == "failed"


async def test_an_unknown_outcome_is_pending_without_an_id_and_ends_well(
    stack: Stack, local: httpx.Client, provider: SandboxControl
) -> None:
    body = payment()
    await provider.arm("drop_before_charge", operation="submit", customer=body["user_id"])
    began = time.monotonic()
    answer = local.post("/payments", json=body)
    assert time.monotonic() - began < ANSWER_SECONDS + 4
    assert answer.status_code == 200
    taken = answer.json()
    assert (taken["status"], taken["provider_payment_id"]) == ("pending", None)
    assert rows(stack, "select provider_payment_id, status from payments where id = %s", taken["payment_id"]) == [
        (None, "pending")
    ]
    await provider.disarm()
    await_status(stack, "payments", taken["payment_id"], "succeeded")
    assert (await provider.book())["charges"][taken["payment_id"]] == 1


async def test_the_row_is_stored_before_the_provider_is_called(
    stack: Stack, local: httpx.Client, provider: SandboxControl
) -> None:
    body = payment()
    await provider.arm("delay", operation="submit", customer=body["user_id"], seconds=1.5)
    with pytest.raises(httpx.ReadTimeout):
        local.post("/payments", json=body, timeout=0.5)
    (stored,) = rows(stack, "select id, status from payments where user_id = %s", body["user_id"])
    assert stored[1] == "pending"
    assert stored[0] not in (await provider.book())["charges"]
    await_status(stack, "payments", stored[0], "succeeded")


def test_ids_may_have_255_characters(local: httpx.Client) -> None:
    assert local.post("/payments", json=payment(user_id="u" * 255)).status_code == 200
    assert refused(local.post("/payments", json=payment(user_id="u" * 256)), 400, "invalid_field")["param"] == "user_id"


@pytest.mark.parametrize("name", ["pay_01h455vb4pex5vsknk084sn02q", "no-such-thing"])
def test_an_unknown_payment_is_not_found(local: httpx.Client, name: str) -> None:
    refused(local.get(f"/payments/{name}"), 404, "not_found")


# POST /payments/create, POST /payments/{job_id}/confirm


async def test_a_job_waits_for_its_confirmation(stack: Stack, local: httpx.Client, provider: SandboxControl) -> None:
    name = fresh("agent")
    answer = local.post("/payments/create", json={"agent_id": name, "amount_cents": 4200, "currency": "usd"})
    assert answer.status_code == 200
    job = answer.json()
    assert set(job) == {"job_id", "payment_id", "status"}
    assert job["status"] == "requires_confirmation"
    (at_provider,) = [one for one in (await provider.book())["payments"] if one["id"] == job["payment_id"]]
    assert (at_provider["status"], at_provider["metadata"]["agent_id"]) == ("requires_confirmation", name)
    assert status_in(stack, "payment_jobs", job["job_id"]) == "requires_confirmation"
    confirmed = local.post(f"/payments/{job['job_id']}/confirm")
    assert confirmed.status_code == 200
    assert confirmed.json() == job | {"status": confirmed.json()["status"]}
    assert confirmed.json()["status"] in {"pending", "paid"}
    await_status(stack, "payment_jobs", job["job_id"], "paid")
    assert (await provider.book())["charges"][job["job_id"]] == 1


async def test_a_provider_that_charges_anyway_wins_by_its_event(stack: Stack, local: httpx.Client) -> None:
    body = {"agent_id": fresh("agent"), "amount_cents": 4200, "currency": "usd"}
    job = local.post("/payments/create", json=body).json()
    raw, headers = event(stack, "payment.succeeded", {"id": job["payment_id"]})
    assert local.post("/webhooks/payments", content=raw, headers=headers).status_code == 200
    await_status(stack, "payment_jobs", job["job_id"], "paid")


# POST /agents/{agent_id}/reserve, POST /agents/{agent_id}/mark-paid


def test_the_only_reservation_is_marked_paid(stack: Stack, local: httpx.Client) -> None:
    name = fresh("agent")
    held = reserve(local, name)
    assert rows(stack, "select agent_id, amount_cents, status from payment_jobs where id = %s", held) == [
        (name, 5000, "reserved")
    ]
    paid = local.post(f"/agents/{name}/mark-paid", json={"reference": "bank line 7"})
    assert (paid.status_code, paid.json()) == (200, {"id": held, "status": "paid"})
    assert status_in(stack, "payment_jobs", held) == "paid"
    assert refused(local.post(f"/agents/{name}/mark-paid"), 404, "not_found")["detail"] == "No payable job found"


def test_of_several_jobs_one_must_be_named(local: httpx.Client) -> None:
    name = fresh("agent")
    held = {reserve(local, name), reserve(local, name)}
    problem = refused(local.post(f"/agents/{name}/mark-paid"), 409, "ambiguous_job")
    assert set(problem["candidates"]) == held
    one = min(held)
    assert local.post(f"/agents/{name}/mark-paid", json={"id": one}).json() == {"id": one, "status": "paid"}
    (other,) = held - {one}
    assert local.post(f"/agents/{name}/mark-paid").json() == {"id": other, "status": "paid"}


def test_nobody_elses_job_is_marked_paid(local: httpx.Client) -> None:
    held = reserve(local, fresh("agent"))
    problem = refused(local.post(f"/agents/{fresh('agent')}/mark-paid", json={"id": held}), 404, "not_found")
    assert problem["detail"] == "No payable job found"


def test_marking_paid_needs_the_role_that_may_settle(stack: Stack, local: httpx.Client) -> None:
    name = fresh("agent")
    held = reserve(local, name)
    with agent(stack, ["initiate"]) as http:
        refused(http.post(f"/agents/{name}/mark-paid"), 403, "forbidden")
    assert status_in(stack, "payment_jobs", held) == "reserved"


async def test_a_job_at_the_provider_is_paid_on_its_evidence_only(
    stack: Stack, local: httpx.Client, provider: SandboxControl
) -> None:
    """The provider sends no event; it says ``pending`` for three seconds and ``succeeded`` from then on."""
    name = fresh("agent")
    job = local.post("/payments/create", json={"agent_id": name, "amount_cents": 4200, "currency": "usd"}).json()
    await provider.change_settings(webhook_delay_seconds=3)
    await provider.arm("no_webhook", operation="confirm", reference=job["job_id"])
    problem = refused(local.post(f"/agents/{name}/mark-paid"), 409, "not_settled_at_provider")
    assert problem["payment"] == job["job_id"]
    assert status_in(stack, "payment_jobs", job["job_id"]) == "pending"
    await provider.change_settings(webhook_delay_seconds=0.3)
    await_status(stack, "payment_jobs", job["job_id"], "paid")
    assert (await provider.book())["charges"][job["job_id"]] == 1


# POST /webhooks/payments


@pytest.mark.parametrize(
    ("kind", "place", "status"),
    [
        ("payment.succeeded", lambda name: {"id": name}, "succeeded"),
        ("payment.failed", lambda name: {"id": name}, "failed"),
        ("payment_intent.succeeded", lambda name: {"object": {"id": name}}, "succeeded"),
        ("payment_intent.payment_failed", lambda name: {"object": {"id": name}}, "failed"),
    ],
)
async def test_a_signed_event_decides(
    stack: Stack,
    local: httpx.Client,
    provider: SandboxControl,
    kind: str,
    place: Callable[[str], dict[str, Any]],
    status: str,
) -> None:
    body = payment()
    # Still pending at the provider when somebody asks there.
    await provider.arm("duplicate_webhook", operation="submit", customer=body["user_id"], seconds=60)
    taken = local.post("/payments", json=body).json()
    raw, headers = event(stack, kind, place(taken["provider_payment_id"]))
    received = local.post("/webhooks/payments", content=raw, headers=headers)
    assert (received.status_code, received.json()) == (200, {"ok": True, "received": True})
    await_status(stack, "payments", taken["payment_id"], status)
    again = local.post("/webhooks/payments", content=raw, headers=headers)
    assert (again.status_code, again.json()) == (200, {"ok": True, "received": True})
    assert status_in(stack, "payments", taken["payment_id"]) == status


async def test_an_event_with_a_missing_or_wrong_signature_changes_nothing(
    stack: Stack, local: httpx.Client, provider: SandboxControl
) -> None:
    body = payment()
    await provider.arm("duplicate_webhook", operation="submit", customer=body["user_id"], seconds=60)
    taken = local.post("/payments", json=body).json()
    raw, headers = event(stack, "payment.succeeded", {"id": taken["provider_payment_id"]})
    _, other = event(stack, "payment.succeeded", {"id": taken["provider_payment_id"]}, secret="another")
    for wrong in ({}, {"X-Signature": ""}, {"X-Signature": "0" * 64}, other):
        answer = local.post("/webhooks/payments", content=raw, headers={"Content-Type": "application/json"} | wrong)
        refused(answer, 400, "webhook_refused")
    assert status_in(stack, "payments", taken["payment_id"]) == "pending"
    assert local.post("/webhooks/payments", content=raw, headers=headers).status_code == 200
    await_status(stack, "payments", taken["payment_id"], "succeeded")


# POST /decisions


def test_without_evidence_a_decision_does_not_approve(stack: Stack, local: httpx.Client) -> None:
    before = rows(stack, "select count(*) from payments")
    question = {"customer_id": fresh("cust"), "request": "Customer asks for ...", "requested_amount_cents": 5000}
    answer = local.post("/decisions", json=question)
    assert answer.status_code == 200
    assert answer.json() == {
        "decision_id": answer.json()["decision_id"],
        "approve": False,
        "reason": "Insufficient evidence to initiate payment",
        "amount_cents": 0,
        "evidence": [],
    }
    assert rows(stack, "select count(*) from payments") == before


def test_the_evidence_of_a_decision_is_what_was_retrieved(local: httpx.Client) -> None:
    customer = fresh("cust")
    note = {"customer_id": customer, "content": "I was charged twice for order 7."}
    kept = local.post("/knowledge", json=note).json()["id"]
    question = {"customer_id": customer, "request": "charged twice for order 7", "requested_amount_cents": 5000}
    answer = local.post("/decisions", json=question).json()
    assert [one["id"] for one in answer["evidence"]] == [kept]
    # What a customer says of himself is no evidence for money.
    assert (answer["approve"], answer["amount_cents"]) == (False, 0)
    assert answer["reason"] == "Insufficient evidence to initiate payment"


# POST /knowledge, GET and POST /knowledge/search


def test_notes_are_found_nearest_first_within_the_customer(local: httpx.Client) -> None:
    customer, other = fresh("cust"), fresh("cust")
    texts = ["I was charged twice for order 7.", "My card was eaten by the machine.", "How do I change my address?"]
    for text in texts:
        answer = local.post("/knowledge", json={"customer_id": customer, "content": text})
        assert (answer.status_code, set(answer.json())) == (201, {"id"})
    local.post("/knowledge", json={"customer_id": other, "content": texts[0]}).raise_for_status()
    got = local.get("/knowledge/search", params={"customer_id": customer, "q": "double charge", "limit": 2})
    posted = local.post("/knowledge/search", json={"customer_id": customer, "q": "double charge", "limit": 2})
    assert (got.status_code, posted.status_code) == (200, 200)
    assert got.json() == posted.json()
    found = got.json()["data"]
    assert [set(one) for one in found] == [{"id", "customer_id", "content", "score"}] * 2
    assert {one["customer_id"] for one in found} == {customer}
    assert found[0]["content"] == texts[0]
    assert found[0]["score"] > found[1]["score"]
    default = local.get("/knowledge/search", params={"customer_id": customer, "q": "double charge"}).json()["data"]
    assert len(default) == 3
    assert local.get("/knowledge/search", params={"customer_id": fresh("cust"), "q": "x"}).json() == {"data": []}


def test_a_callers_own_vector_finds_its_own_kind(local: httpx.Client) -> None:
    customer = fresh("cust")
    vectors = {"east": [1.0, 0.0, 0.0], "north-east": [0.7, 0.7, 0.0], "north": [0.0, 1.0, 0.0], "four": [1.0, 0, 0, 0]}
    for text, vector in vectors.items():
        body = {"customer_id": customer, "content": text, "embedding": vector}
        assert local.post("/knowledge", json=body).status_code == 201
    search = {"customer_id": customer, "embedding": [0.1, 1.0, 0.0], "limit": 3}
    found = local.post("/knowledge/search", json=search).json()["data"]
    assert [one["content"] for one in found] == ["north", "north-east", "east"]


# Without a key


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://shop.example"},
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": "null"},
        {"Forwarded": "for=192.0.2.1"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Host": "127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"Host": "shop.example"},
        {"Host": "127.0.0.1.shop.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {"Authorization": "Bearer pw_test_nobody_00"},
    ],
    ids=lambda headers: " ".join(*headers.items()),
)
def test_a_web_page_or_a_proxy_pays_nothing_without_a_key(
    stack: Stack, local: httpx.Client, headers: dict[str, str]
) -> None:
    body = payment()
    sent = {"Content-Type": "application/json"} | headers
    refused(local.post("/payments", content=json.dumps(body), headers=sent), 401, "unauthenticated")
    assert rows(stack, "select id from payments where user_id = %s", body["user_id"]) == []
    with stack.administrator() as admin:
        answer = admin.post("/payments", content=json.dumps(body), headers=sent)
    known = "Content-Type" not in headers and "Authorization" not in headers
    assert (answer.status_code == 200) is known


def test_only_the_quick_start_goes_without_a_key(local: httpx.Client) -> None:
    refused(local.get("/v1/payments"), 401, "unauthenticated")
    refused(local.post("/v1/payments", json={}), 401, "unauthenticated")
    refused(local.get("/payments/pay_01h455vb4pex5vsknk084sn02q", headers={"Origin": "null"}), 401, "unauthenticated")
    note = {"customer_id": fresh("cust"), "content": "x", "trust": "record"}
    refused(local.post("/knowledge", json=note), 403, "forbidden")


# SQL


@pytest.mark.parametrize(
    ("view", "columns"),
    [
        ("payments", "id user_id provider_payment_id amount_cents currency status created_at updated_at"),
        ("payment_jobs", "id agent_id provider_payment_id amount_cents currency status created_at updated_at"),
        ("knowledge_base", "id customer_id content embedding"),
    ],
)
def test_the_views_have_exactly_these_columns(stack: Stack, view: str, columns: str) -> None:
    with psycopg.connect(stack.ready["database_url"]) as connection:
        described = connection.execute(f"select * from {view} limit 0").description
    assert described is not None
    assert " ".join(column.name for column in described) == columns


def test_ids_are_the_same_in_sql_and_rows_are_where_they_belong(stack: Stack, local: httpx.Client) -> None:
    paid = local.post("/payments", json=payment()).json()["payment_id"]
    body = {"agent_id": fresh("agent"), "amount_cents": 4200, "currency": "usd"}
    job = local.post("/payments/create", json=body).json()
    held = reserve(local, fresh("agent"))
    note = local.post("/knowledge", json={"customer_id": fresh("cust"), "content": "x"}).json()["id"]
    found = {
        view: {
            row[0]
            for row in rows(stack, f"select id from {view} where id = any(%s)", [paid, job["job_id"], held, note])
        }
        for view in ("payments", "payment_jobs", "knowledge_base")
    }
    assert found == {"payments": {paid}, "payment_jobs": {job["job_id"], held}, "knowledge_base": {note}}
    seen = rows(stack, "select provider_payment_id from payment_jobs where id = %s", job["job_id"])
    assert seen == [(job["payment_id"],)]


# A provider of one's own


def test_a_provider_of_ones_own_on_loopback_is_spoken_to_without_a_key(tmp_path: Path) -> None:
    """What counts is in the environment or, where somebody starts it, in ``.env``."""
    secret = "raw text, their own"
    theirs = SandboxProcess.start(tmp_path / "theirs", webhook_delay_seconds=0.3, webhook_secret=secret)
    (tmp_path / ".env").write_text(f"PAYMENT_WEBHOOK_SECRET='{secret}'\nPAYMENT_API_KEY={theirs.api_key}\n")
    stack = Stack(tmp_path / "data", PAYMENT_API_URL=theirs.url)
    try:
        stack.start()
        assert stack.ready["sandbox_url"] is None
        assert "sandbox" not in stack.children()
        with stack.client() as http:
            taken = http.post("/payments", json=payment()).json()
            assert taken["provider_payment_id"].startswith("sbxpay_")
            raw, headers = event(
                stack, "payment.succeeded", {"id": taken["provider_payment_id"]}, "raw text, their own"
            )
            assert http.post("/webhooks/payments", content=raw, headers=headers).status_code == 200
            await_status(stack, "payments", taken["payment_id"], "succeeded")
        stack.stop()
    finally:
        stack.end()
        theirs.stop()
