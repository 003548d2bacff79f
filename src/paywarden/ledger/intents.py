"""What one can ask of the write door, and what it answers. Amounts are minor units."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from paywarden.kit import ids
from paywarden.kit.money import check_amount_minor
from paywarden.ledger.chart import AccountRef

# ``error`` is only answered to a group: this intent made an SQL error and was rolled back alone.
Result = Literal["ok", "insufficient", "replayed", "conflict", "invalid", "stale", "error"]


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
class Authority:
    """What a request rests on, checked again under the locks: the tenant's count of changes, and who and what must
    still be active. ``valid_until`` is when the caller's key expires.
    """

    principal_id: UUID
    version: int
    mandate_ids: Sequence[UUID] = ()
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key of a principal, with the SHA-256 of the request that carries it."""

    principal_id: UUID
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Gate:
    """What a hold is for that belongs to no payment: a customer's credit, a mandate's budget, or both."""

    principal_id: UUID
    currency: str
    customer_id: str | None = None
    mandate_id: UUID | None = None
    feature: str | None = None


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold authority and funds, all lines or none. A request; it carries its ``key`` where no payment does."""

    hold_id: UUID
    payment_id: UUID | None
    authority: Authority
    amount_minor: int
    lines: Sequence[Line]
    grants: Sequence[WindowGrant] = ()
    gate: Gate | None = None
    key: Key | None = None
    expires_in_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """Post (part of) a hold and book what goes with it; ``fact`` always books, also without a hold (``hold_id`` None).

    A capture may be refused: it has an ``authority`` and a ``key``, and with ``of_principal_id`` takes from that
    principal's own holds only.
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
    authority: Authority | None = None
    key: Key | None = None
    of_principal_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Void:
    """Give back a pending hold. A request before the point of no return, a provider's fact after it."""

    hold_id: UUID
    payment_id: UUID | None = None
    status: Literal["voided", "expired"] = "voided"
    authority: Authority | None = None
    of_principal_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Extend:
    """Let a gate's pending hold expire so many seconds from now. A request."""

    hold_id: UUID
    expires_in_seconds: int
    authority: Authority
    of_principal_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """Linked transfers without a hold; as a request they respect floors, as a fact they always book."""

    operation: str
    fact_kind: str
    movements: Sequence[Movement]
    fact: bool
    payment_id: UUID | None = None
    event_at: datetime | None = None


Intent = Reserve | Post | Void | Extend | Book


@dataclass(frozen=True, slots=True)
class Outcome:
    """The door's answer to one intent.

    ``accounts`` names what was short, ``late`` a fact the hold no longer covers, ``below_floor`` the accounts that are
    below their floor after a fact took from them; ``hold`` is the hold's row afterwards, as JSON.
    """

    result: Result
    accounts: str | None = None
    late: bool = False
    below_floor: str | None = None
    hold: dict[str, Any] | None = None
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
                **_asked_by(intent.authority, None, intent.of_principal_id),
            }
        case Extend():
            return {
                "op": "extend",
                "hold_id": str(intent.hold_id),
                "expires_in_seconds": intent.expires_in_seconds,
                **_asked_by(intent.authority, None, intent.of_principal_id),
            }
        case Book():
            return _booking(intent) | {"op": "book", "fact": intent.fact}


def _reserve(intent: Reserve) -> dict[str, Any]:
    return {
        "op": "reserve",
        "hold_id": str(intent.hold_id),
        "payment_id": _text(intent.payment_id),
        "amount_minor": check_amount_minor(intent.amount_minor),
        "expires_in_seconds": intent.expires_in_seconds,
        "gate": intent.gate and _gate(intent.gate),
        "lines": [
            {"held": 0 if line.held == "debit" else 1, "accounts": [line.debit.as_spec(), line.credit.as_spec()]}
            for line in intent.lines
        ],
        "grants": [_grant(grant) for grant in intent.grants],
        **_asked_by(intent.authority, intent.key, None),
    }


def _asked_by(authority: Authority | None, key: Key | None, of_principal_id: UUID | None) -> dict[str, Any]:
    """Who asks, under which key, for whose hold; what is None is left out."""
    parts: dict[str, Any] = {}
    if authority is not None:
        parts["authority"] = {
            "principal_id": str(authority.principal_id),
            "version": authority.version,
            "mandate_ids": [str(mandate_id) for mandate_id in authority.mandate_ids],
            "valid_until": authority.valid_until and authority.valid_until.isoformat(),
        }
    if key is not None:
        parts["key"] = {"principal_id": str(key.principal_id), "key": key.key, "fingerprint": key.fingerprint.hex()}
    if of_principal_id is not None:
        parts["of_principal_id"] = str(of_principal_id)
    return parts


def _gate(gate: Gate) -> dict[str, Any]:
    return {
        "principal_id": str(gate.principal_id),
        "currency": gate.currency,
        "customer_id": gate.customer_id,
        "mandate_id": _text(gate.mandate_id),
        "feature": gate.feature,
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
        **_asked_by(intent.authority, intent.key, intent.of_principal_id),
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
