"""The SDK on the wire: what it sends, what it repeats, with which key, and what it makes of the answers."""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from paywarden.client import (
    TOOLS,
    AsyncPaywarden,
    Paywarden,
    PaywardenApiError,
    PaywardenClientError,
    PaywardenUnreachableError,
    PaywardenUsageError,
    is_loopback,
)
from paywarden.client.conversation import ATTEMPTS, Answer, Call, NoAnswer, pause_before_repeat
from paywarden.client.tools import check_arguments
from paywarden.kit.errors import InvalidFieldError

from .scripted_service import Say, problem, scripted

Run = Callable[..., Any]
PAID = {"object": "payment", "id": "pay_1", "status": "processing"}
BUSY = problem(503, "overloaded", retry_after=0)


def _blocking(url: str, method: str, *args: Any, **kwargs: Any) -> Any:
    with Paywarden(url, "pw_test_key") as desk:
        return getattr(desk, method)(*args, **kwargs)


def _asynchronous(url: str, method: str, *args: Any, **kwargs: Any) -> Any:
    async def call() -> Any:
        async with AsyncPaywarden(url, "pw_test_key") as desk:
            return await getattr(desk, method)(*args, **kwargs)

    return asyncio.run(call())


@pytest.fixture(params=[_blocking, _asynchronous], ids=["blocking", "asynchronous"])
def run(request: pytest.FixtureRequest) -> Run:
    """Call a method of either client."""
    return request.param  # type: ignore[no-any-return]


def test_a_charge_carries_key_body_and_a_fresh_idempotency_key(run: Run) -> None:
    with scripted(Say(201, PAID)) as service:
        for _ in range(2):
            assert run(service.url, "charge", 2500, "usd", "cust_1", purpose="order 7") == PAID
    first, second = service.asked
    assert (first.method, first.path) == ("POST", "/v1/payments")
    assert first.headers["authorization"] == "Bearer pw_test_key"
    body = {"kind": "charge", "amount_minor": 2500, "currency": "usd", "customer": "cust_1", "purpose": "order 7"}
    assert first.body == body
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


def test_who_does_not_wait_says_so_in_a_header_and_not_in_the_body(run: Run) -> None:
    with scripted(Say(202, PAID), Say(201, PAID)) as service:
        assert run(service.url, "charge", 2500, "usd", "cust_1", purpose="order 7", wait=False) == PAID
        assert run(service.url, "charge", 2500, "usd", "cust_1", purpose="order 7") == PAID
    early, waiting = service.asked
    assert (early.headers.get("prefer"), waiting.headers.get("prefer")) == ("respond-async", None)
    assert early.body == waiting.body


@pytest.mark.parametrize(
    "trouble",
    [
        problem(409, "idempotency_in_progress", retry_after=0),
        problem(429, "too_many_requests", retry_after=0),
        BUSY,
        Say(502, b"<html>bad gateway</html>", {"Retry-After": "0"}),
        Say(drop=True),
    ],
    ids=["409 in progress", "429", "503", "502 of a proxy", "answer lost"],
)
def test_a_request_for_money_is_repeated_with_the_same_key(run: Run, trouble: Say) -> None:
    with scripted(trouble, trouble, Say(201, PAID)) as service:
        assert run(service.url, "refund", "pay_1", 500, "usd", request="charged twice") == PAID
    assert len(service.asked) == 3
    assert len({asked.headers["idempotency-key"] for asked in service.asked}) == 1
    assert len({json.dumps(asked.body) for asked in service.asked}) == 1


@pytest.mark.parametrize(
    "answer",
    [problem(409, "state_conflict"), problem(403, "denied"), problem(402, "declined"), problem(500, "error")],
    ids=["409", "403", "402", "500"],
)
def test_a_decided_answer_is_not_repeated(run: Run, answer: Say) -> None:
    with scripted(answer) as service, pytest.raises(PaywardenApiError):
        run(service.url, "charge", 1, "usd", "c", purpose="p")
    assert len(service.asked) == 1


