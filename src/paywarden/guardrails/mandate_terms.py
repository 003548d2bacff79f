"""The terms of a new mandate, refused with the field named before they reach the database."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import get_args
from uuid import UUID

from paywarden.guardrails import windows
from paywarden.guardrails.facts import MandateKind
from paywarden.guardrails.mandates import Limit, LimitWindow
from paywarden.kit.errors import InvalidFieldError, PaymentDeniedError
from paywarden.kit.money import check_amount_minor, exponent
from paywarden.kit.text import clean_id

MAX_PAYEES = 1000
MAX_LIMITS = 100
# Far from where an instant leaves the range of a datetime in some time zone, and could be stored but not read.
_FIRST_YEAR, _LAST_YEAR = 2000, 9000


@dataclass(frozen=True, slots=True)
class MandateTerms:
    """What a mandate will allow. ``valid_from`` None means from now on; every currency needs a budget per day."""

    principal_id: UUID
    name: str
    kinds: tuple[MandateKind, ...]
    limits: tuple[Limit, ...]
    timezone: str
    payees: tuple[str, ...] | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None


def validate(terms: MandateTerms) -> None:
    """Raises InvalidFieldError naming the first field that is wrong."""
    clean_id(terms.name, "name")
    if not terms.kinds or not set(terms.kinds) <= set(get_args(MandateKind)):
        raise InvalidFieldError("kinds", f"must name at least one of {', '.join(get_args(MandateKind))}")
    _check_limits(terms.limits)
    _check_payees(terms.payees)
    _check_zone(terms.timezone)
    _check_validity(terms.valid_from, terms.valid_until)


def _check_limits(limits: tuple[Limit, ...]) -> None:
    if not 1 <= len(limits) <= MAX_LIMITS:
        raise InvalidFieldError("limits", f"must have 1 to {MAX_LIMITS} lines")
    for limit in limits:
        exponent(limit.currency)
        check_amount_minor(limit.limit_minor, "limits")
        if limit.window not in get_args(LimitWindow):
            raise InvalidFieldError("limits", f"must be per {' or per '.join(get_args(LimitWindow))}")
    lines = Counter((limit.currency, limit.window) for limit in limits)
    if max(lines.values()) > 1:
        raise InvalidFieldError("limits", "must not name a currency twice for the same window")
    for currency in sorted({limit.currency for limit in limits}):
        if (currency, "day") not in lines:
            raise InvalidFieldError("limits", f"must have a budget per day in {currency}")


def _check_payees(payees: tuple[str, ...] | None) -> None:
    if payees is None:
        return
    if not 1 <= len(payees) <= MAX_PAYEES:
        raise InvalidFieldError("payees", f"must name 1 to {MAX_PAYEES} counterparties, or be left out for any")
    for payee in payees:
        clean_id(payee, "payees")


def _check_zone(timezone: str) -> None:
    try:
        windows.zone(timezone)
    except PaymentDeniedError as error:
        raise InvalidFieldError("timezone", "must be an IANA time zone, for example 'Europe/Berlin'") from error


def _check_validity(valid_from: datetime | None, valid_until: datetime | None) -> None:
    for param, instant in (("valid_from", valid_from), ("valid_until", valid_until)):
        if instant is not None and instant.tzinfo is None:
            raise InvalidFieldError(param, "must carry a time zone")
        if instant is not None and not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
            raise InvalidFieldError(param, f"must lie in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    if valid_from and valid_until and valid_until <= valid_from:
        raise InvalidFieldError("valid_until", "must be after valid_from")
