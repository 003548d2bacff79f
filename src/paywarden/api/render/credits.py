"""What customers were given to use, and what is left of it."""

from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

from typing_extensions import TypedDict

from paywarden.flow.words import Balance, Funding, Reversal, TopUp
from paywarden.kit.clock import rfc3339
from paywarden.kit.money import display


class ReversalObject(TypedDict):
    """That ``principal`` took a top-up back, whole."""

    principal: str
    reason: str
    created_at: str


class TopUpObject(TypedDict):
    """Credit that a customer was given by ``principal``; ``reversal`` is null while it stands."""

    object: Literal["credit_top_up"]
    id: str
    principal: str
    customer: str
    funding: Funding
    amount_minor: int
    currency: str
    display: str
    reference: str | None
    reason: str | None
    created_at: str
    reversal: ReversalObject | None


class BalanceObject(TypedDict):
    """Credit of one kind in one currency: what is there, what is held of it, what may still be held."""

    funding: Funding
    currency: str
    balance_minor: int
    held_minor: int
    available_minor: int
    available: str
    blocked: bool


class CreditObject(TypedDict):
    """All credit of a customer."""

    object: Literal["credit"]
    customer: str
    balances: list[BalanceObject]


def top_up_object(made: TopUp, principals: Mapping[UUID, str]) -> TopUpObject:
    """A top-up; ``principals`` has the public ids of the tenant's."""
    return {
        "object": "credit_top_up",
        "id": made.public_id,
        "principal": principals[made.principal_id],
        "customer": made.customer_id,
        "funding": made.funding,
        "amount_minor": made.amount_minor,
        "currency": made.currency,
        "display": made.display,
        "reference": made.reference,
        "reason": made.reason,
        "created_at": rfc3339(made.created_at),
        "reversal": None if made.reversal is None else _reversal_object(made.reversal, principals),
    }


def _reversal_object(reversal: Reversal, principals: Mapping[UUID, str]) -> ReversalObject:
    return {
        "principal": principals[reversal.principal_id],
        "reason": reversal.reason,
        "created_at": rfc3339(reversal.created_at),
    }


def credit_object(customer_id: str, balances: Sequence[Balance]) -> CreditObject:
    """What a customer may still use."""
    return {"object": "credit", "customer": customer_id, "balances": [_balance_object(each) for each in balances]}


def _balance_object(balance: Balance) -> BalanceObject:
    return {
        "funding": balance.funding,
        "currency": balance.currency,
        "balance_minor": balance.balance_minor,
        "held_minor": balance.held_minor,
        "available_minor": balance.available_minor,
        "available": display(balance.available_minor, balance.currency),
        "blocked": balance.blocked,
    }
