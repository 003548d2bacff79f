"""Lists, a page at a time, with a cursor that callers pass on and never read."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Literal, TypeVar
from uuid import UUID

from typing_extensions import TypedDict

from paywarden.kit.errors import InvalidFieldError

Item = TypeVar("Item")
Row = TypeVar("Row")
_CURSOR = re.compile(r"([0-9]{1,19}):([0-9a-f]{32})")
_LONGEST_CURSOR = 100


class Page(TypedDict, Generic[Item]):
    """Part of a list. ``next_cursor`` leads to the rest; it is null on the last page."""

    object: Literal["list"]
    data: list[Item]
    has_more: bool
    next_cursor: str | None


def whole(items: Sequence[Item]) -> Page[Item]:
    """A list that is never longer than what is shown."""
    return {"object": "list", "data": list(items), "has_more": False, "next_cursor": None}


def first_of(items: Sequence[Item], limit: int) -> Page[Item]:
    """The first ``limit`` of a list that was read one further; the rest comes when these are dealt with."""
    return {"object": "list", "data": list(items[:limit]), "has_more": len(items) > limit, "next_cursor": None}


def page(
    rows: Sequence[Row], limit: int, render: Callable[[Row], Item], position: Callable[[Row], tuple[str, UUID]]
) -> Page[Item]:
    """A page of rows that were read one further than ``limit``; ``position`` is (transaction, id) of a row."""
    shown = rows[:limit]
    more = len(rows) > limit
    return {
        "object": "list",
        "data": [render(row) for row in shown],
        "has_more": more,
        "next_cursor": _encoded(*position(shown[-1])) if more else None,
    }


def _encoded(transaction_id: str, identity: UUID) -> str:
    return base64.urlsafe_b64encode(f"{transaction_id}:{identity.hex}".encode()).decode().rstrip("=")


def after(cursor: str | None) -> tuple[str, UUID] | None:
    """Where a cursor points. Raises InvalidFieldError for a text that we did not make."""
    if cursor is None:
        return None
    found = _CURSOR.fullmatch(_decoded(cursor))
    if found is None:
        raise InvalidFieldError("cursor", "must be the next_cursor of the page before")
    return found.group(1), UUID(hex=found.group(2))


def _decoded(cursor: str) -> str:
    if len(cursor) > _LONGEST_CURSOR or not cursor.isascii():
        return ""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""


def without_nothing(values: Mapping[str, Item | None]) -> dict[str, Item]:
    """The entries that say something."""
    return {name: value for name, value in values.items() if value is not None}
