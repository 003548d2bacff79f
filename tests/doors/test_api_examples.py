"""The examples of the OpenAPI document: requests that are valid, answers that were really given.

After a change of an answer record them again, with UPDATE_EXAMPLES=1 in the environment (CONTRIBUTING.md).
"""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from paywarden.api import documented
from tests.doors.door import Caller, Door, absent_id

Json = dict[str, Any]
FILE = Path(documented.__file__).with_name("examples.json")
SECRET = "pw_test_01h455vb4pex5vsknk084sn02q_shown-once"
# Whose success takes a provider that is silent for a day, a model that asks, or a payer who is asked.
HARD_TO_RECORD = {"attestPayment", "giveFacts", "confirmPayment"}


class Recorder:
    """Calls operations by their id and keeps what they answer."""

    def __init__(self, document: Json) -> None:
        self.answers: dict[str, Json] = {}
        self._places = {
            operation["operationId"]: (method, path)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        }

    async def __call__(
        self, caller: Caller, operation: str, status: int, body: Json | None = None, key: str | None = None, **ids: Any
    ) -> Json:
        method, path = self._places[operation]
        named = {name: value for name, value in ids.items() if f"{{{name}}}" in path}
        query = {name: value for name, value in ids.items() if name not in named}
        answer = await caller.http.request(
            method,
            path.format(**named),
            params=query or None,
            headers={"Idempotency-Key": key} if key else {},
            **({} if body is None else {"json": body}),
        )
        assert answer.status_code == status, (operation, answer.text)
        given: Json = answer.json()
        shown = given | ({"secret": SECRET} if "secret" in given else {})
        self.answers.setdefault(operation, {})[str(status)] = shown
        return given


async def record(door: Door) -> dict[str, Json]:
    """A story that meets the operations one after another; what they answered."""
    call = Recorder(door.app.openapi())
    async with door.caller(await door.admin_key()) as admin:
        agent = await call(admin, "createAgent", 201, {"name": "refund-bot", "roles": ["initiate", "risk"]})
        secret = (await call(admin, "createKey", 201, {"principal": agent["id"]}))["secret"]
        person = await admin.post("/v1/agents", {"kind": "person", "name": "ann", "roles": ["review"]})
        anns = (await admin.post("/v1/keys", {"principal": person.json()["id"]})).json()["secret"]
        async with door.caller(secret) as bot, door.caller(anns) as ann:
            await authority(call, admin, bot, agent["id"])
            refund = await payments(call, door, bot)
            await credits(call, admin, bot)
            await memory(call, admin, bot)
            await reviews(call, admin, ann, bot, refund)
            await gate(call, admin, bot, agent["id"])
    return dict(sorted(call.answers.items()))


async def authority(call: Recorder, admin: Caller, bot: Caller, agent: str) -> None:
    limits = [
        {"currency": "usd", "window": "payment", "limit_minor": 20_000},
        {"currency": "usd", "window": "day", "limit_minor": 100_000},
    ]
    terms = {"principal": agent, "name": "support", "kinds": ["charge", "refund"], "limits": limits, "timezone": "UTC"}
    await call(admin, "createMandate", 201, terms)
    await call(admin, "createMandate", 404, {**terms, "principal": absent_id("agt")})
    await call(bot, "createMandate", 403, terms)
    old = (await admin.post("/v1/mandates", {**terms, "name": "old"})).json()["id"]
    await call(admin, "revokeMandate", 200, mandate_id=old)
    await call(admin, "listMandates", 200)


async def payments(call: Recorder, door: Door, bot: Caller) -> str:
    """The payment that waits for a reviewer."""
    order = {"kind": "charge", "amount_minor": 2_500, "currency": "usd", "customer": "cust_42", "purpose": "order 7"}
    twice = {**order, "reference": "order-7"}
    large = {**order, "amount_minor": 15_000, "purpose": "order 8", "reference": "order-8"}
    await call(bot, "checkPayment", 200, order)
    async with door.settling_at_once():
        charge = await call(bot, "createPayment", 201, twice, key="order-7")
        await bot.post("/v1/payments", twice, key="order-7-again")
        other = (await bot.post("/v1/payments", large, key="order-8")).json()["id"]
        await settled(door, bot, charge["id"], other)
        asked = {"amount_minor": 2_500, "currency": "usd", "request": "I was charged twice for order 7."}
        refund = await call(bot, "refundPayment", 201, asked, key="refund-7", payment_id=charge["id"])
        await settled(door, bot, refund["id"])
    await call(bot, "createPayment", 422, {**twice, "amount_minor": 2_600}, key="order-7")
    await call(bot, "createPayment", 400, {**order, "amount_minor": 0}, key="order-9")
    await call(bot, "createPayment", 403, {**order, "amount_minor": 20_001}, key="order-9")
    await call(bot, "refundPayment", 409, asked, key="refund-8", payment_id=charge["id"])
    await call(bot, "getPayment", 200, payment_id=charge["id"])
    await call(bot, "getPayment", 404, payment_id=absent_id("pay"))
    await call(bot, "listPayments", 200, limit=1)
    await call(bot, "getDossier", 200, payment_id=refund["id"])
    back = {"amount_minor": 15_000, "currency": "usd", "request": "I sent order 8 back."}
    not_yet = (await bot.post(f"/v1/payments/{other}/refund", back, key="refund-not-yet")).json()["id"]
    await call(bot, "cancelPayment", 200, key="cancel", payment_id=not_yet)
    return str((await call(bot, "refundPayment", 202, back, key="refund-9", payment_id=other))["id"])


