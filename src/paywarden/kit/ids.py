"""TypeIDs (https://github.com/jetify-com/typeid): a prefix that names the kind, then a UUIDv7 in Crockford base 32.

The database stores the bare ``uuid``; everything that leaves it is the prefixed text. Ids are made here, not in SQL,
because ``uuidv7()`` exists in PostgreSQL 18 only.
"""

from typing import Literal, get_args
from uuid import UUID

import uuid_utils
from typeid import base32

from paywarden.kit.errors import InvalidFieldError

Prefix = Literal[
    "ten", "agt", "per", "svc", "key", "mdt", "pay", "op", "hold", "tr", "acc", "idem", "note", "dec", "rev", "vrd",
    "lbl", "evt", "inb", "ep", "dis", "att", "req", "top",
]  # fmt: skip
PREFIXES: tuple[str, ...] = get_args(Prefix)
_SUFFIX_LENGTH = 26
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
# 128 bits are 26 digits of five bits each: two, and eight times three.
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_TRIPLES = [pair + third for pair in _PAIRS for third in _DIGITS]
_THREE = 0x7FFF


def new_uuid() -> UUID:
    """A fresh UUIDv7: sorts by the millisecond in which it was made."""
    return UUID(bytes=uuid_utils.uuid7().bytes)


def new_hex() -> str:
    """The 32 hexadecimal digits of a fresh UUIDv7."""
    return uuid_utils.uuid7().hex


def new_text(prefix: Prefix) -> str:
    """The text of a fresh id that nothing keeps."""
    return _text(prefix, uuid_utils.uuid7().int)


def to_text(prefix: Prefix, value: UUID) -> str:
    """The public text of an id, e.g. ``pay_01h455vb4pex5vsknk084sn02q``."""
    return _text(prefix, value.int)


def _text(prefix: Prefix, number: int) -> str:
    return (
        f"{prefix}_{_PAIRS[number >> 120]}"
        f"{_TRIPLES[number >> 105 & _THREE]}{_TRIPLES[number >> 90 & _THREE]}{_TRIPLES[number >> 75 & _THREE]}"
        f"{_TRIPLES[number >> 60 & _THREE]}{_TRIPLES[number >> 45 & _THREE]}{_TRIPLES[number >> 30 & _THREE]}"
        f"{_TRIPLES[number >> 15 & _THREE]}{_TRIPLES[number & _THREE]}"
    )


def parse(prefix: Prefix, text: str, param: str = "id") -> UUID:
    """The UUID inside a public id.

    Raises InvalidFieldError naming ``param`` when the text is not an id of exactly this kind.
    """
    head, _, suffix = text.rpartition("_")
    if head == prefix and len(suffix) == _SUFFIX_LENGTH and suffix.isascii() and suffix == suffix.lower():
        try:
            value = UUID(bytes=bytes(base32.decode(suffix)))
        except (ValueError, RuntimeError):
            value = None
        if value is not None and to_text(prefix, value) == text:
            return value
    raise InvalidFieldError(param, f"must be an id that starts with '{prefix}_' followed by 26 characters")
