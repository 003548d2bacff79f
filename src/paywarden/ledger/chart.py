"""The chart of accounts: every account there can be, with its book, normal side and floor.

Source: docs/decisions/0002-chart-of-accounts.md.
"""

from functools import cache, lru_cache
from typing import Literal
from uuid import UUID

from msgspec import Struct

from paywarden.kit import ids, money

Book = Literal["money", "credit", "authority"]
Side = Literal["debit", "credit"]


class AccountRef(Struct, frozen=True, cache_hash=True):
    """An account by its key. ``floor`` binds requests, in minor units of the asset; None: may go any way."""

    book: Book
    asset: str
    code: str
    normal: Side
    floor: int | None = None


def provider_clearing(provider: str, account: str, currency: str) -> AccountRef:
    """What the provider owes us."""
    return AccountRef("money", money.asset(currency), f"provider_clearing/{provider}/{account}", "debit", 0)


@cache
def revenue(currency: str) -> AccountRef:
    """What was earned."""
    return AccountRef("money", money.asset(currency), "revenue", "credit")


def expense(purpose: str, currency: str) -> AccountRef:
    """What was paid out, by purpose."""
    return AccountRef("money", money.asset(currency), f"expense/{purpose}", "debit")


@cache
def authority_source(currency: str) -> AccountRef:
    """Where permission comes from: the counterpart of every granted window."""
    return AccountRef("authority", money.asset(currency), "authority_source", "debit")


@lru_cache(maxsize=1024)
def authority_window(mandate_id: UUID, window_key: str, currency: str) -> AccountRef:
    """What a mandate may still spend in one window."""
    code = f"authority/{ids.to_text('mdt', mandate_id)}/{window_key}"
    return AccountRef("authority", money.asset(currency), code, "credit", 0)


@lru_cache(maxsize=1024)
def authority_spent(mandate_id: UUID, currency: str) -> AccountRef:
    """What a mandate has spent, over all windows."""
    code = f"authority_spent/{ids.to_text('mdt', mandate_id)}"
    return AccountRef("authority", money.asset(currency), code, "credit")


def customer_credit(customer_id: str, currency: str) -> AccountRef:
    """What a customer has prepaid and not used: book money."""
    return AccountRef("money", money.asset(currency), f"customer_credit/{customer_id}", "credit", 0)


def bank(account: str, currency: str) -> AccountRef:
    """What is on a bank account of ours."""
    return AccountRef("money", money.asset(currency), f"bank/{account}", "debit")


@cache
def credit_source(currency: str) -> AccountRef:
    """Where granted credit comes from: no cash."""
    return AccountRef("credit", money.asset(currency), "credit_source", "debit")


def granted_credit(customer_id: str, currency: str) -> AccountRef:
    """What a customer was granted and has not used: no cash."""
    return AccountRef("credit", money.asset(currency), f"credit/{customer_id}", "credit", 0)


def accounts_of_customer(customer_id: str) -> list[tuple[Book, str]]:
    """By (book, code) what a customer may use, prepaid and granted, in whatever currency."""
    # An account's code is the same in every currency.
    accounts = (customer_credit(customer_id, "usd"), granted_credit(customer_id, "usd"))
    return [(account.book, account.code) for account in accounts]


def credit_spent(customer_id: str, currency: str) -> AccountRef:
    """What a customer has used of what was granted."""
    return AccountRef("credit", money.asset(currency), f"credit_spent/{customer_id}", "credit")
