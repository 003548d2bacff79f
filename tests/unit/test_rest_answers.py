"""Every kind of answer a provider or the network can give, over a real socket: which of the port's words it becomes."""

import json
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paywarden.kit.errors import ConfigurationError
from paywarden.providers import rest_replies
from paywarden.providers.port import (
    Accepted,
    Answer,
    Declined,
    Found,
    Invalid,
    NotFound,
    Order,
    ProviderPayment,
    StatementLine,
    Transient,
    Unknown,
)
from paywarden.providers.rest import MAX_ANSWER_BYTES, RestProvider
from tests.unit.scripted_provider import ScriptedProvider, http

KEY = "sk_canary_5b1f"
ORDER = Order("submit", "pay_1", 2500, "usd", "user_42", "an order", "agt_1")
GOOD = {"id": "p1", "status": "pending"}


def body(**fields: object) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


async def send(*scripts: bytes, hold_open: bool = False, timeout_seconds: float = 5.0) -> Answer:
    async with ScriptedProvider(scripts, hold_open) as server:
        provider = RestProvider(server.url, KEY)
        try:
            return await provider.send(provider.prepare(ORDER, "key-1"), timeout_seconds)
        finally:
            await provider.close()


@pytest.mark.parametrize("status", [200, 201, 202, 299])
async def test_a_2xx_with_id_and_status_is_accepted(status: int) -> None:
    answer = await send(http(status, body()))
    assert answer == Accepted(ProviderPayment("p1", "pending", raw=GOOD))


@pytest.mark.parametrize("state", ["requires_confirmation", "pending", "succeeded", "failed"])
async def test_what_the_answer_says_of_the_payment_is_kept(state: str) -> None:
    said = body(
        status=state, amount=7, amount_cents=7, currency="EUR", metadata={"internal_payment_id": "pay_1"}, error="broke"
    )
    answer = await send(http(200, said))
    assert isinstance(answer, Accepted)
    found = answer.payment
    assert (found.status, found.amount_minor, found.currency, found.our_reference) == (state, 7, "eur", "pay_1")
    assert found.failure_reason == ("broke" if state == "failed" else None)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"ok",
        b"[]",
        b"null",
        b'"p1"',
        b"\xff",
        b'{"id": "p1", "status": "pending"',
        b'{"id": "p1", "id": "p2", "status": "pending"}',
        b"{" + b'"a":[' * 50_000,
        b'{"id": "p1", "status": "pending", "amount": ' + b"9" * 5_000 + b"}",
        json.dumps({"status": "pending"}).encode(),
        json.dumps({"id": "p1"}).encode(),
        *(body(id=odd) for odd in (None, "", " ", 7, True, ["p1"], "x" * 256, "a\nb", "a\u0000b", ".", "..")),
        b'{"id": "\\ud800", "status": "pending"}',
        *(body(status=odd) for odd in (None, "", "paid", "SUCCEEDED", True, ["pending"], {"is": "pending"})),
        *(body(amount=odd) for odd in (25.0, "2500", True, [], 2**63)),
        b'{"id": "p1", "status": "pending", "amount": NaN}',
        b'{"id": "p1", "status": "pending", "amount": 1e999}',
        body(amount=2500, amount_cents=2501),
        body(currency=840),
        body(metadata="pay_1"),
    ],
)
async def test_a_2xx_that_cannot_be_read_for_sure_is_unknown(said: bytes) -> None:
    answer = await send(http(200, said))
    assert isinstance(answer, Unknown), answer
    assert answer.http_status == 200


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b'{"error": {"code": "card_declined", "message": "No funds"}}', "No funds"),
        (b'{"error": {"code": "card_declined"}}', "card_declined"),
        (b'{"error": "card_declined"}', "card_declined"),
        (b'{"message": "No funds"}', "No funds"),
        (b'{"error": {"message": 7}}', "declined"),
        (b'{"error": "\\u0000\\ud800"}', "declined"),
        (b"{}", "declined"),
    ],
)
async def test_402_with_a_json_error_is_a_decline(said: bytes, reason: str) -> None:
    assert await send(http(402, said)) == Declined(reason, 402)