@pytest.mark.parametrize("trouble", [BUSY, Say(drop=True)], ids=["503", "answer lost"])
def test_what_has_no_key_is_sent_once(run: Run, trouble: Say) -> None:
    with scripted(trouble) as service, pytest.raises((PaywardenApiError, PaywardenUnreachableError)):
        run(service.url, "create_agent", "agent", "bot", ["initiate"])
    assert len(service.asked) == 1


def test_repeats_end_and_leave_the_key_to_ask_again_with(run: Run) -> None:
    with scripted(BUSY) as service, pytest.raises(PaywardenApiError, match="It is so") as refused:
        run(service.url, "charge", 1, "usd", "c", purpose="p")
    assert len(service.asked) == ATTEMPTS
    assert (refused.value.code, refused.value.status) == ("overloaded", 503)


@pytest.mark.parametrize("key", ["", " ", "order 7", "ordér-7", "x" * 256, "order-7\n", "\ud800"])
def test_a_key_that_would_not_keep_its_promise_is_refused_before_anything_is_sent(run: Run, key: str) -> None:
    paid = {"purpose": "p", "idempotency_key": key}
    with scripted(Say(201, PAID)) as service:
        for method, arguments, named in (
            ("charge", (1, "usd", "c"), paid),
            ("refund", ("pay_1", 1, "usd"), {"idempotency_key": key}),
            ("confirm_payment", ("pay_1",), {"idempotency_key": key}),
            ("cancel_payment", ("pay_1",), {"idempotency_key": key}),
        ):
            with pytest.raises(PaywardenUsageError, match=r"idempotency_key .* Nothing was sent\.") as refused:
                run(service.url, method, *arguments, **named)
            assert isinstance(refused.value, ValueError)
            assert isinstance(refused.value, PaywardenClientError)
    assert not service.asked


@pytest.mark.parametrize("key", ["", "pw_test_key\n", " pw_test_key", "pw_test key", "pw_tést_key"])
def test_an_api_key_with_more_around_it_is_refused_and_not_shown(key: str) -> None:
    for client in (Paywarden, AsyncPaywarden):
        with pytest.raises(PaywardenUsageError, match="API key must be given as it was shown") as refused:
            client("http://127.0.0.1:8000", key)
        assert "pw_t" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8000", "localhost:8000", "ftp://x", "http://", "https:///v1", "http://[::1", "http://x:port",
     "http://127.0.0.1:8000\n", " http://127.0.0.1"],
)  # fmt: skip
def test_an_address_without_a_service_is_refused(url: str) -> None:
    for client in (Paywarden, AsyncPaywarden):
        with pytest.raises(PaywardenUsageError, match="URL must start with http:// or https://"):
            client(url, "pw_test_key")


@pytest.mark.parametrize("identifier", ["", "  ", ".", ".."])
def test_an_id_that_names_nothing_is_refused(run: Run, identifier: str) -> None:
    with scripted() as service:
        with pytest.raises(PaywardenUsageError, match="id of the payment must not be empty"):
            run(service.url, "get_payment", identifier)
        with pytest.raises(PaywardenUsageError, match="id of the agent must not be empty"):
            run(service.url, "suspend_agent", identifier)
    assert not service.asked


def test_text_that_cannot_be_sent_is_refused(run: Run) -> None:
    """As a word of the command line arrives that is no UTF-8."""
    with scripted() as service:
        for method, arguments, named in (
            ("get_payment", ("\udcff",), {}),
            ("get_credit", ("\udcff",), {}),
            ("list_payments", (), {"customer": "\udcff"}),
            ("create_agent", ("agent", "\udcff", ["review"]), {}),
        ):
            with pytest.raises(PaywardenUsageError, match=r"written as UTF-8\. Nothing was sent\."):
                run(service.url, method, *arguments, **named)
    assert not service.asked


