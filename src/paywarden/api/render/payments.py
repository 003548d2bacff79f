"""A payment, and what a dry run says."""

from typing import Any, Literal

from typing_extensions import TypedDict

from paywarden.api.render.values import instant, public_id
from paywarden.flow.words import Payment
from paywarden.kit.clock import rfc3339
from paywarden.kit.money import display


class PaymentObject(TypedDict):
    """One payment as it stands. ``payment`` is the charge that a refund returns.

    ``missing_facts`` are named while it waits for them, until ``facts_until``.
    """

    object: Literal["payment"]
    id: str
    kind: str
    status: str
    amount_minor: int
    currency: str
    display: str
    customer: str | None
    payee: str | None
    agent: str
    mandate: str | None
    purpose: str | None
    reference: str | None
    payment: str | None
    oversight: str | None
    decided_by: list[str]
    reason: str | None
    missing_facts: list[str]
    facts_until: str | None
    provider: str | None
    provider_payment_id: str | None
    captured_minor: int
    refunded_minor: int
    refundable_minor: int
    late: bool
    expires_at: str | None
    created_at: str
    updated_at: str


class PaymentCheckObject(TypedDict):
    """A dry run: what would become of a request, and what decides it. Nothing was stored."""

    object: Literal["payment_check"]
    status: str
    advice_needed: bool
    oversight: str | None
    decided_by: list[str]
    reason: str | None
    policy_version: str


def payment_object(payment: Payment) -> PaymentObject:
    """A payment as ``/v1`` shows it."""
    return {
        "object": "payment",
        "id": payment.public_id,
        "kind": payment.kind,
        "status": payment.status.value,
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "display": display(payment.amount_minor, payment.currency),
        "customer": payment.customer_id,
        "payee": payment.payee,
        "agent": payment.agent_id,
        "mandate": public_id("mdt", payment.mandate_id),
        "purpose": payment.purpose,
        "reference": payment.reference,
        "payment": public_id("pay", payment.original_payment_id),
        "oversight": payment.oversight,
        "decided_by": payment.decided_by,
        "reason": payment.reason,
        "missing_facts": payment.missing_facts,
        "facts_until": instant(payment.facts_until),
        "provider": payment.provider,
        "provider_payment_id": payment.provider_payment_id,
        "captured_minor": payment.captured_minor,
        "refunded_minor": payment.refunded_minor,
        "refundable_minor": payment.refundable_minor,
        "late": payment.late,
        "expires_at": instant(payment.expires_at),
        "created_at": rfc3339(payment.created_at),
        "updated_at": rfc3339(payment.updated_at),
    }


def payment_check_object(found: dict[str, Any]) -> PaymentCheckObject:
    """What a dry run found."""
    return {
        "object": "payment_check",
        "status": found["status"],
        "advice_needed": found["advice_needed"],
        "oversight": found["oversight"],
        "decided_by": found["decided_by"],
        "reason": found["reason"],
        "policy_version": found["policy_version"],
    }
