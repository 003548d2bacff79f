"""How the sandbox says no: a JSON error with a status, and the strict reading of what it is asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paywarden.kit.canonical import loads_strict
from paywarden.kit.money import MAX_AMOUNT_MINOR

MAX_ID_CHARACTERS = 255
MAX_TEXT_CHARACTERS = 20_000
_CURRENCY = re.compile(r"[a-z]{3}")


class RefusedError(Exception):
    """The request is refused with this HTTP status; nothing was booked."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, slots=True)
class PaymentAsk:
    """A well-formed request to charge."""

    amount: int
    currency: str
    customer_id: str | None
    description: str | None
    confirm: bool
    metadata: Mapping[str, str]

    @property
    def reference(self) -> str | None:
        return self.metadata.get("internal_payment_id")


@dataclass(frozen=True, slots=True)
class RefundAsk:
    """A well-formed request to give money back."""

    amount: int
    metadata: Mapping[str, str]

    @property
    def reference(self) -> str | None:
        return self.metadata.get("internal_payment_id")


@dataclass(frozen=True, slots=True)
class PayoutAsk:
    """A well-formed request to pay somebody."""

    amount: int
    currency: str
    payee: str
    description: str | None
    metadata: Mapping[str, str]

    @property
    def reference(self) -> str | None:
        return self.metadata.get("internal_payment_id")


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body; an empty body is an empty object. Raises RefusedError 400."""
    try:
        value = loads_strict(body) if body else {}
    except ValueError as error:
        raise _bad("body", "must be JSON") from error
    if not isinstance(value, dict):
        raise _bad("body", "must be a JSON object")
    return value


def read_payment(body: bytes) -> PaymentAsk:
    """Raises RefusedError 400, naming the field."""
    value = read_object(body)
    confirm = value.get("confirm", True)
    if type(confirm) is not bool:
        raise _bad("confirm", "must be true or false")
    return PaymentAsk(
        amount=_amount(value),
        currency=_currency(value.get("currency")),
        customer_id=text(value, "customer_id", MAX_ID_CHARACTERS),
        description=text(value, "description", MAX_TEXT_CHARACTERS),
        confirm=confirm,
        metadata=_metadata(value),
    )


def read_refund(body: bytes) -> RefundAsk:
    """Raises RefusedError 400, naming the field."""
    value = read_object(body)
    return RefundAsk(amount=_amount(value), metadata=_metadata(value))


def read_payout(body: bytes) -> PayoutAsk:
    """Raises RefusedError 400, naming the field."""
    value = read_object(body)
    payee = text(value, "payee", MAX_ID_CHARACTERS)
    if payee is None:
        raise _bad("payee", "must name who is paid")
    return PayoutAsk(
        amount=_amount(value),
        currency=_currency(value.get("currency")),
        payee=payee,
        description=text(value, "description", MAX_TEXT_CHARACTERS),
        metadata=_metadata(value),
    )


def text(value: Mapping[str, Any], name: str, limit: int) -> str | None:
    """An optional text of at most ``limit`` characters that UTF-8 can carry."""
    found = value.get(name)
    if found is None:
        return None
    if not isinstance(found, str) or not 1 <= len(found) <= limit or not _is_unicode(found):
        raise _bad(name, f"must be a text of 1 to {limit} characters")
    return found


def _amount(value: Mapping[str, Any]) -> int:
    stated = [value[name] for name in ("amount_cents", "amount") if name in value]
    if not stated or any(type(amount) is not int or not 1 <= amount <= MAX_AMOUNT_MINOR for amount in stated):
        raise _bad("amount_cents", f"must be a whole number from 1 to {MAX_AMOUNT_MINOR}")
    if len(set(stated)) > 1:
        raise _bad("amount", "must be the same as amount_cents")
    amount: int = stated[0]
    return amount


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise _bad("currency", "must be three lower-case letters")
    return value


def _metadata(value: Mapping[str, Any]) -> dict[str, str]:
    found = value.get("metadata", {})
    if not isinstance(found, dict):
        raise _bad("metadata", "must be an object of texts")
    for name in found:
        if not _is_unicode(name) or text(found, name, MAX_ID_CHARACTERS) is None:
            raise _bad("metadata", "must be an object of texts")
    return found


def _is_unicode(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _bad(name: str, problem: str) -> RefusedError:
    return RefusedError(400, "invalid_request", f"{name} {problem}")
