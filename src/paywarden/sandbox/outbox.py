"""Events to tell: written in the transaction of the money they speak of, delivered until the receiver says 2xx."""

import json
import random
import sqlite3
from collections.abc import Sequence
from typing import Any

from paywarden.sandbox.book import Transaction, instant, new_id

FIRST_RETRY_MS = 500
LONGEST_RETRY_MS = 10_000
_SHUFFLE_SPREAD_MS = 1_000
_chance = random.SystemRandom()


def announce(transaction: Transaction, event_type: str, data: dict[str, Any], due_at: int, copies: int) -> None:
    """Store an event and its deliveries. Shuffling spreads the deliveries over a second, whatever their order was."""
    event_id = new_id("evt")
    body = {"id": event_id, "type": event_type, "created": instant(due_at), "data": data}
    reference = data["metadata"].get("internal_payment_id")
    transaction.run("INSERT INTO events VALUES (?, ?, ?, ?)", event_id, reference, json.dumps(body), due_at)
    for _ in range(copies):
        later_ms = _chance.randrange(_SHUFFLE_SPREAD_MS) if transaction.settings.shuffle_webhooks else 0
        transaction.run("INSERT INTO deliveries (event_id, next_at) VALUES (?, ?)", event_id, due_at + later_ms)


def due_deliveries(transaction: Transaction, limit: int) -> list[sqlite3.Row]:
    """The deliveries to attempt now, the longest due first, each with its body."""
    return transaction.all(
        "SELECT d.id, e.body FROM deliveries d JOIN events e ON e.id = d.event_id"
        " WHERE d.delivered_at IS NULL AND d.next_at <= ? ORDER BY d.next_at, d.id LIMIT ?",
        transaction.now_ms,
        limit,
    )


def seconds_to_next(transaction: Transaction) -> float | None:
    """How long until a delivery is due, never below zero; None while there is none to come."""
    row = transaction.one("SELECT min(next_at) AS next_at FROM deliveries WHERE delivered_at IS NULL")
    if row is None or row["next_at"] is None:
        return None
    return max(0.0, (int(row["next_at"]) - transaction.now_ms) / 1000)


def record_attempts(transaction: Transaction, delivered: Sequence[int], refused: Sequence[int]) -> None:
    """Close what the receiver took; put off the rest by half a second, doubling up to ten."""
    for delivery_id in delivered:
        transaction.run(
            "UPDATE deliveries SET delivered_at = ?, attempts = attempts + 1 WHERE id = ?",
            transaction.now_ms,
            delivery_id,
        )
    for delivery_id in refused:
        transaction.run(
            "UPDATE deliveries SET next_at = ? + min(?, ? << min(attempts, 10)), attempts = attempts + 1 WHERE id = ?",
            transaction.now_ms,
            LONGEST_RETRY_MS,
            FIRST_RETRY_MS,
            delivery_id,
        )


def resend(transaction: Transaction, reference: str | None) -> int:
    """Deliver again, now, every event that was already due, or those of one reference; returns how many."""
    cursor = transaction.connection.execute(
        "INSERT INTO deliveries (event_id, next_at) SELECT id, :now FROM events"
        " WHERE due_at <= :now AND (:reference IS NULL OR reference = :reference)",
        {"now": transaction.now_ms, "reference": reference},
    )
    return cursor.rowcount


def undelivered(transaction: Transaction) -> int:
    """How many deliveries are still to come."""
    row = transaction.one("SELECT count(*) AS n FROM deliveries WHERE delivered_at IS NULL")
    return int(row["n"]) if row else 0
