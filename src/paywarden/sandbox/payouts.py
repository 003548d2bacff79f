"""Payouts in the book: money that leaves for a payee, at most what charges brought in and nothing has taken since."""

import json
import sqlite3
from typing import Any

from paywarden.sandbox import settlement
from paywarden.sandbox.book import Transaction, instant, new_id
from paywarden.sandbox.faults import Struck
from paywarden.sandbox.refusals import PayoutAsk, RefusedError

_BALANCE = """
SELECT coalesce((SELECT sum(amount) FROM payments
                 WHERE currency = :currency AND outcome = 'succeeded' AND settles_at <= :now), 0)
     - coalesce((SELECT sum(r.amount) FROM refunds r JOIN payments p ON p.id = r.payment_id
                 WHERE p.currency = :currency AND (r.outcome = 'succeeded' OR r.settles_at > :now)), 0)
     - coalesce((SELECT sum(amount) FROM payouts
                 WHERE currency = :currency AND (outcome = 'succeeded' OR settles_at > :now)), 0)
"""


def create_payout(transaction: Transaction, ask: PayoutAsk, struck: Struck | None) -> dict[str, Any]:
    """Pay out. Raises RefusedError 402 when the balance is short, or when a fault refuses it."""
    settlement.refuse_if_struck(struck)
    if ask.amount > balance(transaction, ask.currency):
        raise RefusedError(402, "insufficient_funds", "the balance does not cover this payout")
    payout_id = new_id("po")
    transaction.run(
        "INSERT INTO payouts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        payout_id,
        ask.amount,
        ask.currency,
        ask.payee,
        ask.description,
        json.dumps(ask.metadata),
        ask.reference,
        settlement.outcome(struck),
        transaction.now_ms,
        settlement.settles_at(transaction, struck),
        settlement.hidden_until(transaction, struck),
    )
    row = find_payout(transaction, payout_id)
    assert row is not None  # noqa: S101  it was inserted in this transaction
    view = payout_view(transaction, row)
    settlement.tell(transaction, "payout", view, row, struck)
    return view


def balance(transaction: Transaction, currency: str) -> int:
    """What may be paid out: settled charges, less refunds and payouts that succeeded or still may."""
    values = {"currency": currency, "now": transaction.now_ms}
    return int(transaction.connection.execute(_BALANCE, values).fetchone()[0])


def payout_view(transaction: Transaction, row: sqlite3.Row) -> dict[str, Any]:
    """A payout as the API shows it at the transaction's instant."""
    return {
        "id": row["id"],
        "status": settlement.status(transaction, row),
        "amount": row["amount"],
        "amount_cents": row["amount"],
        "currency": row["currency"],
        "payee": row["payee"],
        "description": row["description"],
        "metadata": json.loads(row["metadata"]),
        "created": instant(row["created_at"]),
    }


def find_payout(transaction: Transaction, payout_id: str) -> sqlite3.Row | None:
    return transaction.one("SELECT * FROM payouts WHERE id = ?", payout_id)
