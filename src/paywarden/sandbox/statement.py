"""The provider's statement: every settled movement of a period, oldest first, in pages."""

from typing import Any

from paywarden.sandbox.book import Transaction, instant

PAGE_LINES = 100
# sort_key is the cursor: the instant with leading zeros, then the id, so that text order is the order of the lines.
_LINES = """
SELECT * FROM (
    SELECT printf('%015d', settles_at) || id AS sort_key, 'charge' AS type, id, amount, currency, reference, settles_at
    FROM payments WHERE outcome = 'succeeded' AND settles_at >= :since AND settles_at < :until
    UNION ALL
    SELECT printf('%015d', r.settles_at) || r.id, 'refund', r.id, -r.amount, p.currency, r.reference, r.settles_at
    FROM refunds r JOIN payments p ON p.id = r.payment_id
    WHERE r.outcome = 'succeeded' AND r.settles_at >= :since AND r.settles_at < :until
    UNION ALL
    SELECT printf('%015d', settles_at) || id, 'payout', id, -amount, currency, reference, settles_at
    FROM payouts WHERE outcome = 'succeeded' AND settles_at >= :since AND settles_at < :until
) WHERE sort_key > :after ORDER BY sort_key LIMIT :limit
"""


def statement_page(
    transaction: Transaction, since: int, until: int, after: str
) -> tuple[list[dict[str, Any]], str | None]:
    """Up to 100 lines settled in [since, until) and not in the future, after the cursor; and the next cursor."""
    values = {
        "since": since,
        "until": min(until, transaction.now_ms + 1),
        "after": after,
        "limit": PAGE_LINES + 1,
    }
    rows = transaction.connection.execute(_LINES, values).fetchall()
    lines = [
        {
            "id": f"sbxline_{row['id']}",
            "type": row["type"],
            "source": row["id"],
            "amount": row["amount"],
            "currency": row["currency"],
            "metadata": {"internal_payment_id": row["reference"]} if row["reference"] else {},
            "created": instant(row["settles_at"]),
        }
        for row in rows[:PAGE_LINES]
    ]
    return lines, rows[PAGE_LINES - 1]["sort_key"] if len(rows) > PAGE_LINES else None
