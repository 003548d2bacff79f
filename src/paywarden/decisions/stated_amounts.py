"""Amounts in words: only what can be read in one way. ``$1,250.00`` and ``EUR 40`` are amounts, ``1.250 EUR`` is not,
and ``$500 CAD`` are no US dollars.

Commas part thousands, a point begins the minor units, all of them; the currency stands beside the number.
"""

import re
from functools import cache
from typing import Final

from iso4217 import Currency

from paywarden.kit.money import exponent

_SYMBOLS: Final = {"usd": r"\$", "eur": "€", "gbp": "£", "jpy": "¥"}
# Not the end of a word or of a number, "1 250" included, and nothing negative.
_BEFORE: Final = r"(?<![\w.,'’+\-–−])(?<![0-9]\s)"
# Nothing that makes it another number: more digits, a fraction, "5 000", "5'000", "$5k", "$5 million".
_AFTER: Final = r"(?!\w|[.,'’]\w|\s?[0-9]|\s(?i:thousand|k|million|mio|mn|m|billion|bn)\b)"


def stated_minor(text: str, currency: str) -> frozenset[int]:
    """Every amount of this currency that a text states, in minor units."""
    return frozenset(_minor(number, currency) for pattern in _patterns(currency) for number in pattern.findall(text))


@cache
def _patterns(currency: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The number after its currency, and before it."""
    digits, code = exponent(currency), f"(?i:{currency})"
    fraction = rf"(?:\.[0-9]{{{digits}}})?" if digits else ""
    # Whose dollars it is, the code of another currency says: "$500 CAD", "MXN $500".
    others = "|".join(each.code for each in Currency if each.code != currency.upper())
    before, after = rf"{_BEFORE}(?<!(?i:{others})\s)", rf"{_AFTER}(?!\s?\(?(?i:{others})\b)"
    number = rf"((?:[0-9]{{1,3}}(?:,[0-9]{{3}})+|[0-9]{{1,13}}){fraction})"
    sign = rf"(?:{_SYMBOLS[currency]}|{code})" if currency in _SYMBOLS else code
    return re.compile(rf"{before}{sign}\s?{number}{after}"), re.compile(rf"{before}{number}\s?{sign}{after}")


def _minor(number: str, currency: str) -> int:
    whole, _, fraction = number.replace(",", "").partition(".")
    return int(whole + (fraction or "0" * exponent(currency)))
