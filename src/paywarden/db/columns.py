"""Columns of many rows as texts of PostgreSQL's arrays: one parameter each, which costs a tenth of a list's conversion.

In a statement such a parameter is cast to its array: ``unnest(%(ids)s::uuid[], %(names)s::text[])``.
"""

from collections.abc import Iterable
from uuid import UUID

NULL = "NULL"


def uuids(values: Iterable[UUID | None]) -> str:
    """For ``uuid[]``."""
    return f"{{{','.join([NULL if value is None else value.hex for value in values])}}}"


def texts(values: Iterable[str | None]) -> str:
    """For ``text[]``; also for arrays of arrays as texts, of JSON, and of bytes as ``hexadecimal`` writes them."""
    return f"{{{','.join([NULL if value is None else quoted(value) for value in values])}}}"


def plain(values: Iterable[object]) -> str:
    """For arrays of numbers and truth values, and of words of ours: letters, digits, dots."""
    return f"{{{','.join(map(str, values))}}}"


def hexadecimal(values: Iterable[bytes]) -> str:
    """For ``bytea[]``."""
    return texts([f"\\x{value.hex()}" for value in values])


def quoted(value: str) -> str:
    """A text as an element of an array's text."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
