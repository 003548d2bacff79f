"""Amounts as people type them, read exactly or refused."""

import re

from paywarden.kit.errors import InvalidFieldError
from paywarden.kit.money import MAX_AMOUNT_MINOR, display, exponent

_DECIMAL = re.compile(r"([0-9]{1,30})(?:\.([0-9]{1,3}))?", re.ASCII)


def parse_amount(text: str, currency: str, param: str) -> int:
    """Minor units of ``currency``: ``12.50`` of usd is 1250, ``1250`` of jpy is 1250.

    Raises InvalidFieldError for anything but plain digits with at most the currency's decimals: nothing is rounded.
    """
    digits = exponent(currency)
    match = _DECIMAL.fullmatch(text)
    whole, decimals = match.groups(default="") if match else ("", "")
    if not whole or len(decimals) > digits:
        example = "1250" if digits == 0 else f"12.{'50'.ljust(digits, '0')}"
        raise InvalidFieldError(param, f"must be an amount of {currency} in digits, for example {example}")
    amount_minor = int(whole + decimals.ljust(digits, "0"))
    if not 1 <= amount_minor <= MAX_AMOUNT_MINOR:
        least, most = display(1, currency), display(MAX_AMOUNT_MINOR, currency)
        raise InvalidFieldError(param, f"must be from {least} to {most}")
    return amount_minor
