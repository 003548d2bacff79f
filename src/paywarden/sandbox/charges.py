"""Payments and refunds in the book: what is charged, what it looks like at an instant, and what may be given back."""

import json
import sqlite3
from typing import Any

from paywarden.sandbox import settlement
from paywarden.sandbox.book import Transaction, instant, new_id
from paywarden.sandbox.faults import Struck
from paywarden.sandbox.refusals import PaymentAsk, RefundAsk, RefusedError


def create_payment(transaction: Transaction, ask: PaymentAsk, struck: Struck | None) -> dict[str, Any]:
    """Charge, or prepare to when it is not to be confirmed yet. Raises RefusedError when a fault refuses it."""
    settlement.refuse_if_struck(struck)
    payment_id = new_id("pay")
    transaction.run(
        "INSERT INTO payments (id, amount, currency, customer_id, description, metadata, reference, outcome,"
        " created_at, hidden_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        payment_id,
        ask.amount,
        ask.currency,
        ask.customer_id,
        ask.description,
        json.dumps(ask.metadata),
        ask.reference,
        settlement.outcome(struck),
        transaction.now_ms,
        settlement.hidden_until(transaction, struck),
    )
    if ask.confirm:
        _charge(transaction, payment_id, struck)
    return payment_view(transaction, _payment(transaction, payment_id))


def confirm_payment(transaction: Transaction, payment_id: str, struck: Struck | None) -> dict[str, Any]:
    """Charge a prepared payment; one that is already confirmed stays as it is. Raises RefusedError 404."""
    row = _payment(transaction, payment_id)
    settlement.refuse_if_struck(struck)
    if row["settles_at"] is None:
        if settlement.outcome(struck) == "failed":
            transaction.run("UPDATE payments SET outcome = 'failed' WHERE id = ?", payment_id)
        if hidden_until := settlement.hidden_until(transaction, struck):
            transaction.run("UPDATE payments SET hidden_until = ? WHERE id = ?", hidden_until, payment_id)
        _charge(transaction, payment_id, struck)
    return payment_view(transaction, _payment(transaction, payment_id))


def create_refund(transaction: Transaction, payment_id: str, ask: RefundAsk, struck: Struck | None) -> dict[str, Any]:
    """Give back at most what was captured and not yet refunded. Raises RefusedError 400 or 404."""
    payment = _payment(transaction, payment_id)
    settlement.refuse_if_struck(struck)
    if ask.amount > _refundable(transaction, payment):
        raise RefusedError(400, "refund_too_large", "a refund may not exceed what was captured and not yet refunded")
    refund_id = new_id("ref")
    settles_at = settlement.settles_at(transaction, struck)
    transaction.run(
        "INSERT INTO refunds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        refund_id,
        payment_id,
        ask.amount,
        json.dumps(ask.metadata),
        ask.reference,
        settlement.outcome(struck),
        transaction.now_ms,
        settles_at,
        settlement.hidden_until(transaction, struck),
    )
    row = _refund(transaction, refund_id)
    settlement.tell(transaction, "refund", refund_view(transaction, row), row, struck)
    return refund_view(transaction, row)


def payment_view(transaction: Transaction, row: sqlite3.Row) -> dict[str, Any]:
    """A payment as the API shows it at the transaction's instant."""
    status = "requires_confirmation" if row["settles_at"] is None else settlement.status(transaction, row)
    return {
        "id": row["id"],
        "status": status,
        "amount": row["amount"],
        "amount_cents": row["amount"],
        "currency": row["currency"],
        "customer_id": row["customer_id"],
        "description": row["description"],
        "metadata": json.loads(row["metadata"]),
        "created": instant(row["created_at"]),
    }


def refund_view(transaction: Transaction, row: sqlite3.Row) -> dict[str, Any]:
    """A refund as the API shows it; its currency is the payment's."""
    return {
        "id": row["id"],
        "status": settlement.status(transaction, row),
        "amount": row["amount"],
        "amount_cents": row["amount"],
        "currency": _payment(transaction, row["payment_id"])["currency"],
        "payment_id": row["payment_id"],
        "metadata": json.loads(row["metadata"]),
        "created": instant(row["created_at"]),
    }


def find_payment(transaction: Transaction, payment_id: str) -> sqlite3.Row | None:
    return transaction.one("SELECT * FROM payments WHERE id = ?", payment_id)


def find_refund(transaction: Transaction, refund_id: str) -> sqlite3.Row | None:
    return transaction.one("SELECT * FROM refunds WHERE id = ?", refund_id)


def _payment(transaction: Transaction, payment_id: str) -> sqlite3.Row:
    row = find_payment(transaction, payment_id)
    if row is None:
        raise RefusedError(404, "not_found", "no such payment")
    return row


def _refund(transaction: Transaction, refund_id: str) -> sqlite3.Row:
    row = find_refund(transaction, refund_id)
    if row is None:
        raise RefusedError(404, "not_found", "no such refund")
    return row


def _charge(transaction: Transaction, payment_id: str, struck: Struck | None) -> None:
    settles_at = settlement.settles_at(transaction, struck)
    transaction.run("UPDATE payments SET settles_at = ? WHERE id = ?", settles_at, payment_id)
    row = _payment(transaction, payment_id)
    settlement.tell(transaction, "payment", payment_view(transaction, row), row, struck)


def _refundable(transaction: Transaction, payment: sqlite3.Row) -> int:
    if payment["settles_at"] is None or settlement.status(transaction, payment) != "succeeded":
        return 0
    taken = transaction.one(
        "SELECT coalesce(sum(amount), 0) AS total FROM refunds"
        " WHERE payment_id = ? AND (outcome = 'succeeded' OR settles_at > ?)",
        payment["id"],
        transaction.now_ms,
    )
    return int(payment["amount"]) - (int(taken["total"]) if taken else 0)
