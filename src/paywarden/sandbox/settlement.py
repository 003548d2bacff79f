"""When and how a movement of the book ends, what tells of it, and what a fault makes of it."""

import sqlite3
from typing import Any

from paywarden.sandbox.book import Transaction
from paywarden.sandbox.faults import Fault, Struck
from paywarden.sandbox.outbox import announce
from paywarden.sandbox.refusals import RefusedError


def refuse_if_struck(struck: Struck | None) -> None:
    """Raises RefusedError when a fault refuses the request."""
    if struck and struck.fault is Fault.DECLINE:
        raise RefusedError(402, "card_declined", "the payment was declined")
    if struck and struck.fault is Fault.INVALID:
        raise RefusedError(422, "invalid_request", "the request was refused")


def outcome(struck: Struck | None) -> str:
    """What the movement will have come to when it settles."""
    return "failed" if struck and struck.fault is Fault.FAIL_LATER else "succeeded"


def settles_at(transaction: Transaction, struck: Struck | None) -> int:
    """The instant of the end, in milliseconds of the sandbox's clock."""
    seconds = transaction.settings.webhook_delay_seconds
    if struck and struck.fault in (Fault.FAIL_LATER, Fault.DUPLICATE_WEBHOOK) and struck.seconds is not None:
        seconds = struck.seconds
    return transaction.now_ms + int(seconds * 1000)


def hidden_until(transaction: Transaction, struck: Struck | None) -> int:
    """Until when look-ups do not find it; 0 for never hidden."""
    if struck is None or struck.fault is not Fault.NOT_FOUND_FOR or struck.seconds is None:
        return 0
    return transaction.now_ms + int(struck.seconds * 1000)


def status(transaction: Transaction, row: sqlite3.Row) -> str:
    """Pending until it settles, then its outcome."""
    return "pending" if row["settles_at"] > transaction.now_ms else str(row["outcome"])


def tell(transaction: Transaction, kind: str, view: dict[str, Any], row: sqlite3.Row, struck: Struck | None) -> None:
    """Announce the end of a movement for the instant it settles, unless a fault keeps it quiet."""
    if struck and struck.fault is Fault.NO_WEBHOOK:
        return
    named = {name: view[name] for name in ("id", "amount", "currency", "metadata")}
    copies = 1 + transaction.settings.duplicate_webhooks + bool(struck and struck.fault is Fault.DUPLICATE_WEBHOOK)
    event_type = f"{kind}.{row['outcome']}"
    announce(transaction, event_type, {**named, "status": row["outcome"]}, row["settles_at"], copies)
