"""Events of the rest provider: which are understood, and that nothing unsigned or odd gets through."""

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from paywarden.providers.port import ProviderEvent, SignatureError
from paywarden.providers.rest_events import parse_event

SECRET = "whsec_1"


def signed(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def parse(event: object) -> ProviderEvent:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return parse_event(body, signed(body), SECRET)


def succeeded(**fields: object) -> dict[str, object]:
    return {"id": "evt_1", "type": "payment.succeeded", "data": {"id": "p1", **fields}}


@pytest.mark.parametrize(
    ("event_type", "object_kind", "status"),
    [
        ("payment.succeeded", "payment", "succeeded"),
        ("payment.failed", "payment", "failed"),
        ("payment_intent.succeeded", "payment", "succeeded"),
        ("payment_intent.payment_failed", "payment", "failed"),
        ("refund.succeeded", "refund", "succeeded"),
        ("refund.failed", "refund", "failed"),
        ("payout.succeeded", "payout", "succeeded"),
        ("payout.failed", "payout", "failed"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda inner: inner, lambda inner: {"object": inner}], ids=["data", "data.object"])
def test_the_events_of_the_contract_are_understood(
    event_type: str, object_kind: str, status: str, wrap: Callable[[object], object]
) -> None:
    inner = {"id": "p1", "amount": 2500, "currency": "USD", "metadata": {"internal_payment_id": "pay_1"}}
    event = parse({"id": "evt_1", "type": event_type, "created": "2026-01-01T01:00:00+01:00", "data": wrap(inner)})
    assert event == ProviderEvent(
        "evt_1",
        event_type,
        object_kind,
        status,
        "p1",
        2500,
        "usd",
        "pay_1",
        datetime(2026, 1, 1, tzinfo=UTC),  # type: ignore[arg-type]
    )


def test_an_object_beside_an_id_does_not_replace_it() -> None:
    assert parse(succeeded(object={"id": "p2"})).provider_id == "p1"
    assert parse(succeeded(object="payment")).provider_id == "p1"


@pytest.mark.parametrize(
    "event_type", ["payment.created", "Payment.succeeded", "payment.succeeded ", "", None, 7, ["a"]]
)
def test_other_types_are_other(event_type: object) -> None:
    event = parse({"id": "evt_1", "type": event_type, "data": {"id": "p1", "amount": "odd"}})
    assert (event.object_kind, event.status, event.provider_id) == ("other", None, None)


@pytest.mark.parametrize("event_id", [None, "", 7, "a\u0000b", "x" * 256])
def test_an_event_without_a_usable_id_is_known_by_its_body(event_id: object) -> None:
    body = json.dumps({**succeeded(), "id": event_id}).encode()
    assert parse(body).event_key == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    "data",
    [None, 7, [], "p1", {}, {"id": 7}, {"id": ""}, {"id": ".."}, {"id": "a\u0000"}, {"object": 7}, {"object": {}}],
)
def test_an_odd_object_is_no_object(data: object) -> None:
    event = parse({"id": "evt_1", "type": "payment.succeeded", "data": data})
    assert (event.status, event.provider_id, event.amount_minor) == ("succeeded", None, None)


@pytest.mark.parametrize(
    "metadata", [None, 7, [], "pay_1", {}, {"internal_payment_id": 7}, {"internal_payment_id": ""}]
)
def test_odd_metadata_names_no_reference(metadata: object) -> None:
    assert parse(succeeded(metadata=metadata)).our_reference is None


@pytest.mark.parametrize("created", [None, True, 1.5, "yesterday", "2026-01-01T00:00:00", 10**18, -(10**18), "", []])
def test_an_odd_instant_is_none(created: object) -> None:
    assert parse({**succeeded(), "created": created}).occurred_at is None


@pytest.mark.parametrize("amount", [2500.0, "2500", True, [], {}, 2**63, -(2**64)])
@pytest.mark.parametrize("name", ["amount", "amount_cents"])
def test_an_amount_that_is_no_whole_number_is_refused(name: str, amount: object) -> None:
    with pytest.raises(SignatureError, match="unreadable"):
        parse(succeeded(**{name: amount}))


def test_amounts_that_differ_are_refused_and_equal_ones_are_one() -> None:
    assert parse(succeeded(amount=1, amount_cents=1)).amount_minor == 1
    with pytest.raises(SignatureError, match="differ"):
        parse(succeeded(amount=1, amount_cents=2))


@pytest.mark.parametrize("currency", [840, True, "", "a\u0000", []])
def test_a_currency_that_is_no_text_is_refused(currency: object) -> None:
    with pytest.raises(SignatureError, match="unreadable"):
        parse(succeeded(currency=currency))


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"7", b"{", b"\xff", b'{"type": NaN}', b'{"id": "a", "id": "b"}', b"[" * 100_000],
)
def test_a_signed_body_that_is_no_json_object_is_unreadable(body: bytes) -> None:
    with pytest.raises(SignatureError, match="unreadable"):
        parse(body)


GOOD = json.dumps(succeeded()).encode()


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        " ",
        signed(GOOD) + " ",
        " " + signed(GOOD),
        signed(GOOD)[:-1],
        signed(GOOD) + "0",
        signed(GOOD).upper(),
        "sha256=" + signed(GOOD),
        signed(GOOD, "whsec_2"),
        signed(GOOD, ""),
        signed(GOOD + b" "),
        signed(b""),
        hmac.new(SECRET.encode(), GOOD, hashlib.sha1).hexdigest(),
        hashlib.sha256(GOOD).hexdigest(),
        "é" * 64,
        "\ud800" * 64,
        "\x00" * 64,
        "0" * 64,
        "0" * 1_000_000,
    ],
)
def test_nothing_but_the_signature_of_these_bytes_is_accepted(signature: str | None) -> None:
    with pytest.raises(SignatureError, match="signature"):
        parse_event(GOOD, signature, SECRET)


def test_without_a_secret_nothing_is_accepted() -> None:
    with pytest.raises(SignatureError, match="secret"):
        parse_event(GOOD, signed(GOOD, ""), "")
