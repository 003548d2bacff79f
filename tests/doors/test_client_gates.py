"""The billing gate in the SDK: what a ``with`` block sends: entered, left, left by an error, tried again."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from paywarden.client import AsyncGate, AsyncPaywarden, Paywarden, PaywardenApiError, PaywardenUsageError

from .scripted_service import Say, ScriptedService, problem, scripted

HOLD: dict[str, Any] = {
    "object": "hold", "id": "hold_1", "status": "pending", "amount_minor": 500, "captured_minor": 0, "currency": "usd",
}  # fmt: skip
RELEASED = {**HOLD, "status": "released"}
CAPTURED = {**HOLD, "status": "captured", "captured_minor": 120}
BUSY = problem(503, "overloaded", retry_after=0)
Body = Callable[[Any], Any]
Run = Callable[[str, Body, str | None], Any]


class WorkError(Exception):
    """The costly call failed."""


def _blocking(url: str, body: Body, key: str | None) -> Any:
    with Paywarden(url, "pw_test_key") as desk, desk.gate(500, "usd", "cust_1", idempotency_key=key) as hold:
        return body(hold)


def _asynchronous(url: str, body: Body, key: str | None) -> Any:
    async def call() -> Any:
        async with (
            AsyncPaywarden(url, "pw_test_key") as desk,
            desk.gate(500, "usd", "cust_1", idempotency_key=key) as hold,
        ):
            done = body(hold)
            return await done if asyncio.iscoroutine(done) else done

    return asyncio.run(call())


@pytest.fixture(params=[_blocking, _asynchronous], ids=["blocking", "asynchronous"])
def run(request: pytest.FixtureRequest) -> Run:
    """A block of either client."""
    return request.param  # type: ignore[no-any-return]


def sent(service: ScriptedService) -> list[tuple[str, str | None]]:
    """Paths and keys in the order in which they came."""
    return [(asked.path, asked.headers.get("idempotency-key")) for asked in service.asked]


def fails(_: Any) -> None:
    raise WorkError


def test_a_block_holds_and_captures_under_keys_made_from_the_callers(run: Run) -> None:
    with scripted(Say(201, HOLD), BUSY, Say(200, CAPTURED)) as service:
        assert run(service.url, lambda hold: hold.capture(120), "job-7") == CAPTURED
    assert sent(service) == [
        ("/v1/holds", "job-7"), *[("/v1/holds/hold_1/capture", "job-7.capture-1")] * 2,
    ]  # fmt: skip
    assert service.asked[0].body == {"amount_minor": 500, "currency": "usd", "customer": "cust_1"}
    assert service.asked[1].body == {"amount_minor": 120, "final": True}


def test_without_a_key_each_block_has_one_of_its_own(run: Run) -> None:
    with scripted(Say(201, HOLD), Say(200, CAPTURED)) as service:
        run(service.url, lambda hold: hold.capture(120), None)
    with scripted(Say(201, HOLD), Say(200, CAPTURED)) as other:
        run(other.url, lambda hold: hold.capture(120), None)
    assert sent(service)[0] != sent(other)[0]


@pytest.mark.parametrize("body", [fails, lambda _: None], ids=["by an error", "without a capture"])
def test_what_is_left_without_a_capture_is_given_back(run: Run, body: Body) -> None:
    with scripted(Say(201, HOLD), Say(200, RELEASED)) as service:
        if body is fails:
            with pytest.raises(WorkError):
                run(service.url, body, "job-7")
        else:
            run(service.url, body, "job-7")
    assert [path for path, _ in sent(service)] == ["/v1/holds", "/v1/holds/hold_1/release"]


def test_the_error_of_the_work_is_told_even_when_the_release_fails(run: Run) -> None:
    refused = problem(403, "forbidden", "Not any more.")
    with scripted(Say(201, HOLD), refused) as service, pytest.raises(WorkError) as failed:
        run(service.url, fails, "job-7")
    assert failed.value.__notes__ == ["hold_1 could not be released and will expire by itself: Not any more."]
    with scripted(Say(201, HOLD), refused) as service, pytest.raises(PaywardenApiError):
        run(service.url, lambda _: None, "job-7")


def test_what_an_earlier_attempt_captured_is_not_captured_again(run: Run) -> None:
    def body(hold: Any) -> Any:
        assert hold.billed
        assert hold.hold["captured_minor"] == 120
        return hold.capture(999)

    with scripted(Say(201, CAPTURED)) as service:
        assert run(service.url, body, "job-7") == CAPTURED
    assert sent(service) == [("/v1/holds", "job-7")]


@pytest.mark.parametrize("code", ["idempotency_key_reused", "state_conflict"])
def test_what_another_attempt_captures_meanwhile_is_billed_once(run: Run, code: str) -> None:
    status = 422 if code == "idempotency_key_reused" else 409
    with scripted(Say(201, HOLD), problem(status, code), Say(200, CAPTURED)) as service:
        assert run(service.url, lambda hold: hold.capture(999), "job-7") == CAPTURED
    assert [path for path, _ in sent(service)] == ["/v1/holds", "/v1/holds/hold_1/capture", "/v1/holds/hold_1"]
    lost = scripted(Say(201, HOLD), problem(status, code), Say(200, RELEASED))
    with lost as service, pytest.raises(PaywardenApiError) as refused:
        run(service.url, lambda hold: hold.capture(999), "job-7")
    assert refused.value.code == code


def test_a_capture_after_the_last_one_is_refused_and_not_lost(run: Run) -> None:
    def twice(hold: Any) -> Any:
        async def both() -> None:
            await hold.capture(120)
            await hold.capture(80)

        if isinstance(hold, AsyncGate):
            return both()
        hold.capture(120)
        return hold.capture(80)

    with scripted(Say(201, HOLD), Say(200, CAPTURED)) as service, pytest.raises(PaywardenUsageError, match="final"):
        run(service.url, twice, "job-7")
    assert [path for path, _ in sent(service)] == ["/v1/holds", "/v1/holds/hold_1/capture"]


def test_after_attempts_that_gave_back_another_hold_is_made(run: Run) -> None:
    fresh = {**HOLD, "id": "hold_3"}
    captured = {**CAPTURED, "id": "hold_3"}
    with scripted(Say(201, RELEASED), Say(201, RELEASED), Say(201, fresh), Say(200, captured)) as service:
        run(service.url, lambda hold: hold.capture(120), "job-7")
    assert sent(service) == [
        ("/v1/holds", "job-7"), ("/v1/holds", "job-7.2"), ("/v1/holds", "job-7.3"),
        ("/v1/holds/hold_3/capture", "job-7.3.capture-1"),
    ]  # fmt: skip


def test_what_was_captured_in_part_before_it_was_given_back_counts_as_billed(run: Run) -> None:
    with scripted(Say(201, {**RELEASED, "captured_minor": 50})) as service:
        assert run(service.url, lambda hold: hold.billed, "job-7") is True
    assert len(service.asked) == 1


def test_captures_in_part_have_keys_of_their_own_and_the_rest_is_given_back(run: Run) -> None:
    part = {**HOLD, "captured_minor": 60}

    def body(hold: Any) -> Any:
        first = hold.capture(60, final=False)
        if not asyncio.iscoroutine(first):
            return hold.capture(60, final=False)

        async def both() -> Any:
            await first
            return await hold.capture(60, final=False)

        return both()

    with scripted(Say(201, HOLD), Say(200, part), Say(200, part), Say(200, RELEASED)) as service:
        run(service.url, body, "job-7")
    keys = [key for path, key in sent(service) if path.endswith("/capture")]
    assert keys == ["job-7.capture-1", "job-7.capture-2"]
    assert sent(service)[-1][0].endswith("/release")


def test_a_refused_hold_lets_nobody_in(run: Run) -> None:
    short = problem(403, "insufficient", "Nothing was held.")
    with scripted(short) as service, pytest.raises(PaywardenApiError) as refused:
        run(service.url, lambda _: pytest.fail("the work must not begin"), "job-7")
    assert refused.value.code == "insufficient"
    assert len(service.asked) == 1


def test_a_key_too_long_to_make_others_from_is_refused_before_money_moves(run: Run) -> None:
    with scripted(Say(201, HOLD)) as service, pytest.raises(PaywardenUsageError):
        run(service.url, lambda hold: hold.capture(1), "k" * 250)
    assert service.asked == []


def test_many_holds_bring_keys_of_their_own() -> None:
    with scripted(Say(200, {"object": "list", "data": []})) as service, Paywarden(service.url, "pw_test_key") as desk:
        desk.create_holds(
            [{"amount_minor": 1, "currency": "usd", "customer": "c", "idempotency_key": "mine"},
             {"amount_minor": 2, "currency": "usd", "customer": "c"}]
        )  # fmt: skip
    (asked,) = service.asked
    mine, made = (hold["idempotency_key"] for hold in asked.body["holds"])
    assert mine == "mine"
    assert made.startswith("pw-")


def test_each_call_names_its_route() -> None:
    with scripted(Say(200, HOLD)) as service, Paywarden(service.url, "pw_test_key") as desk:
        desk.create_hold(500, "usd", "cust_1", feature="summary", funding="granted", expires_in_seconds=60)
        desk.get_hold("hold_1")
        desk.list_holds(customer="cust_1", status="pending")
        desk.extend_hold("hold_1", 600)
        desk.release_hold("hold_1")
        desk.get_credit("cust/1")
    assert [f"{asked.method} {asked.path}" for asked in service.asked] == [
        "POST /v1/holds", "GET /v1/holds/hold_1", "GET /v1/holds?customer=cust_1&status=pending",
        "POST /v1/holds/hold_1/extend", "POST /v1/holds/hold_1/release", "GET /v1/credits/cust%2F1",
    ]  # fmt: skip
    assert service.asked[0].body["expires_in"] == 60
    assert service.asked[3].body == {"expires_in": 600}


def test_a_reversal_is_sent_again_under_its_key_and_carries_its_reason() -> None:
    with scripted(BUSY, Say(200, {"id": "top_1"})) as service, Paywarden(service.url, "pw_test_key") as desk:
        desk.reverse_top_up("top_1", reason="given twice")
    first, again = sent(service)
    assert first == again
    assert first[0] == "/v1/credits/top-ups/top_1/reverse"
    assert first[1]
    assert [asked.body for asked in service.asked] == [{"reason": "given twice"}] * 2
    with scripted() as service, Paywarden(service.url, "pw_test_key") as desk, pytest.raises(PaywardenUsageError):
        desk.reverse_top_up("", reason="given twice")
