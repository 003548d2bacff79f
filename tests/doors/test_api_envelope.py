"""What every answer has, and what the door says when nothing was found, nothing was ready, or we failed."""

import json
import logging
import re
import sys
from collections.abc import Iterator

import httpx
import pytest
import structlog

from paywarden import logs
from paywarden.flow import advance, health
from paywarden.kit.errors import OverloadedError
from tests.doors.door import Door, absent_id

MEMBERS = {"type", "title", "status", "code", "detail", "request_id"}
OUR_ID = re.compile(r"req_[0-9a-z]{26}")


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers, root.level, sys.excepthook
    yield
    root.handlers, sys.excepthook = handlers, hook
    root.setLevel(level)
    structlog.reset_defaults()


async def test_a_request_id_is_on_every_answer(door: Door) -> None:
    for path in ("/healthz", "/nope", "/v1/payments", f"/payments/{absent_id('pay')}"):
        answer = await door.get(path)
        assert OUR_ID.fullmatch(answer.headers["X-Request-Id"])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.status_code >= 400:
            assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    given = await door.local.get("/healthz", headers={"X-Request-Id": "my.trace_7-b"})
    assert given.headers["X-Request-Id"] == "my.trace_7-b"


async def test_a_strange_request_id_is_replaced(door: Door) -> None:
    for given in ("", "a b", "x" * 65, "ä", 'a"b', "<script>", "4111 1111", "a;b"):
        answer = await door.local.get("/healthz", headers=[(b"X-Request-Id", given.encode())])
        assert OUR_ID.fullmatch(answer.headers["X-Request-Id"]), given


async def test_the_request_id_is_found_again_in_the_audit_events(door: Door) -> None:
    payment = {"user_id": "u", "amount_cents": 100, "currency": "usd"}
    asked = await door.post("/payments", payment, **{"X-Request-Id": "trace-1"})
    async with door.caller(await door.admin_key()) as admin:
        dossier = (await admin.get(f"/v1/payments/{asked.json()['payment_id']}/dossier")).json()
    assert "trace-1" in [event["request_id"] for event in dossier["events"]]


async def test_unknown_routes_and_methods_are_problems_of_the_same_shape(door: Door) -> None:
    asked: list[tuple[str, str, int, str]] = [
        ("GET", "/nope", 404, "not_found"), ("POST", "/", 404, "not_found"), ("GET", "/payments/", 404, "not_found"),
        ("GET", "/v1/payments/", 404, "not_found"), ("GET", "/docs", 404, "not_found"),
        ("PUT", "/payments", 405, "method_not_allowed"), ("DELETE", "/payments/x", 405, "method_not_allowed"),
        ("PATCH", "/v1/payments", 405, "method_not_allowed"), ("BREW", "/healthz", 405, "method_not_allowed"),
    ]  # fmt: skip
    for method, path, status, code in asked:
        answer = await door.local.request(method, path)
        assert (method, path, answer.status_code, answer.json()["code"]) == (method, path, status, code)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert set(answer.json()) == MEMBERS
        assert ("Allow" in answer.headers) == (status == 405)


async def test_our_own_failure_says_nothing_and_is_logged_redacted(
    door: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], logging_as_it_was: None
) -> None:
    logs.configure("info", ["a-very-secret-value"])

    async def fails(*_: object) -> None:
        raise RuntimeError("broke on a-very-secret-value and card 4111111111111111")

    monkeypatch.setattr(advance, "find", fails)
    answer = await door.get(f"/payments/{absent_id('pay')}")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert set(answer.json()) == MEMBERS
    assert "broke" not in answer.text
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    failure = next(line for line in lines if line["event"] == "request failed")
    assert failure["request_id"] == answer.headers["X-Request-Id"]
    assert "RuntimeError: broke on [redacted] and card [card]" in failure["exception"]
    told = next(line for line in lines if line["event"] == "request")
    assert (told["status"], told["route"], told["method"]) == (500, "/payments/{payment_id}", "GET")


