"""Events of a ``rest`` provider: the signature over the raw body first, then what the event says."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Literal

from paywarden.providers.port import ProviderEvent, ProviderStatus, SignatureError
from paywarden.providers.rest_answers import (
    UnreadableError,
    amount,
    currency,
    instant,
    optional_id,
    plain_text,
    read_object,
)

_MEANINGS: Mapping[str, tuple[Literal["payment", "refund", "payout"], ProviderStatus]] = {
    "payment.succeeded": ("payment", "succeeded"),
    "payment.failed": ("payment", "failed"),
    "payment_intent.succeeded": ("payment", "succeeded"),
    "payment_intent.payment_failed": ("payment", "failed"),
    "refund.succeeded": ("refund", "succeeded"),
    "refund.failed": ("refund", "failed"),
    "payout.succeeded": ("payout", "succeeded"),
    "payout.failed": ("payout", "failed"),
}


def parse_event(body: bytes, signature: str | None, secret: str) -> ProviderEvent:
    """The event in a webhook signed with hex HMAC-SHA256. Raises SignatureError, whatever is wrong with it."""
    _verify(body, signature, secret)
    return read_event(body)


def read_event(body: bytes) -> ProviderEvent:
    """What an event says whose signature was verified before. Raises SignatureError when it cannot be read."""
    try:
        return _read(body)
    except UnreadableError as error:
        raise SignatureError(f"unreadable: {error}") from error


def _verify(body: bytes, signature: str | None, secret: str) -> None:
    if not secret:
        raise SignatureError("no secret is configured")
    if signature is None:
        raise SignatureError("the signature is missing")
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
    if not hmac.compare_digest(expected, signature.encode("utf-8", "surrogatepass")):
        raise SignatureError("the signature does not match")


def _read(body: bytes) -> ProviderEvent:
    """The type decides what happened; the object may only add to it."""
    event = read_object(body)
    event_type = plain_text(event.get("type")) or ""
    event_key = plain_text(event.get("id")) or hashlib.sha256(body).hexdigest()
    meaning = _MEANINGS.get(event_type)
    if meaning is None:
        return ProviderEvent(event_key, event_type, "other", status=None, provider_id=None)
    object_kind, status = meaning
    subject = _subject(event.get("data"))
    metadata = subject.get("metadata")
    return ProviderEvent(
        event_key=event_key,
        event_type=event_type,
        object_kind=object_kind,
        status=status,
        provider_id=optional_id(subject.get("id")),
        amount_minor=amount(subject),
        currency=currency(subject.get("currency")),
        our_reference=plain_text(metadata.get("internal_payment_id")) if isinstance(metadata, dict) else None,
        occurred_at=instant(event.get("created")),
    )


def _subject(data: Any) -> Mapping[str, Any]:
    """The payment, refund or payout the event speaks of: ``data``, or ``data.object``."""
    if not isinstance(data, dict):
        return {}
    inner = data.get("object")
    return inner if "id" not in data and isinstance(inner, dict) else data
