"""Canonical JSON (RFC 8785) and the digests that approvals and idempotency fingerprints are bound to."""

import hashlib
import json
from typing import Any

import msgspec
import rfc8785

from paywarden.kit.errors import InvalidFieldError

_PLAIN = msgspec.json.Encoder(order="sorted").encode
_LARGEST = 2**53 - 1
_DEEPEST = 8
_TEXT = frozenset({str})
_ALWAYS_PLAIN = frozenset({str, bool, type(None)})


def canonical_json(value: Any) -> bytes:
    """The one byte string for this JSON value: RFC 8785 (JCS).

    Raises InvalidFieldError for what JCS cannot carry: NaN, infinities, integers beyond 2^53, lone surrogates.
    """
    try:
        if _is_plain(value, _DEEPEST):
            return _PLAIN(value)
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise InvalidFieldError("body", "must be JSON with finite numbers below 2^53 and valid Unicode") from error


def _is_plain(value: Any, levels: int) -> bool:
    """Whether a general encoder, which is ten times as fast, writes the same bytes: text, whole numbers
    that JCS allows, true, false, null, and lists and objects of them with ASCII keys.
    """
    kind = type(value)
    if kind in _ALWAYS_PLAIN:
        return True
    if kind is int:
        return bool(-_LARGEST <= value <= _LARGEST)
    if levels == 0:
        return False
    if kind is list:
        return all(_is_plain(item, levels - 1) for item in value)
    if kind is not dict:
        return False
    if not _TEXT.issuperset(map(type, value)) or not "".join(value).isascii():
        return False
    return all(_is_plain(item, levels - 1) for item in value.values() if type(item) not in _ALWAYS_PLAIN)


def digest(value: Any) -> bytes:
    """SHA-256 of the canonical JSON, 32 bytes."""
    return hashlib.sha256(canonical_json(value)).digest()


def loads_strict(body: bytes) -> Any:
    """Parse JSON from the outside: UTF-8, no NaN or Infinity, no repeated keys.

    Raises ValueError, whatever is wrong; nothing of the input is in the message.
    """
    try:
        return _STRICT.decode(body.decode("utf-8"))
    except (UnicodeDecodeError, RecursionError) as error:
        raise ValueError("not UTF-8 JSON of a sane depth") from error


def _refuse_constant(_: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is repeated")
    return result


# One for all: to make a decoder costs more than to decode a body.
_STRICT = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique_pairs)