async def test_overload_asks_to_retry(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(*_: object) -> None:
        raise OverloadedError("the database is busy or restarting", retry_after_seconds=3)

    monkeypatch.setattr(advance, "find", busy)
    answer = await door.get(f"/payments/{absent_id('pay')}")
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "overloaded", "3")


async def test_alive_and_ready_are_two_questions(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await door.get("/healthz")).json() == {"status": "ok"}
    ready = await door.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    await door.desk.pool.close()
    gone = await door.get("/readyz")
    assert (gone.status_code, gone.headers["Content-Type"]) == (503, "application/problem+json")
    assert (await door.get("/healthz")).status_code == 200
    assert (await door.get("/metrics")).status_code == 200


async def test_metrics_count_by_template_and_cannot_be_flooded(door: Door) -> None:
    for number in range(30):
        await door.get(f"/payments/{absent_id('pay')}")
        await door.get(f"/made-up-{number}")
        await door.local.request(f"VERB{number}", f"/payments/{number}")
    text = (await door.get("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("paywarden_http_requests_total")]
    assert 'paywarden_http_requests_total{method="GET",route="/payments/{payment_id}",status="404"} 30.0' in lines
    assert 'paywarden_http_requests_total{method="GET",route="unknown",status="404"} 30.0' in lines
    assert len(lines) < 8
    assert "paywarden_due_payments 0.0" in text
    assert "made-up" not in text
    assert "VERB" not in text


async def test_the_gauges_are_those_of_the_flow(door: Door) -> None:
    text = (await door.get("/metrics")).text
    for name in await health.gauges(door.desk):
        assert re.search(rf"^{name}[ {{]", text, re.MULTILINE) or f"# HELP {name} " in text


class TestDocument:
    async def test_every_operation_has_an_id_a_summary_and_its_problems(self, door: Door) -> None:
        document = (await door.get("/openapi.json")).json()
        assert document["openapi"].startswith("3.1")
        operations = [
            (path, operation) for path, methods in document["paths"].items() for operation in methods.values()
        ]
        names = [operation["operationId"] for _, operation in operations]
        assert len(set(names)) == len(names) >= 40
        for path, operation in operations:
            assert operation["summary"]
            assert operation["tags"]
            assert (
                "422" not in operation["responses"]
                or path.endswith(("reserve", "mark-paid", "confirm", "refund"))
                or ("Idempotency-Key" in str(operation.get("parameters")))
            )
            for status, response in operation["responses"].items():
                if status >= "400":
                    schema = response["content"]["application/problem+json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}
        assert "HTTPValidationError" not in document["components"]["schemas"]

    async def test_keys_are_asked_for_where_they_are_needed(self, door: Door) -> None:
        document = (await door.get("/openapi.json")).json()
        for path, methods in document["paths"].items():
            for operation in methods.values():
                if path.startswith("/v1"):
                    assert operation["security"] == [{"apiKey": []}]
        assert document["paths"]["/payments"]["post"]["security"] == [{}, {"apiKey": []}]
        assert document["paths"]["/healthz"]["get"]["security"] == []

    async def test_examples_are_taken_as_they_are(self, door: Door) -> None:
        document = (await door.get("/openapi.json")).json()
        answers: dict[str, httpx.Response] = {}
        async with door.caller(await door.admin_key()) as admin:
            for path, methods in document["paths"].items():
                for method, operation in methods.items():
                    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
                    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
                    example = document["components"]["schemas"].get(name, {}).get("example")
                    if example is not None and "{" not in path:
                        answers[path] = await admin.http.request(
                            method, path, json=example, headers={"Idempotency-Key": f"example-{path}"}
                        )
        assert len(answers) >= 11
        refused = {path: answer.json() for path, answer in answers.items() if answer.status_code >= 300}
        # Their example names a principal that is not there, or a customer without credit.
        assert set(refused) <= {"/v1/mandates", "/v1/keys", "/v1/holds"}