async def gate(call: Recorder, admin: Caller, bot: Caller, agent: str) -> None:
    limits = [{"currency": "usd", "window": "day", "limit_minor": 500}]
    terms = {"principal": agent, "name": "model calls", "kinds": ["gate"], "limits": limits, "timezone": "UTC"}
    mandate = (await admin.post("/v1/mandates", terms)).json()["id"]
    wanted = {"mandate": mandate, "amount_minor": 100, "currency": "usd", "feature": "summary", "expires_in": 600}
    first = await call(bot, "createHold", 201, wanted, key="call-1")
    await call(bot, "createHold", 403, {**wanted, "amount_minor": 501}, key="call-2")
    await call(bot, "createHold", 422, {**wanted, "amount_minor": 101}, key="call-1")
    second = await call(bot, "createHold", 201, wanted, key="call-3")
    members = [{**wanted, "idempotency_key": "call-1"}, {**wanted, "amount_minor": 400, "idempotency_key": "call-4"}]
    await call(bot, "createHolds", 200, {"holds": members})
    await call(bot, "captureHold", 422, {"amount_minor": 101}, key="cost-1", hold_id=first["id"])
    await call(bot, "captureHold", 200, {"amount_minor": 42}, key="cost-1", hold_id=first["id"])
    await call(bot, "extendHold", 200, {"expires_in": 1200}, hold_id=second["id"])
    await call(bot, "extendHold", 409, {"expires_in": 1200}, hold_id=first["id"])
    await call(bot, "releaseHold", 200, hold_id=second["id"])
    await call(bot, "getHold", 200, hold_id=first["id"])
    await call(bot, "listHolds", 200, limit=1)
    await call(bot, "releaseHold", 409, hold_id=first["id"])


async def settled(door: Door, bot: Caller, *payments: str) -> None:
    """The provider's word is in on all of them."""
    for _ in range(200):
        await door.work()
        states = {(await bot.get(f"/v1/payments/{each}")).json()["status"] for each in payments}
        if states == {"succeeded"}:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not settled: {states}")


async def credits(call: Recorder, admin: Caller, bot: Caller) -> None:
    cash = {"customer": "cust_42", "amount_minor": 50_000, "currency": "usd", "funding": "prepaid",
            "reference": "bank statement 7, line 3"}  # fmt: skip
    await call(admin, "topUpCredit", 201, cash, key="statement-7-3")
    await call(admin, "topUpCredit", 422, {**cash, "amount_minor": 60_000}, key="statement-7-3")
    await call(bot, "topUpCredit", 403, cash, key="mine")
    await call(bot, "getCredit", 200, customer="cust_42")
    wrong = (await admin.post("/v1/credits/top-ups", {**cash, "amount_minor": 5_000}, key="statement-7-4")).json()["id"]
    why = {"reason": "Meant for cust_24."}
    await call(admin, "reverseTopUp", 200, why, key="undo-1", top_up_id=wrong)
    await call(admin, "reverseTopUp", 409, why, key="undo-2", top_up_id=wrong)
    await call(bot, "reverseTopUp", 403, why, key="undo-3", top_up_id=wrong)
    await call(bot, "listTopUps", 200, limit=1)


async def memory(call: Recorder, admin: Caller, bot: Caller) -> None:
    note = {"customer": "cust_42", "content": "Says she was charged twice for order 7.", "case": "case-12"}
    kept = await call(bot, "createNote", 201, note)
    await call(bot, "createNote", 403, {**note, "trust": "record"})
    await call(admin, "importNotes", 200, {"notes": [note, {**note, "content": "Order 7 was delivered once."}]})
    await call(admin, "importNotes", 400, {"notes": [note, {**note, "content": " "}]})
    await call(bot, "searchNotes", 200, {"customer": "cust_42", "q": "charged twice", "limit": 1})
    await call(bot, "searchNotes", 403, {"q": "charged twice"})
    question = {"customer": "cust_42", "request": "I was charged twice.", "amount_minor": 2_500, "currency": "usd"}
    decision = await call(bot, "createDecision", 201, question)
    await call(bot, "getDecision", 200, decision_id=decision["id"])
    await call(admin, "replayDecision", 201, decision_id=decision["id"])
    await call(admin, "replayDecision", 400, {"model": "claude-opus-5-5"}, decision_id=decision["id"])
    await call(bot, "replayDecision", 403, decision_id=decision["id"])
    await call(bot, "listNoteDecisions", 200, note_id=kept["id"])
    await call(bot, "expireNote", 200, {}, note_id=kept["id"])