def test_nobody_there_is_told_as_such() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Paywarden(url) as desk, pytest.raises(PaywardenUnreachableError, match="could not be reached") as nobody:
            desk.charge(1, "usd", "c", purpose="p", idempotency_key="order-7")
    assert nobody.value.idempotency_key == "order-7"


def test_a_problem_is_an_error_with_every_part_of_it(run: Run) -> None:
    denied = problem(403, "denied", "At most $50.00.", param="amount_minor", payment="pay_1", rule="mandate_payment")
    with scripted(denied) as service, pytest.raises(PaywardenApiError) as refused:
        run(service.url, "charge", 5001, "usd", "c", purpose="p")
    error = refused.value
    assert (error.code, error.status, error.detail, error.param) == ("denied", 403, "At most $50.00.", "amount_minor")
    assert (error.request_id, error.extra) == ("req_1", {"payment": "pay_1", "rule": "mandate_payment"})


@pytest.mark.parametrize(
    "answer",
    [
        Say(200, b"<html>hello</html>"),
        Say(404, b"nginx"),
        Say(302, {"object": "payment"}, {"Location": "/x"}),
        Say(400, ["no"]),
    ],
    ids=["200", "404", "302", "400"],
)
def test_an_answer_of_somebody_else_is_named(run: Run, answer: Say) -> None:
    with scripted(answer) as service, pytest.raises(PaywardenApiError, match="is the address right") as refused:
        run(service.url, "get_payment", "pay_1")
    assert refused.value.code == "unreadable_answer"


def test_ids_cannot_leave_their_place_in_the_path(run: Run) -> None:
    with scripted() as service:
        run(service.url, "get_payment", "../keys?x=1#y")
    assert service.asked[0].path == "/v1/payments/..%2Fkeys%3Fx%3D1%23y"


def test_lists_pass_on_only_what_is_given(run: Run) -> None:
    with scripted() as service:
        run(service.url, "list_payments", status="in_review", kind="refund", limit=5)
        run(service.url, "list_transfers", customer="cust_1", limit=5)
    assert [asked.path for asked in service.asked] == [
        "/v1/payments?status=in_review&kind=refund&limit=5", "/v1/ledger/transfers?customer=cust_1&limit=5",
    ]  # fmt: skip


def test_pauses_grow_and_honour_what_the_service_asks() -> None:
    call: Call[Any] = Call("GET", "/")
    lost = NoAnswer("lost", sent=True)
    assert [pause_before_repeat(call, lost, attempt) for attempt in (1, 2, 3)] == [0.2, 0.4, 0.8]
    assert pause_before_repeat(call, lost, ATTEMPTS) is None
    assert pause_before_repeat(call, Answer(503, {"retry-after": "7"}, b""), 1) == 7
    assert pause_before_repeat(call, Answer(503, {"retry-after": "31"}, b""), 1) is None
    assert pause_before_repeat(call, Answer(503, {"retry-after": "Fri, 01 Jan 2027 00:00:00 GMT"}, b""), 1) == 0.2


def test_only_what_never_left_is_repeated_without_a_key() -> None:
    call: Call[Any] = Call("POST", "/v1/agents", {})
    assert pause_before_repeat(call, NoAnswer("refused", sent=False), 1) == 0.2
    assert pause_before_repeat(call, NoAnswer("cut", sent=True), 1) is None
    assert pause_before_repeat(call, Answer(429, {}, b""), 1) == 0.2


