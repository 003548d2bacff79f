"""Money: whole minor units of an ISO 4217 currency, never a float."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache

from babel.numbers import format_currency
from iso4217 import Currency

from paywarden.kit.errors import InvalidFieldError

MAX_AMOUNT_MINOR = 10**15
_EXPONENTS = frozenset({0, 2, 3})


@cache
def exponent(currency: str) -> int:
    """How many decimal digits the minor unit of a lower-case currency has: 0, 2 or 3 (ISO 4217).

    Raises InvalidFieldError for anything that is not a lower-case currency with such a unit.
    """
    problem = "must be a lower-case ISO 4217 currency with 0, 2 or 3 decimals, for example 'usd'"
    if len(currency) != 3 or not currency.isascii() or not currency.islower():
        raise InvalidFieldError("currency", problem)
    try:
        digits = Currency(currency.upper()).exponent
    except ValueError as error:
        raise InvalidFieldError("currency", problem) from error
    if digits not in _EXPONENTS:
        raise InvalidFieldError("currency", problem)
    return int(digits)


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount of at least 1 and at most 10^15 minor units in one currency."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        exponent(self.currency)
        check_amount_minor(self.amount_minor)

    @property
    def display(self) -> str:
        """What a person reads: ``$25.00``."""
        return display(self.amount_minor, self.currency)


def check_amount_minor(amount_minor: int, param: str = "amount_minor") -> int:
    """The same amount, or InvalidFieldError when it is not a whole number from 1 to 10^15."""
    if type(amount_minor) is not int or not 1 <= amount_minor <= MAX_AMOUNT_MINOR:
        raise InvalidFieldError(param, f"must be a whole number of minor units from 1 to {MAX_AMOUNT_MINOR}")
    return amount_minor


def asset(currency: str) -> str:
    """The ledger's name of a currency with its exponent: ``USD/2``."""
    return f"{currency.upper()}/{exponent(currency)}"


def currency_of(asset: str) -> str:
    """The currency of a ledger's asset: ``USD/2`` is ``usd``."""
    return asset.partition("/")[0].lower()


# Prices repeat.
@lru_cache(maxsize=4096)
def display(amount_minor: int, currency: str) -> str:
    """An amount as text in the currency's own form, any sign: ``$25.00``, ``¥1,200``, ``-$0.01``."""
    before = _written_before(currency)
    if before is None:
        return _formatted(amount_minor, currency)
    digits = exponent(currency)
    whole, rest = divmod(abs(amount_minor), 10**digits)
    after = f".{rest:0{digits}}" if digits else ""
    return f"{'-' if amount_minor < 0 else ''}{before}{whole:,}{after}"


def _formatted(amount_minor: int, currency: str) -> str:
    value = Decimal(amount_minor).scaleb(-exponent(currency))
    return str(format_currency(value, currency.upper(), locale="en_US"))


@cache
def _written_before(currency: str) -> str | None:
    """What stands before the number; None where the custom is another number of decimals than ISO 4217 has."""
    zero = f"{0:.{exponent(currency)}f}"
    shown = _formatted(0, currency)
    return shown.removesuffix(zero) if shown.endswith(zero) and "." not in shown.removesuffix(zero) else None
