"""Customers' credit."""

from typing import Literal
from urllib.parse import quote

from paywarden.client import objects
from paywarden.client.calls.sending import get, pay
from paywarden.client.conversation import Conversation, converse
from paywarden.client.objects import Page
from paywarden.client.usage import checked_id


def top_up_credit(
    customer: str,
    amount_minor: int,
    currency: str,
    *,
    funding: Literal["prepaid", "granted"] = "prepaid",
    reference: str | None = None,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Conversation[objects.CreditTopUp]:
    """Give a customer credit: ``granted``, or ``prepaid`` in cash, whose ``reference`` says where to look it up.

    For the roles ``settle`` and ``administer``.
    """
    return converse(
        pay(
            "/v1/credits/top-ups",
            idempotency_key,
            customer=customer,
            amount_minor=amount_minor,
            currency=currency,
            funding=funding,
            reference=reference,
            reason=reason,
        )
    )


def reverse_top_up(
    top_up: str, *, reason: str, idempotency_key: str | None = None
) -> Conversation[objects.CreditTopUp]:
    """Take a wrong top-up back, whole and once, from what the customer has left that is not held.

    For the roles ``settle`` and ``administer``. Less than that is ``insufficient`` (403) with ``available_minor``.
    """
    path = f"/v1/credits/top-ups/{quote(checked_id('top_up', top_up), safe='')}/reverse"
    return converse(pay(path, idempotency_key, reason=reason))


def list_top_ups(
    *, customer: str | None = None, limit: int = 20, cursor: str | None = None
) -> Conversation[Page[objects.CreditTopUp]]:
    """Top-ups of credit, newest first; ``principal`` is who made them, ``reversal`` whether they were taken back."""
    return converse(get("/v1/credits/top-ups", customer=customer, limit=limit, cursor=cursor))


def get_credit(customer: str) -> Conversation[objects.Credit]:
    """What a customer may still use."""
    return converse(get(f"/v1/credits/{quote(checked_id('customer', customer), safe='')}"))