async def reviews(call: Recorder, admin: Caller, ann: Caller, bot: Caller, refund: str) -> None:
    waiting = await call(ann, "listReviews", 200, payment=refund)
    review = waiting["data"][0]["id"]
    await call(ann, "getReview", 200, review_id=review)
    await call(bot, "giveVerdict", 403, {"verdict": "approve", "reason": "It is mine."}, review_id=review)
    fence = (await call(ann, "claimReview", 200, review_id=review))["fence"]
    await call(admin, "claimReview", 409, review_id=review)
    await call(ann, "keepReview", 200, {"fence": fence}, review_id=review)
    await call(ann, "keepReview", 409, {"fence": fence + 1}, review_id=review)
    await call(ann, "releaseReview", 200, {"fence": fence}, review_id=review)
    digest = waiting["data"][0]["action_digest"]
    verdict = {"verdict": "approve", "reason": "The order was charged twice.", "action_digest": digest}
    await call(ann, "giveVerdict", 409, {**verdict, "action_digest": "0" * 64}, review_id=review)
    await call(ann, "giveVerdict", 200, verdict, review_id=review)


def shape(value: Any) -> Any:
    """The names in an answer; what a list or a free object holds is its own affair."""
    return {name: shape(inner) for name, inner in sorted(value.items())} if isinstance(value, dict) else None


def schemas(document: Json, operation: Json) -> Iterator[tuple[str, Json, Any]]:
    """(where, schema, example) of every example of an operation."""
    contents = {"request": operation.get("requestBody", {}), **operation["responses"]}
    for where, holder in contents.items():
        for content in holder.get("content", {}).values():
            for found in examples(document, content):
                yield where, {**content["schema"], "components": document["components"]}, found


def examples(document: Json, content: Json) -> Iterator[Any]:
    if "example" in content:
        yield content["example"]
    for schema in (content["schema"], *content["schema"].get("anyOf", [])):
        named = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
        if "example" in named:
            yield named["example"]


@pytest.fixture(scope="module")
def document() -> Json:
    from paywarden.api.application import build

    return build(lambda: None).openapi()  # type: ignore[arg-type, return-value]


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, by_method in document["paths"].items():
        for method, operation in by_method.items():
            yield method, path, operation


async def test_the_answers_were_really_given(door: Door) -> None:
    found = await record(door)
    if os.environ.get("UPDATE_EXAMPLES"):
        FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
        documented.recorded_answers.cache_clear()
    kept = documented.recorded_answers()
    assert {name: set(answers) for name, answers in kept.items()} == {name: set(each) for name, each in found.items()}
    for name, answers in found.items():
        for status, answer in answers.items():
            assert shape(kept[name][status]) == shape(answer), (name, status)


def test_every_example_is_valid_for_its_schema(document: Json) -> None:
    tried = 0
    for _, path, operation in operations(document):
        for where, schema, example in schemas(document, operation):
            problems = [str(error) for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(example)]
            assert problems == [], (path, where)
            tried += 1
    assert tried > 200


def test_every_post_of_v1_shows_what_to_send_and_how_it_is_refused(document: Json) -> None:
    for method, path, operation in operations(document):
        if method != "post" or not path.startswith("/v1/"):
            continue
        told = [where for where, _, _ in schemas(document, operation)]
        if "requestBody" in operation:
            assert "request" in told, path
        assert {"400", "401", "403", "404"} <= set(told), path


def test_payments_and_judgement_are_shown_with_answers(document: Json) -> None:
    """Reviews, notes, decisions, mandates, payments: each with an answer that went well."""
    recorded = documented.recorded_answers()
    tags = {"payments", "reviews", "memory", "decisions"}
    named = {
        operation["operationId"] for method, _, operation in operations(document)
        if method == "post" and tags & set(operation["tags"])
    } | {"createMandate", "revokeMandate", "getDossier", "getDecision", "listReviews", "listMandates"}  # fmt: skip
    missing = {name for name in named if not {"200", "201", "202"} & set(recorded.get(name, {}))}
    assert missing == HARD_TO_RECORD


def test_the_document_is_openapi_3_1_with_an_id_of_its_own_for_each_operation(document: Json) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert document["openapi"].startswith("3.1")
    assert len(names) == len(set(names))
    assert all(name.isidentifier() and name[0].islower() for name in names)


def test_the_validator_notices_an_example_that_is_wrong(document: Json) -> None:
    """The broken twin: an amount as text."""
    operation = document["paths"]["/v1/payments"]["post"]
    (schema, example), *_ = [(schema, shown) for where, schema, shown in schemas(document, operation) if where == "201"]
    assert not jsonschema_rs.Draft202012Validator(schema).is_valid({**example, "amount_minor": "2500"})
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(example)