@pytest.mark.parametrize("said", [b"", b"<html>", b"[]", b'{"error": "cut'])
async def test_402_without_a_json_error_is_unknown(said: bytes) -> None:
    answer = await send(http(402, said))
    assert isinstance(answer, Unknown)
    assert answer.http_status == 402


@pytest.mark.parametrize("status", [400, 422])
async def test_400_and_422_are_invalid(status: int) -> None:
    assert await send(http(status, b'{"error": {"message": "No such currency"}}')) == Invalid(
        "No such currency", status
    )
    assert await send(http(status, b"bad")) == Invalid("refused as invalid", status)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 408, 409, 410, 418, 425, 451, 499, 500, 502, 503, 504, 599])
async def test_any_other_4xx_and_any_5xx_is_unknown(status: int) -> None:
    for said in (body(), b'{"error": {"message": "no"}}', b""):
        assert await send(http(status, said)) == Unknown(f"HTTP {status}", status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_unknown_and_not_followed(status: int) -> None:
    async with ScriptedProvider([http(200, body())]) as elsewhere:
        assert await send(http(status, b"", f"Location: {elsewhere.url}/v1/payments")) == Unknown(
            f"HTTP {status}", status
        )
        assert elsewhere.requests == []


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("99999999", 3600.0), ("-1", None), ("soon", None)])
async def test_429_is_transient_and_says_how_long_to_wait(header: str, seconds: float | None) -> None:
    answer = await send(http(429, b"", f"Retry-After: {header}"))
    assert answer == Transient("too many requests", sent="maybe", retry_after_seconds=seconds)


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + body(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f\r\n" + body(),
        b"HTTP/1.1 402 No\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 400 No\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 abc\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 302 Go\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
        http(200, body(), "Content-Encoding: gzip"),
    ],
)
async def test_an_answer_that_does_not_arrive_whole_is_unknown(script: bytes) -> None:
    assert isinstance(await send(script), Unknown)


async def test_an_answer_of_more_than_a_mebibyte_is_unknown() -> None:
    padding = "x" * (MAX_ANSWER_BYTES - len(body(pad="")))
    assert isinstance(await send(http(200, body(pad=padding))), Accepted)
    assert isinstance(await send(http(200, body(pad=padding + "x"))), Unknown)


@pytest.mark.parametrize("script", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
async def test_the_time_out_bounds_the_whole_call(script: bytes) -> None:
    started = time.monotonic()
    assert await send(script, hold_open=True, timeout_seconds=0.1) == Unknown("no answer in time")
    assert time.monotonic() - started < 1.0


async def test_no_noise_raises() -> None:
    """200 answers of random bytes and of a good answer with random bytes in it: an answer, never an exception."""
    noise = random.Random(20)
    good = http(200, body(amount=2500, currency="usd"))
    scripts = [noise.randbytes(noise.randrange(200)) for _ in range(100)]
    for _ in range(100):
        script = bytearray(good)
        for _ in range(noise.randrange(1, 6)):
            script[noise.randrange(len(script))] = noise.randrange(256)
        scripts.append(bytes(script))
    async with ScriptedProvider(scripts) as server:
        provider = RestProvider(server.url, KEY)
        for _ in scripts:
            assert isinstance(await provider.send(provider.prepare(ORDER, "key-1"), 1.0), Answer)
        await provider.close()
        assert len(server.requests) == len(scripts)


async def test_the_request_goes_out_as_it_was_stored_with_the_key_beside_it() -> None:
    async with ScriptedProvider([http(200, body())]) as server:
        provider = RestProvider(server.url + "/base/", KEY)
        request = provider.prepare(ORDER, "key-1")
        for _ in range(2):
            await provider.send(request, 5.0)
        await provider.close()
    first, second = server.requests
    assert first == second
    head, _, sent = first.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /base/v1/payments HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer sk_canary_5b1f\r\n" in head + b"\r\n"
    assert b"\r\nIdempotency-Key: key-1\r\n" in head + b"\r\n"
    assert sent == request.body


async def test_neither_log_nor_answer_holds_the_key(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        caplog.at_level(logging.DEBUG, "httpx"),
        caplog.at_level(logging.DEBUG, "httpcore"),
    ):
        answers = [await send(script) for script in (http(200, body()), http(500, KEY.encode()), b"", b"junk")]
    assert "/v1/payments" in caplog.text
    assert KEY not in caplog.text + repr(answers)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:1", "ftp://a", "http://", "http://u:p@a", "http://a?key=1", "http://a#b", "http://u@a/v1"]
)
def test_a_url_that_could_hold_a_secret_or_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        RestProvider(url, KEY)
    assert "u:p" not in str(refusal.value)


