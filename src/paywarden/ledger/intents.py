"""What one can ask of the write door, and what it answers. Amounts are minor units.

Structs, because they are made thousands of times a second: that takes a quarter of a dataclass's time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct

from paywarden.ledger.chart import AccountRef

# ``error`` is only answered to a group: this intent made an SQL error and was rolled back alone.
Result = Literal["ok", "insufficient", "replayed", "conflict", "invalid", "stale", "error"]


class Line(Struct, frozen=True):
    """A pair of accounts; ``held`` names the side whose balance a hold promises away."""

    debit: AccountRef
    credit: AccountRef
    held: Literal["debit", "credit"] = "debit"


class Movement(Struct, frozen=True):
    """A pair of accounts and the amount that moves between them."""

    debit: AccountRef
    credit: AccountRef
    amount_minor: int


class WindowGrant(Struct, frozen=True):
    """The budget window a hold draws on, at the mandate's present limit."""

    mandate_id: UUID
    window_key: str
    currency: str
    limit_minor: int
    window: AccountRef
    source: AccountRef


class Authority(Struct, frozen=True):
    """What a request rests on, checked again under the locks: the tenant's count of changes, and who and what must
    still be active. ``valid_until`` is when the caller's key expires.
    """

    principal_id: UUID
    version: int
    mandate_ids: Sequence[UUID] = ()
    valid_until: datetime | None = None


class Key(Struct, frozen=True):
    """An idempotency key of a principal, with the SHA-256 of the request that carries it."""

    principal_id: UUID
    key: str
    fingerprint: bytes


class Gate(Struct, frozen=True):
    """What a hold is for that belongs to no payment: a customer's credit, a mandate's budget, or both.

    The same fields in the same order as in ``HoldRow``.
    """

    principal_id: UUID
    currency: str
    customer_id: str | None = None
    mandate_id: UUID | None = None
    feature: str | None = None


class Reserve(Struct, frozen=True):
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


class Post(Struct, frozen=True):
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


class Void(Struct, frozen=True):
    """Give back a pending hold. A request before the point of no return, a provider's fact after it."""

    hold_id: UUID
    payment_id: UUID | None = None
    status: Literal["voided", "expired"] = "voided"
    authority: Authority | None = None
    of_principal_id: UUID | None = None


class Extend(Struct, frozen=True):
    """Let a gate's pending hold expire so many seconds from now. A request."""

    hold_id: UUID
    expires_in_seconds: int
    authority: Authority
    of_principal_id: UUID | None = None


class Book(Struct, frozen=True):
    """Linked transfers without a hold; as a request they respect floors, as a fact they always book."""

    operation: str
    fact_kind: str
    movements: Sequence[Movement]
    fact: bool
    payment_id: UUID | None = None
    event_at: datetime | None = None


Intent = Reserve | Post | Void | Extend | Book


class HoldRow(Struct, frozen=True):
    """A hold as it is stored. One of a payment has no principal and no currency; ``closed_at`` None: it is pending."""

    id: UUID
    payment_id: UUID | None
    status: Literal["pending", "posted", "voided", "expired"]
    amount_minor: int
    captured_minor: int
    principal_id: UUID | None
    currency: str | None
    customer_id: str | None
    mandate_id: UUID | None
    feature: str | None
    expires_at: datetime | None
    created_at: datetime
    closed_at: datetime | None


class Outcome(Struct, frozen=True):
    """The door's answer to one intent.

    ``accounts`` names what was short, ``late`` a fact the hold no longer covers, ``below_floor`` the accounts that are
    below their floor after a fact took from them; ``hold`` is the hold's row afterwards; ``detail``
    is all that was said.
    """

    result: Result
    accounts: str | None = None
    late: bool = False
    below_floor: str | None = None
    hold: HoldRow | None = None
    detail: dict[str, Any] = {}