def test_a_key_for_this_machine_does_not_go_to_a_proxy(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    with scripted() as proxy, scripted(Say(200, PAID)) as service:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert run(service.url, "get_payment", "pay_1") == PAID
    assert not proxy.asked


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8000", True),
        ("http://localhost:8000", True),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.1", False),
        ("http://localhost.example.com", False),
    ],
)
def test_loopback(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


# ---- Tools for agents


def test_tools_are_in_the_form_of_the_messages_api() -> None:
    names = [tool["name"] for tool in TOOLS]
    assert names == [
        "request_refund", "request_charge", "request_payout", "check_payment", "give_facts", "get_payment",
    ]  # fmt: skip
    for tool in TOOLS:
        schema = tool["input_schema"]
        assert set(tool) == {"name", "description", "input_schema"}
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
        assert set(schema["required"]) <= set(schema["properties"])


def test_the_tool_call_is_the_idempotency_key(run: Run) -> None:
    arguments = {"payment": "pay_1", "amount_minor": 500, "currency": "usd", "request": "twice!"}
    with scripted(Say(201, PAID)) as service:
        result = run(service.url, "run_tool", "request_refund", arguments, "toolu_9")
        run(service.url, "run_tool", "request_refund", arguments, "toolu_9")
    assert not result.is_error
    assert json.loads(result.content) == PAID
    assert {asked.headers["idempotency-key"] for asked in service.asked} == {"tool-toolu_9"}
    assert service.asked[0].path == "/v1/payments/pay_1/refund"


@pytest.mark.parametrize("call_id", ["", "toolu 9", "x" * 251])
def test_a_tool_call_without_a_usable_id_never_pays(run: Run, call_id: str) -> None:
    arguments = {"payment": "pay_1", "amount_minor": 500, "currency": "usd"}
    with scripted(Say(201, PAID)) as service, pytest.raises(PaywardenUsageError):
        run(service.url, "run_tool", "request_refund", arguments, call_id)
    assert not service.asked


def test_an_empty_id_of_a_model_is_a_result_for_it(run: Run) -> None:
    with scripted() as service:
        result = run(service.url, "run_tool", "get_payment", {"payment": ""}, "toolu_1")
    assert not service.asked
    assert result.is_error
    assert json.loads(result.content)["code"] == "invalid_field"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("request_charge", {"amount_minor": 500, "currency": "usd", "customer": "c", "purpose": "p"}),
        ("check_payment", {"kind": "refund", "amount_minor": 500, "currency": "usd", "payment": "pay_1"}),
        ("request_payout", {"amount_minor": 500, "currency": "usd", "payee": "ann", "purpose": "p", "customer": "c"}),
        ("give_facts", {"payment": "pay_1", "answer": "It is order 7."}),
        ("get_payment", {"payment": "pay_1"}),
    ],
)
def test_every_tool_runs_and_a_denial_is_a_result(run: Run, name: str, arguments: dict[str, Any]) -> None:
    with scripted(Say(200, PAID), problem(403, "denied", "No.", rule="self_approval")) as service:
        assert not run(service.url, "run_tool", name, arguments, "toolu_1").is_error
        refused = run(service.url, "run_tool", name, arguments, "toolu_2")
    assert refused.is_error
    assert json.loads(refused.content) == {"code": "denied", "detail": "No.", "rule": "self_approval"}


@pytest.mark.parametrize(
    ("name", "arguments", "param"),
    [
        ("transfer_everything", {}, "name"),
        ("get_payment", {}, "payment"),
        ("get_payment", {"payment": "pay_1", "payee": "me"}, "payee"),
        ("get_payment", {"payment": 7}, "payment"),
        ("check_payment", {"kind": "refund", "amount_minor": 5.0, "currency": "usd"}, "amount_minor"),
        ("check_payment", {"kind": "refund", "amount_minor": True, "currency": "usd"}, "amount_minor"),
        ("check_payment", {"kind": "gift", "amount_minor": 5, "currency": "usd"}, "kind"),
        ("request_refund", {"payment": "p", "amount_minor": 1, "currency": "usd", "idempotency_key": "x"}, None),
    ],
)
def test_wrong_arguments_of_a_model_never_leave(
    run: Run, name: str, arguments: dict[str, Any], param: str | None
) -> None:
    with scripted() as service:
        result = run(service.url, "run_tool", name, arguments, "toolu_1")
    assert not service.asked
    assert result.is_error
    assert json.loads(result.content)["param"] == (param or "idempotency_key")
    with pytest.raises(InvalidFieldError):
        check_arguments(name, arguments)
