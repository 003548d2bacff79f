"""Payments: ask for one, follow it, answer what it waits for."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from paywarden.client import objects
from paywarden.client.calls.sending import at, get, pay, post
from paywarden.client.conversation import Conversation, converse
from paywarden.client.objects import Page


def charge(
    amount_minor: int,
    currency: str,
    customer: str,
    *,
    purpose: str,
    reference: str | None = None,
    mandate: str | None = None,
    confirm: bool = True,
    idempotency_key: str | None = None,
    wait: bool = True,
) -> Conversation[objects.Payment]:
    """Ask to charge a customer. Taken or held for a person is an answer; denied or declined is a PaywardenApiError.

    With ``confirm`` false the provider completes it only after ``confirm_payment``. Without ``wait`` the answer comes
    when the charge is stored and, as far as its rules alone say, decided: ``reserved``, say. A worker sends it then.
    """
    return converse(
        pay(
            "/v1/payments",
            idempotency_key,
            wait=wait,
            kind="charge",
            amount_minor=amount_minor,
            currency=currency,
            customer=customer,
            purpose=purpose,
            reference=reference,
            mandate=mandate,
            confirm=None if confirm else False,
        )
    )


def refund(
    payment: str,
    amount_minor: int,
    currency: str,
    *,
    request: str | None = None,
    purpose: str | None = None,
    reference: str | None = None,
    mandate: str | None = None,
    idempotency_key: str | None = None,
    wait: bool = True,
) -> Conversation[objects.Payment]:
    """Ask to give back part or all of a charge. ``request`` is what the customer wrote; an adviser reads it.

    ``wait`` is as for ``charge``.
    """
    return converse(
        pay(
            at("payments", payment, "refund"),
            idempotency_key,
            wait=wait,
            amount_minor=amount_minor,
            currency=currency,
            request=request,
            purpose=purpose,
            reference=reference,
            mandate=mandate,
        )
    )


def payout(
    payee: str,
    amount_minor: int,
    currency: str,
    *,
    purpose: str,
    customer: str | None = None,
    request: str | None = None,
    reference: str | None = None,
    mandate: str | None = None,
    idempotency_key: str | None = None,
    wait: bool = True,
) -> Conversation[objects.Payment]:
    """Ask to pay somebody from what the provider holds for us: a claim, a supplier. A person approves it first.

    ``customer`` is whose case it is: evidence is recalled about that customer. ``wait`` is as for ``charge``.
    """
    return converse(
        pay(
            "/v1/payments",
            idempotency_key,
            wait=wait,
            kind="payout",
            amount_minor=amount_minor,
            currency=currency,
            purpose=purpose,
            payee=payee,
            customer=customer,
            request=request,
            reference=reference,
            mandate=mandate,
        )
    )


def check_payment(
    kind: Literal["charge", "refund", "payout"],
    amount_minor: int,
    currency: str,
    *,
    customer: str | None = None,
    payee: str | None = None,
    payment: str | None = None,
    purpose: str | None = None,
    reference: str | None = None,
) -> Conversation[objects.PaymentCheck]:
    """Dry run: would this be allowed, and at which oversight? Nothing is stored."""
    return converse(
        post(
            "/v1/payments:check",
            kind=kind,
            amount_minor=amount_minor,
            currency=currency,
            customer=customer,
            payee=payee,
            payment=payment,
            purpose=purpose,
            reference=reference,
        )
    )


def get_payment(payment: str, *, wait_seconds: int | None = None) -> Conversation[objects.Payment]:
    """A payment as it stands; with ``wait_seconds`` (at most 30) when it has ended, or after that time."""
    return converse(get(at("payments", payment), wait_seconds=wait_seconds))


def list_payments(
    *,
    status: str | None = None,
    kind: Literal["charge", "refund", "payout"] | None = None,
    customer: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Conversation[Page[objects.Payment]]:
    """Payments, newest first."""
    return converse(get("/v1/payments", status=status, kind=kind, customer=customer, limit=limit, cursor=cursor))


def get_dossier(payment: str) -> Conversation[objects.Dossier]:
    """The whole story of a payment."""
    return converse(get(at("payments", payment, "dossier")))


def confirm_payment(payment: str, *, idempotency_key: str | None = None) -> Conversation[objects.Payment]:
    """Let the provider complete a payment that waits for it."""
    return converse(pay(at("payments", payment, "confirm"), idempotency_key))


def cancel_payment(payment: str, *, idempotency_key: str | None = None) -> Conversation[objects.Payment]:
    """Cancel what was not sent yet."""
    return converse(pay(at("payments", payment, "cancel"), idempotency_key))


def give_facts(
    payment: str, facts: Sequence[str | Mapping[str, Any]], *, idempotency_key: str | None = None
) -> Conversation[objects.Payment]:
    """Give a payment in ``needs_facts`` what its ``missing_facts`` ask for, all at once; it is decided anew.

    Each is a text, or ``content`` with ``trust``, ``source``, ``invoice``, ``case``, ``facts`` as in ``add_note``. For
    whoever asked for the payment, and for administrators.
    """
    given = [{"content": fact} if isinstance(fact, str) else dict(fact) for fact in facts]
    return converse(pay(at("payments", payment, "facts"), idempotency_key, facts=given))


def attest_payment(
    payment: str,
    outcome: Literal["succeeded", "failed"],
    reference: str,
    *,
    provider_payment_id: str | None = None,
    reason: str | None = None,
) -> Conversation[objects.Attestation]:
    """Say what became of a payment of unknown outcome; with a second person who agrees it is settled so."""
    return converse(
        post(
            at("payments", payment, "attestations"),
            outcome=outcome,
            reference=reference,
            provider_payment_id=provider_payment_id,
            reason=reason,
        )
    )