async def ask(call: Callable[[RestProvider], Any], *scripts: bytes) -> tuple[Any, list[bytes]]:
    """What the adapter makes of the scripts, and the request lines it sent."""
    async with ScriptedProvider(scripts) as server:
        provider = RestProvider(server.url, KEY)
        try:
            return await call(provider), [request.partition(b" HTTP")[0] for request in server.requests]
        finally:
            await provider.close()


async def test_a_fetch_wants_the_very_object_it_asked_for() -> None:
    found, asked = await ask(lambda provider: provider.fetch("submit", "a/b?c", 5.0), http(200, body(id="a/b?c")))
    assert found == Found(ProviderPayment("a/b?c", "pending", raw={"id": "a/b?c", "status": "pending"}))
    assert asked == [b"GET /v1/payments/a%2Fb%3Fc"]
    other, _ = await ask(lambda provider: provider.fetch("submit", "p2", 5.0), http(200, body()))
    assert other == Unknown("another id", 200)
    absent, asked = await ask(lambda provider: provider.fetch("refund", "p2", 5.0), http(404, b""))
    assert (absent, asked) == (NotFound(), [b"GET /v1/refunds/p2"])
    for status in (400, 402, 403, 410, 422, 500):
        answer, _ = await ask(lambda provider: provider.fetch("submit", "p2", 5.0), http(status, b"{}"))
        assert answer == Unknown(f"HTTP {status}", status)


def entry(provider_id: str, reference: object) -> dict[str, object]:
    return {"id": provider_id, "status": "succeeded", "metadata": {"internal_payment_id": reference}}


async def test_a_provider_that_ignores_the_filter_hands_us_no_stranger() -> None:
    strangers = [entry("p1", "pay_2"), entry("p2", None), {"id": "p3", "status": "succeeded"}, "p4", {"metadata": []}]
    said = json.dumps({"data": [*strangers, entry("p5", "pay_1")]}).encode()
    found, asked = await ask(lambda provider: provider.fetch_by_reference("submit", "pay_1", 5.0), http(200, said))
    assert [payment.provider_id for payment in found] == ["p5"]
    assert asked == [b"GET /v1/payments?internal_payment_id=pay_1"]


