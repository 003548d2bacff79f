"""Single values as answers show them: prefixed ids, RFC 3339 instants, hexadecimal digests."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from paywarden.kit import ids
from paywarden.kit.clock import rfc3339
from paywarden.kit.money import currency_of, display

_ID_PREFIXES: Mapping[str, ids.Prefix] = {
    "payment_id": "pay",
    "original_payment_id": "pay",
    "review_id": "rev",
    "decision_id": "dec",
    "note_id": "note",
    "mandate_id": "mdt",
    "hold_id": "hold",
}


def instant(value: datetime | None) -> str | None:
    """An instant, None if there is none."""
    return None if value is None else rfc3339(value)


def public_id(prefix: ids.Prefix, value: UUID | None) -> str | None:
    """An id, None if there is none."""
    return None if value is None else ids.to_text(prefix, value)


def display_asset(amount_minor: int, asset: str) -> str:
    """An amount of a ledger's asset such as ``USD/2`` for people."""
    return display(amount_minor, currency_of(asset))


def plain_row(row: Mapping[str, Any], own: ids.Prefix, principals: Mapping[UUID, str]) -> dict[str, Any]:
    """A row as JSON: its own ``id`` gets the prefix ``own``, ids of others theirs, by the column's name."""
    return {name: _plain_column(name, value, own, principals) for name, value in row.items() if name != "body"}


def _plain_column(name: str, value: Any, own: ids.Prefix, principals: Mapping[UUID, str]) -> Any:
    if isinstance(value, UUID):
        if name == "id":
            return ids.to_text(own, value)
        prefix = _ID_PREFIXES.get(name)
        return ids.to_text(prefix, value) if prefix else principals.get(value, str(value))
    return plain(value)


def plain(value: Any) -> Any:
    """A value of a row as JSON."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, UUID) else value
