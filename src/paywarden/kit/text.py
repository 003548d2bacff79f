"""Text from the outside: one rule for what may enter an id or a sentence."""

import re
import unicodedata
from functools import lru_cache

from paywarden.kit.errors import InvalidFieldError

MAX_ID_CHARACTERS = 255
MAX_TEXT_CHARACTERS = 20_000
# Whole numbers, also with single blanks or hyphens; and what is grouped like a card whatever stands between the groups.
_GAP = r"[^0-9A-Za-z]{1,3}"
_SHORTEST_CARD = 13
# What every one of the forms has; said in one pass over what looks like none.
_DIGITS_ENOUGH = re.compile(rf"[0-9](?:[^0-9A-Za-z]{{0,3}}[0-9]){{{_SHORTEST_CARD - 1}}}")
_CARD_LIKE = (
    re.compile(r"(?<![0-9])(?=([0-9](?:[ -]?[0-9]){12,18}(?![0-9])))"),
    re.compile(rf"(?<![0-9])(?=([0-9]{{4}}{_GAP}[0-9]{{4}}{_GAP}[0-9]{{4}}{_GAP}[0-9]{{4}}(?![0-9])))"),
    re.compile(rf"(?<![0-9])(?=([0-9]{{4}}{_GAP}[0-9]{{6}}{_GAP}[0-9]{{5}}(?![0-9])))"),
)


# The same customers and features are named over and over. What is refused is not remembered.
@lru_cache(maxsize=4096)
def clean_id(value: str, param: str) -> str:
    """An id given by a caller: 1 to 255 characters, no control, surrogate or blank edges, no card number."""
    return _clean(value, param, MAX_ID_CHARACTERS, allow_lines=False)


def clean_text(value: str, param: str) -> str:
    """A sentence given by a caller: 1 to 20,000 characters; tabs and line ends are the only control characters."""
    return _clean(value, param, MAX_TEXT_CHARACTERS, allow_lines=True)


def _clean(value: str, param: str, limit: int, *, allow_lines: bool) -> str:
    if not value or len(value) > limit or not value.strip():
        raise InvalidFieldError(param, f"must have 1 to {limit:,} characters and not be blank")
    if not allow_lines and value != value.strip():
        raise InvalidFieldError(param, "must not begin or end with a blank")
    # Printable ASCII, which most of it is, holds nothing that is forbidden.
    plain = value.isascii() and value.isprintable()
    if not plain and any(_forbidden(character, allow_lines) for character in value):
        raise InvalidFieldError(param, "must not contain control characters or lone surrogates")
    if contains_card_number(value):
        raise InvalidFieldError(param, "must not contain a card number: Paywarden never stores one")
    return value


def _forbidden(character: str, allow_lines: bool) -> bool:
    if allow_lines and character in "\t\n\r":
        return False
    return unicodedata.category(character) in {"Cc", "Cs"}


def contains_card_number(value: str) -> bool:
    """Whether 13 to 19 digits of any script pass the Luhn check (ISO/IEC 7812-1) and begin like a card."""
    plain = value if value.isascii() else "".join(_ascii_digit(character) for character in value)
    if not _DIGITS_ENOUGH.search(plain):
        return False
    for pattern in _CARD_LIKE:
        for match in pattern.finditer(plain):
            digits = re.sub("[^0-9]", "", match.group(1))
            if digits[0] in "23456" and _luhn(digits):
                return True
    return False


def _ascii_digit(character: str) -> str:
    return character if character.isascii() else str(unicodedata.digit(character, character))


def _luhn(digits: str) -> bool:
    total = 0
    for position, character in enumerate(reversed(digits)):
        number = int(character) * (2 if position % 2 else 1)
        total += number - 9 if number > 9 else number
    return total % 10 == 0
