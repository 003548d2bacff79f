"""The ledger and what reconciliation finds of it."""

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict

from paywarden.api.render.values import display_asset, plain, public_id
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339
from paywarden.kit.money import display


class AccountObject(TypedDict):
    """A ledger account. Balance, held and floor run in its normal direction."""

    object: Literal["account"]
    id: str
    book: str
    asset: str
    code: str
    normal: str
    balance_minor: int
    held_minor: int
    floor_minor: int | None
    display: str
    blocked: bool


class TransferObject(TypedDict):
    """What moved from one account to another."""

    object: Literal["transfer"]
    id: str
    book: str
    asset: str
    debit: str
    credit: str
    amount_minor: int
    display: str
    late: bool
    payment: str | None
    hold: str | None
    at: str


class TrialBalanceObject(TypedDict):
    """Debits and credits of one book and asset; the difference is zero."""

    object: Literal["trial_balance"]
    book: str
    asset: str
    accounts: int
    debits_minor: int
    credits_minor: int
    difference_minor: int


class ReconciliationObject(TypedDict):
    """The provider's book against the ledger, by currency, for a period."""

    object: Literal["reconciliation_run"]
    since: str
    until: str
    has_statement: bool
    matched: int
    books: list[dict[str, Any]]
    findings: list[dict[str, Any]]


class PaymentReconciliationObject(TypedDict):
    """One payment at the provider, here and in the ledger, after the provider was asked."""

    object: Literal["payment_reconciliation"]
    payment: str
    status: str
    provider_payment_id: str | None
    transfers: int
    discrepancies: list[dict[str, Any]]


class DiscrepancyObject(TypedDict):
    """A difference that waits for somebody. ``display`` is the payment's amount; ``detail`` depends on ``kind``."""

    object: Literal["discrepancy"]
    id: str
    kind: str
    status: str
    subject: str
    payment: str | None
    display: str | None
    detail: dict[str, Any]
    created_at: str
    resolved_at: str | None


def account_object(row: Mapping[str, Any]) -> AccountObject:
    """An account's row."""
    return {
        "object": "account",
        "id": ids.to_text("acc", row["id"]),
        "book": row["book"],
        "asset": row["asset"],
        "code": row["code"],
        "normal": row["normal"],
        "balance_minor": int(row["balance"]),
        "held_minor": int(row["held"]),
        "floor_minor": None if row["floor"] is None else int(row["floor"]),
        "display": display_asset(int(row["balance"]), row["asset"]),
        "blocked": row["blocked"],
    }


def transfer_object(row: Mapping[str, Any]) -> TransferObject:
    """A transfer's row."""
    return {
        "object": "transfer",
        "id": ids.to_text("tr", row["id"]),
        "book": row["book"],
        "asset": row["asset"],
        "debit": row["debit"],
        "credit": row["credit"],
        "amount_minor": row["amount_minor"],
        "display": display_asset(row["amount_minor"], row["asset"]),
        "late": row["late"],
        "payment": public_id("pay", row["payment_id"]),
        "hold": public_id("hold", row["hold_id"]),
        "at": rfc3339(row["event_at"] or row["created_at"]),
    }


def trial_balance_object(row: Mapping[str, Any]) -> TrialBalanceObject:
    """One line of the trial balance."""
    return {
        "object": "trial_balance",
        "book": row["book"],
        "asset": row["asset"],
        "accounts": row["accounts"],
        "debits_minor": int(row["debit_minor"]),
        "credits_minor": int(row["credit_minor"]),
        "difference_minor": int(row["difference_minor"]),
    }


def reconciliation_object(report: Mapping[str, Any]) -> ReconciliationObject:
    """What a run found."""
    return {
        "object": "reconciliation_run",
        "since": rfc3339(report["since"]),
        "until": rfc3339(report["until"]),
        "has_statement": report["has_statement"],
        "matched": report["matched"],
        "books": report["books"],
        "findings": report["findings"],
    }


def payment_reconciliation_object(found: Mapping[str, Any]) -> PaymentReconciliationObject:
    """What all sides have of one payment."""
    return {
        "object": "payment_reconciliation",
        "payment": found["payment"],
        "status": found["status"],
        "provider_payment_id": found["provider_payment_id"],
        "transfers": found["transfers"],
        "discrepancies": found["discrepancies"],
    }


def discrepancy_object(row: Mapping[str, Any]) -> DiscrepancyObject:
    """A discrepancy's row."""
    return {
        "object": "discrepancy",
        "id": ids.to_text("dis", row["id"]),
        "kind": row["kind"],
        "status": row["status"],
        "subject": row["subject"],
        "payment": public_id("pay", row["payment_id"]),
        "display": None if row["payment_id"] is None else display(row["amount_minor"], row["currency"]),
        "detail": plain(row["detail"]),
        "created_at": rfc3339(row["created_at"]),
        "resolved_at": None if row["resolved_at"] is None else rfc3339(row["resolved_at"]),
    }
