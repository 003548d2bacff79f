"""What the rules may know about one payment. Flow gathers it; nothing here reads a clock, a table or the network."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from msgspec import Struct

from paywarden.kit.checks import Check

__all__ = [
    "AdviceFacts",
    "Approval",
    "Check",
    "GateFacts",
    "MandateKind",
    "PaymentFacts",
    "PaymentKind",
    "PrincipalKind",
    "Spending",
    "Verdict",
]

PrincipalKind = Literal["agent", "person", "service"]
PaymentKind = Literal["charge", "refund", "payout"]
# What a mandate may be for: payments, and holds at the billing gate.
MandateKind = Literal["charge", "refund", "payout", "gate"]
Verdict = Literal["approve", "deny", "escalate", "need_facts"]


class AdviceFacts(Struct, frozen=True):
    """An adviser's opinion after the code's own checks of it. ``confidence`` is 0 to 100."""

    verdict: Verdict
    amount_minor: int
    confidence: int
    citations_verified: bool
    supported_by_trusted: bool


class Approval(Struct, frozen=True):
    """Another principal's yes to exactly this action, given in ``role``, which that principal still has."""

    reviewer_id: UUID
    reviewer_kind: PrincipalKind
    role: str


class PaymentFacts(Struct, frozen=True):
    """One payment as the rules see it.

    ``counterparty`` is the customer (charge, refund) or the payee (payout) as text, empty for a bare reservation.
    ``refund_of_known`` says of a refund whether the payment it returns is ours; None for the other kinds.
    ``local_hour`` is 0 to 23 in the mandate's time zone. ``purpose`` is the asker's own word for it, if there is one.
    """

    tenant_active: bool
    principal_id: UUID
    principal_kind: PrincipalKind
    principal_active: bool
    principal_roles: frozenset[str]
    kind: PaymentKind
    amount_minor: int
    currency: str
    counterparty: str
    payee_known: bool
    duplicate_suspected: bool
    local_hour: int
    purpose: str | None = None
    refund_of_known: bool | None = None
    advice: AdviceFacts | None = None
    approvals: tuple[Approval, ...] = ()


@dataclass(frozen=True, slots=True)
class GateFacts:
    """A hold at the billing gate as a mandate sees it. ``counterparty`` is the customer, empty where none is named."""

    principal_id: UUID
    amount_minor: int
    currency: str
    counterparty: str
    kind: Literal["gate"] = "gate"


Spending = PaymentFacts | GateFacts
"""What draws on a mandate."""
