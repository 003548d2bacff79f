"""What one can ask of the write door, and what it answers. Amounts are minor units."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from paywarden.kit import ids
from paywarden.kit.money import check_amount_minor
from paywarden.ledger.chart import AccountRef

Result = Literal["ok", "insufficient", "replayed", "conflict", "invalid", "stale"]


@dataclass(frozen=True, slots=True)
class Line:
    """A pair of accounts; ``held`` names the side whose balance a hold promises away."""

    debit: AccountRef
    credit: AccountRef
    held: Literal["debit", "credit"] = "debit"


@dataclass(frozen=True, slots=True)
class Movement:
    """A pair of accounts and the amount that moves between them."""

    debit: AccountRef
    credit: AccountRef
    amount_minor: int


@dataclass(frozen=True, slots=True)
class WindowGrant:
    """The budget window a hold draws on, at the mandate's present limit."""

    mandate_id: UUID
    window_key: str
    currency: str
    limit_minor: int
    window: AccountRef
    source: AccountRef


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold authority and funds, all lines or none. A request."""

    hold_id: UUID
    payment_id: UUID | None
    principal_id: UUID
    authority_version: int
    mandate_ids: Sequence[UUID]
    amount_minor: int
    lines: Sequence[Line]
    grants: Sequence[WindowGrant] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """Post (part of) a hold and book what goes with it; ``fact`` always books, also without a hold (``hold_id`` None).

    A capture may be refused.
    """

    hold_id: UUID | None
    payment_id: UUID | None
    operation: str
    fact_kind: str
    amount_minor: int
    fact: bool
    final: bool = True
    movements: Sequence[Movement] = ()
    event_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Void:
    """Give back a pending hold. A request before the point of no return, a provider's fact after it."""

    hold_id: UUID
    payment_id: UUID | None = None
    status: Literal["voided", "expired"] = "voided"


@dataclass(frozen=True, slots=True)
class Book:
    """Linked transfers without a hold; as a request they respect floors, as a fact they always book."""

    operation: str
    fact_kind: str
    movements: Sequence[Movement]
    fact: bool
    payment_id: UUID | None = None
    event_at: datetime | None = None


Intent = Reserve | Post | Void | Book


@dataclass(frozen=True, slots=True)
class Outcome:
    """The door's answer to one intent.

    ``accounts`` names what was short, ``late`` a fact the hold no longer covers, ``below_floor`` the accounts that are
    below their floor after a fact took from them.
    """

    result: Result
    accounts: str | None = None
    late: bool = False
    below_floor: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def as_json(intent: Intent) -> dict[str, Any]:
    """The intent as the SQL side reads it.

    Raises InvalidFieldError when an amount is not 1 to 10^15: what can fail on type or range is refused here.
    """
    match intent:
        case Reserve():
            return _reserve(intent)
        case Post():
            return _post(intent)
        case Void():
            return {
                "op": "void",
                "hold_id": str(intent.hold_id),
                "payment_id": _text(intent.payment_id),
                "status": intent.status,
            }
        case Book():
            return _booking(intent) | {"op": "book", "fact": intent.fact}


def _reserve(intent: Reserve) -> dict[str, Any]:
    return {
        "op": "reserve",
        "hold_id": str(intent.hold_id),
        "payment_id": _text(intent.payment_id),
        "principal_id": str(intent.principal_id),
        "authority_version": intent.authority_version,
        "mandate_ids": [str(mandate_id) for mandate_id in intent.mandate_ids],
        "amount_minor": check_amount_minor(intent.amount_minor),
        "expires_at": intent.expires_at and intent.expires_at.isoformat(),
        "lines": [
            {"held": 0 if line.held == "debit" else 1, "accounts": [line.debit.as_spec(), line.credit.as_spec()]}
            for line in intent.lines
        ],
        "grants": [_grant(grant) for grant in intent.grants],
    }


def _grant(grant: WindowGrant) -> dict[str, Any]:
    return {
        "mandate_id": str(grant.mandate_id),
        "window_key": grant.window_key,
        "currency": grant.currency,
        "limit_minor": check_amount_minor(grant.limit_minor, "limit_minor"),
        "accounts": [grant.window.as_spec(), grant.source.as_spec()],
        "transfer_ids": [str(ids.new_uuid())],
    }


# A hold has at most one line for each mandate up the tree and one for funds.
_MOST_HOLD_LINES = 16


def _post(intent: Post) -> dict[str, Any]:
    return _booking(intent, _MOST_HOLD_LINES) | {
        "op": "post",
        "hold_id": _text(intent.hold_id),
        "amount_minor": check_amount_minor(intent.amount_minor),
        "fact": intent.fact,
        "final": intent.final,
    }


def _booking(intent: Post | Book, more_ids: int = 0) -> dict[str, Any]:
    return {
        "payment_id": _text(intent.payment_id),
        "operation": intent.operation,
        "fact_kind": intent.fact_kind,
        "event_at": intent.event_at and intent.event_at.isoformat(),
        "transfer_ids": [str(ids.new_uuid()) for _ in range(len(intent.movements) + more_ids)],
        "transfers": [
            {
                "accounts": [movement.debit.as_spec(), movement.credit.as_spec()],
                "amount_minor": check_amount_minor(movement.amount_minor),
            }
            for movement in intent.movements
        ],
    }


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
