"""JSON from the outside without tolerance, and the name of the field where it is not JSON."""

import json
from collections.abc import Iterator
from typing import Any, Final

from paywarden.kit.canonical import loads_strict
from paywarden.kit.errors import InvalidFieldError

_DEEPEST: Final = 32
_LONGEST_INTEGER: Final = 40
_PROBLEM: Final = "must be JSON: UTF-8, finite numbers, no name twice"
_NO_NUMBER: Final = object()


def parse(body: bytes) -> Any:
    """The value. Raises InvalidFieldError that names the top-level field with a number that is none, else ``body``."""
    try:
        value = loads_strict(body)
    except ValueError as error:
        field = _field_without_number(body)
        if field is not None:
            raise InvalidFieldError(field, "must be a finite number of ordinary size") from error
        raise InvalidFieldError("body", _PROBLEM) from error
    # Most bodies have not even so many brackets.
    if body.count(b"{") + body.count(b"[") > _DEEPEST and _deeper_than(value, _DEEPEST):
        raise InvalidFieldError("body", f"must not be nested more than {_DEEPEST} deep")
    return value


def _field_without_number(body: bytes) -> str | None:
    """The field that holds NaN, an infinity or thousands of digits, in what is an object otherwise."""
    try:
        value = json.loads(body.decode(), parse_constant=lambda _: _NO_NUMBER, parse_int=_integer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or _deeper_than(value, _DEEPEST):
        return None
    named = (name for name, inner in value.items() if _NO_NUMBER in _all_inside(inner))
    field = next(named, None)
    return field if field is not None and field.isidentifier() and field.isascii() else None


def _integer(digits: str) -> object:
    return _NO_NUMBER if len(digits) > _LONGEST_INTEGER else int(digits)


def _all_inside(value: Any) -> Iterator[Any]:
    yield value
    for inner in _children(value):
        yield from _all_inside(inner)


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [inner for outer in layer for inner in _children(outer)]
        if not layer:
            return False
    return True


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
