"""What our own systems know about a customer's payments: charge, refund, fee, order, invoice, extension, claim.

They come from Paywarden's own rows and from notes of trust ``record`` (column ``notes.facts``), as JSON like
``{"type": "charge", "payment_id": "pay_...", "amount_minor": 1250, "currency": "usd", "reference": "ORD-1",
"status": "succeeded", "at": "2026-11-20T09:00:00Z"}``. Every amount is in minor units of its currency.
"""

import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from paywarden.kit.money import MAX_AMOUNT_MINOR

_STRICT = ConfigDict(extra="forbid", strict=True)
_Id = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+\z")]
_Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT_MINOR)]
_Currency = Annotated[str, Field(pattern=r"^[a-z]{3}\z")]


class MalformedFactError(ValueError):
    """Not a record fact of this vocabulary."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class ChargeFact:
    """Money asked of the customer. ``reference`` is the merchant's: an order, a booking, an invoice."""

    type: Literal["charge"]
    payment_id: _Id
    amount_minor: _Amount
    currency: _Currency
    reference: _Id | None
    status: Literal["pending", "succeeded", "failed", "canceled"]
    at: AwareDatetime


@dataclass(frozen=True, slots=True, config=_STRICT)
class RefundFact:
    """Money given back for the charge ``payment_id``. ``processing`` is anything that may still succeed.

    ``requested`` waits for a decision: it may never be made, and must not be made twice.
    """

    type: Literal["refund"]
    refund_id: _Id
    payment_id: _Id
    amount_minor: _Amount
    currency: _Currency
    status: Literal["requested", "processing", "succeeded", "failed"]
    at: AwareDatetime


@dataclass(frozen=True, slots=True, config=_STRICT)
class FeeFact:
    """A fee inside the charge ``payment_id``, and what our own systems say of it."""

    type: Literal["fee"]
    payment_id: _Id
    amount_minor: _Amount
    currency: _Currency
    assessment: Literal["correct", "wrongly_charged", "waivable"]
    at: AwareDatetime


@dataclass(frozen=True, slots=True, config=_STRICT)
class OrderFact:
    """What was bought with the charge ``payment_id``. ``within_policy``: our terms give the money back."""

    type: Literal["order"]
    payment_id: _Id
    reference: _Id
    amount_minor: _Amount
    currency: _Currency
    status: Literal["open", "fulfilled", "canceled", "returned"]
    within_policy: bool
    at: AwareDatetime


@dataclass(frozen=True, slots=True, config=_STRICT)
class InvoiceFact:
    """What the customer owes by ``invoice_id``, which a charge names as its reference.

    An ``open`` one is to be paid by the end of the day ``due_on`` (UTC).
    """

    type: Literal["invoice"]
    invoice_id: _Id
    amount_minor: _Amount
    currency: _Currency
    due_on: date
    status: Literal["open", "paid", "disputed", "canceled"]
    at: AwareDatetime


@dataclass(frozen=True, slots=True, config=_STRICT)
class ExtensionFact:
    """A promise to the customer: the invoice is not collected before the end of the day ``until`` (UTC)."""

    type: Literal["extension"]
    invoice_id: _Id
    until: date
    at: AwareDatetime


@dataclass(frozen=True, slots=True, config=_STRICT)
class ClaimFact:
    """What is to be paid out on a claim, and to whom: ``payee`` is the caller's own id of who is paid."""

    type: Literal["claim"]
    claim_id: _Id
    payee: _Id
    amount_minor: _Amount
    currency: _Currency
    status: Literal["open", "approved", "paid", "rejected"]
    at: AwareDatetime


RecordFact = ChargeFact | RefundFact | FeeFact | OrderFact | InvoiceFact | ExtensionFact | ClaimFact
_ADAPTER: TypeAdapter[RecordFact] = TypeAdapter(Annotated[RecordFact, Field(discriminator="type")])


def parse_record_fact(value: Mapping[str, Any]) -> RecordFact:
    """A fact from its JSON. Raises MalformedFactError for an unknown field, a wrong type or a value out of range."""
    try:
        return _ADAPTER.validate_json(json.dumps(value))
    except (ValidationError, ValueError, TypeError, RecursionError) as error:
        raise MalformedFactError("not a record fact") from error


def record_fact_json(fact: RecordFact) -> dict[str, Any]:
    """The JSON of a fact; parsing it gives the same fact."""
    encoded: dict[str, Any] = _ADAPTER.dump_python(fact, mode="json")
    return encoded
