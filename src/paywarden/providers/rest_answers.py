"""Reading what a ``rest`` provider answered: strictly, because a wrong guess here is a payment made twice or lost."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from paywarden.kit.canonical import loads_strict
from paywarden.providers.port import ProviderPayment, ProviderStatus, StatementLine

MAX_ID_CHARACTERS = 255
_MAX_REASON_CHARACTERS = 500
_STATUSES: frozenset[str] = frozenset(get_args(ProviderStatus))
_LINE_KINDS = frozenset({"charge", "refund", "payout", "fee", "dispute"})
_LARGEST_STORABLE = 2**63 - 1


class UnreadableError(ValueError):
    """The answer is not what the contract says; the message names the field and holds nothing of the answer."""


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises UnreadableError."""
    try:
        value = loads_strict(body)
    except ValueError as error:
        raise UnreadableError("the body is not JSON") from error
    if not isinstance(value, dict):
        raise UnreadableError("the body is not a JSON object")
    return value


def read_list(body: bytes) -> tuple[list[Any], str | None]:
    """The ``data`` of a list answer and its ``next`` cursor. Raises UnreadableError."""
    value = read_object(body)
    data, following = value.get("data"), value.get("next")
    if not isinstance(data, list) or not isinstance(following, str | None):
        raise UnreadableError("data is not a list or next is not a text")
    return data, following or None


def read_payment(value: Any) -> ProviderPayment:
    """A payment, refund or payout as the provider shows it. Raises UnreadableError."""
    if not isinstance(value, dict):
        raise UnreadableError("the payment is not a JSON object")
    status = value.get("status")
    if not isinstance(status, str) or status not in _STATUSES:
        raise UnreadableError("status is missing or unknown")
    metadata = value.get("metadata")
    if not isinstance(metadata, dict | None):
        raise UnreadableError("metadata is not an object")
    return ProviderPayment(
        provider_id=provider_id(value.get("id")),
        status=status,  # type: ignore[arg-type]  # it is one of the literal's values
        amount_minor=amount(value),
        currency=currency(value.get("currency")),
        our_reference=plain_text((metadata or {}).get("internal_payment_id")),
        failure_reason=reason_of(value, "failed") if status == "failed" else None,
        raw=value,
    )


def read_line(value: Any) -> StatementLine:
    """One line of a statement. Raises UnreadableError."""
    if not isinstance(value, dict):
        raise UnreadableError("a line is not a JSON object")
    metadata, occurred_at = value.get("metadata"), instant(value.get("created"))
    amount_minor, line_currency = amount(value), currency(value.get("currency"))
    if amount_minor is None or line_currency is None or occurred_at is None:
        raise UnreadableError("a line lacks amount, currency or created")
    kind = value.get("type")
    reference = metadata.get("internal_payment_id") if isinstance(metadata, dict) else None
    return StatementLine(
        line_id=provider_id(value.get("id")),
        kind=kind if isinstance(kind, str) and kind in _LINE_KINDS else "other",  # type: ignore[arg-type]
        provider_id=provider_id(value.get("source", value.get("id"))),
        amount_minor=amount_minor,
        currency=line_currency,
        our_reference=plain_text(reference),
        occurred_at=occurred_at,
    )


def provider_id(value: Any) -> str:
    """An id that can be stored and put into a path. Raises UnreadableError."""
    found = optional_id(value)
    if found is None:
        raise UnreadableError("id is missing or odd")
    return found


def optional_id(value: Any) -> str | None:
    """The same, or None: a dot segment would lead a path elsewhere."""
    found = plain_text(value)
    return None if found in {".", ".."} else found


def amount(value: Mapping[str, Any]) -> int | None:
    """The stated minor units; None when the provider does not say. Raises UnreadableError for anything but integers."""
    stated = {value[name] for name in ("amount", "amount_cents") if _says(value, name)}
    if len(stated) > 1:
        raise UnreadableError("amount and amount_cents differ")
    return next(iter(stated), None)


def _says(value: Mapping[str, Any], name: str) -> bool:
    found = value.get(name)
    if found is None:
        return False
    if type(found) is not int or abs(found) > _LARGEST_STORABLE:
        raise UnreadableError(f"{name} is not a whole number of minor units")
    return True


def currency(value: Any) -> str | None:
    """The stated currency in lower case; None when the provider does not say. Raises UnreadableError for no text."""
    if value is None:
        return None
    text = plain_text(value)
    if text is None:
        raise UnreadableError("currency is not a text")
    return text.lower()


def instant(value: Any) -> datetime | None:
    """An RFC 3339 text or Unix seconds; None for anything else."""
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found.astimezone(UTC) if found.tzinfo else None
        if type(value) is int:
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def plain_text(value: Any) -> str | None:
    """A text of 1 to 255 printable characters, which a database takes; None for anything else."""
    if isinstance(value, str) and 1 <= len(value) <= MAX_ID_CHARACTERS and value.isprintable() and value.strip():
        return value
    return None


def reason_of(value: Mapping[str, Any], otherwise: str) -> str:
    """What the provider says of a refusal, cut to 500 characters: ``error``, its ``message`` or its ``code``."""
    error = value.get("error", value.get("failure_reason", value))
    candidates = [error.get(name) for name in ("message", "code", "detail")] if isinstance(error, dict) else [error]
    for candidate in candidates:
        if isinstance(candidate, str) and candidate.strip():
            return "".join(filter(str.isprintable, candidate))[:_MAX_REASON_CHARACTERS] or otherwise
    return otherwise