async def test_the_filter_is_what_keeps_strangers_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: with the check removed, the test above would find the stranger."""
    monkeypatch.setattr("paywarden.providers.rest._states", lambda entry, our_reference: True)
    said = json.dumps({"data": [entry("p1", "pay_2")]}).encode()
    found, _ = await ask(lambda provider: provider.fetch_by_reference("submit", "pay_1", 5.0), http(200, said))
    assert [payment.provider_id for payment in found] == ["p1"]


async def test_several_with_our_reference_are_all_returned_and_a_broken_one_hides_nothing() -> None:
    def both(second: object) -> bytes:
        return http(200, json.dumps({"data": [entry("p1", "pay_1"), second]}).encode())

    found, _ = await ask(
        lambda provider: provider.fetch_by_reference("refund", "pay_1", 5.0), both(entry("p2", "pay_1"))
    )
    assert [payment.provider_id for payment in found] == ["p1", "p2"]
    broken = {"id": 7, "metadata": {"internal_payment_id": "pay_1"}}
    answer, _ = await ask(lambda provider: provider.fetch_by_reference("refund", "pay_1", 5.0), both(broken))
    assert isinstance(answer, Unknown)


@pytest.mark.parametrize("said", [b"{}", b"[]", b'{"data": {}}', b'{"data": null}', b'{"data": [], "next": 7}', b"{"])
async def test_a_list_that_cannot_be_read_is_unknown_not_empty(said: bytes) -> None:
    answer, _ = await ask(lambda provider: provider.fetch_by_reference("submit", "pay_1", 5.0), http(200, said))
    assert isinstance(answer, Unknown)


async def test_a_missing_look_up_route_finds_nothing_and_a_missing_statement_is_none() -> None:
    assert (await ask(lambda provider: provider.fetch_by_reference("refund", "pay_1", 5.0), http(404, b"")))[0] == ()
    assert (await ask(statement, http(404, b"")))[0] is None


SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


async def statement(provider: RestProvider) -> object:
    return await provider.statement(SINCE, UNTIL, 5.0)


def line(**fields: object) -> dict[str, object]:
    return {
        "id": "l1",
        "type": "charge",
        "source": "p1",
        "amount": 5,
        "currency": "usd",
        "created": "2026-01-01T12:00:00Z",
        **fields,
    }


def page(following: object, *lines: object) -> bytes:
    return http(200, json.dumps({"data": lines, "next": following}).encode())


async def test_a_statement_is_read_to_its_last_page_and_kept_to_its_period() -> None:
    later = line(id="l2", type="odd", created=int((SINCE + timedelta(hours=13)).timestamp()), amount=-5)
    outside = [line(id="l3", created="2025-12-31T23:59:59Z"), line(id="l4", created="2026-01-02T00:00:00Z")]
    lines, asked = await ask(statement, page("c&1", later, *outside), page(None, line()))
    assert [(one.line_id, one.kind, one.amount_minor) for one in lines] == [("l1", "charge", 5), ("l2", "other", -5)]
    assert lines[0] == StatementLine("l1", "charge", "p1", 5, "usd", None, datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert [b"cursor" in request for request in asked] == [False, True]
    assert asked[1].endswith(b"cursor=c%261")


@pytest.mark.parametrize(
    "second",
    [
        http(404, b""),
        http(500, b""),
        b"",
        page(None, line(amount=5.0)),
        page(None, line(amount=None)),
        page(None, line(currency=None)),
        page(None, line(created="yesterday")),
        page(None, line(created="2026-01-01T12:00:00")),
        page(None, line(id=None)),
        page(None, line(source=7)),
        page(None, "line"),
    ],
)
async def test_a_statement_that_breaks_off_or_does_not_end_is_unknown_not_short(second: bytes) -> None:
    answer, _ = await ask(statement, page("c1", line()), second)
    assert isinstance(answer, Unknown)


async def test_a_statement_that_repeats_its_cursor_is_given_up_at_once() -> None:
    answer, asked = await ask(statement, page("c1"))
    assert isinstance(answer, Unknown)
    assert len(asked) == 2


async def test_a_statement_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paywarden.providers.rest.MAX_STATEMENT_PAGES", 3)
    answer, asked = await ask(statement, page("c1"), page("c2"), page("c3"), page("c4"))
    assert isinstance(answer, Unknown)
    assert len(asked) == 3


async def test_without_the_look_at_the_status_a_500_would_be_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin of the statuses above."""
    monkeypatch.setattr(rest_replies, "usable", rest_replies._read)
    assert isinstance(await send(http(500, body())), Accepted)
