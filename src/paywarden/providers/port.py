"""What a provider must do for Paywarden, and the words for what it answered.

The rules are those of ``docs/decisions/0001-states.md``: an operation's body is built once, stored, and sent byte for
byte, again and again, under one idempotency key; whatever the provider does not answer usably is ``Unknown``, and only
the provider's own evidence closes anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

OperationKind = Literal["submit", "confirm", "refund", "payout"]
ProviderStatus = Literal["requires_confirmation", "pending", "succeeded", "failed"]
Sent = Literal["no", "maybe"]


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """What the provider promises; ``money.md`` decides on these and on nothing else."""

    name: str
    key_window: timedelta
    compares_body: bool
    saves_errors: bool
    idempotent_submit: bool
    capabilities: frozenset[str]


@dataclass(frozen=True, slots=True)
class Order:
    """What an operation asks of the provider. Ids are Paywarden's public texts; amounts are minor units."""

    kind: OperationKind
    our_reference: str
    amount_minor: int
    currency: str
    customer: str
    description: str
    agent: str
    confirm: bool = True
    provider_payment_id: str | None = None
    payee: str | None = None


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """The stored form of an operation: method, path below the provider's URL, exact body and idempotency key."""

    method: Literal["POST"]
    path: str
    body: bytes
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class ProviderPayment:
    """A payment, refund or payout as the provider shows it. ``None`` where it does not say."""

    provider_id: str
    status: ProviderStatus
    amount_minor: int | None = None
    currency: str | None = None
    our_reference: str | None = None
    failure_reason: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A usable 2xx answer."""

    payment: ProviderPayment


@dataclass(frozen=True, slots=True)
class Declined:
    """402 with a JSON error: the provider refuses this payment."""

    reason: str
    http_status: int = 402


@dataclass(frozen=True, slots=True)
class Invalid:
    """400 or 422: the provider refuses the request itself."""

    reason: str
    http_status: int


@dataclass(frozen=True, slots=True)
class Transient:
    """Provably not processed: the connection was refused, or 429. ``retry_after_seconds`` if the provider said one."""

    reason: str
    sent: Sent
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """No usable answer: time-out, reset, cut or unreadable body, any 5xx, any other 4xx."""

    reason: str
    http_status: int | None = None


Answer = Accepted | Declined | Invalid | Transient | Unknown


@dataclass(frozen=True, slots=True)
class Found:
    """A fetch that found the object."""

    payment: ProviderPayment


@dataclass(frozen=True, slots=True)
class NotFound:
    """The provider answered usably that it knows no such object. By itself this proves nothing."""


Fetched = Found | NotFound | Transient | Unknown


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """A verified event. ``event_key`` is the provider's event id, else the SHA-256 of the body in hex."""

    event_key: str
    event_type: str
    object_kind: Literal["payment", "refund", "payout", "other"]
    status: ProviderStatus | None
    provider_id: str | None
    amount_minor: int | None = None
    currency: str | None = None
    our_reference: str | None = None
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement in the provider's own book, in minor units, positive when it pays us."""

    line_id: str
    kind: Literal["charge", "refund", "payout", "fee", "dispute", "other"]
    provider_id: str
    amount_minor: int
    currency: str
    our_reference: str | None
    occurred_at: datetime


class SignatureError(ValueError):
    """The webhook is not from the provider, or not readable as an event."""


class Provider(Protocol):
    """One account at one provider. Every method is safe to repeat; none raises for anything the network does."""

    @property
    def facts(self) -> ProviderFacts: ...

    def prepare(self, order: Order, idempotency_key: str) -> PreparedRequest:
        """Build the request that will be stored and sent. Pure; the same order gives the same bytes."""
        ...

    async def send(self, request: PreparedRequest, timeout_seconds: float) -> Answer:
        """Send a stored request once, bounded by the time-out as a whole."""
        ...

    async def fetch(self, kind: OperationKind, provider_id: str, timeout_seconds: float) -> Fetched:
        """Look up by the provider's id (a refund's id for kind ``refund``, a payout's for ``payout``)."""
        ...

    async def fetch_by_reference(
        self, kind: OperationKind, our_reference: str, timeout_seconds: float
    ) -> Sequence[ProviderPayment] | Transient | Unknown:
        """All objects that carry our reference; more than one is a discrepancy for the caller to raise."""
        ...

    async def statement(
        self, since: datetime, until: datetime, timeout_seconds: float
    ) -> Sequence[StatementLine] | Transient | Unknown | None:
        """The provider's book for [since, until), oldest first; None when the provider has no statement (404)."""
        ...

    def parse_event(self, body: bytes, signature: str | None, secret: str) -> ProviderEvent:
        """Verify a webhook over its raw body, then read it. Raises SignatureError, whatever is wrong with it."""
        ...

    def read_event(self, body: bytes) -> ProviderEvent:
        """Read an event whose signature was verified before it was stored. Raises SignatureError if unreadable."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
