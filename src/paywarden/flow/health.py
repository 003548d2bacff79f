"""Whether this process can do its work, and what an operator wants on a graph."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from paywarden.db.revisions import is_current
from paywarden.db.sql import load
from paywarden.db.transaction import system_transaction
from paywarden.flow.desk import Connection, Desk, Pool
from paywarden.kit.errors import OverloadedError
from paywarden.kit.states import FINAL, Status
from paywarden.payments import queue

SQL = load(__package__)
_KEPT_SECONDS = 5.0
_UNFINISHED = sorted(status.value for status in Status if status not in FINAL)


@dataclass(frozen=True, slots=True)
class Figure:
    """A present value, or one for each word of ``label``; ``says`` tells the operator what it is and when to worry."""

    says: str
    value: float = 0.0
    label: str | None = None
    by_label: Mapping[str, float] = field(default_factory=dict)


_kept: WeakKeyDictionary[Pool, tuple[float, dict[str, Figure]]] = WeakKeyDictionary()


async def ready(desk: Desk) -> dict[str, Any]:
    """Raises OverloadedError when the database is not reachable, or not at this program's revision."""
    async with system_transaction(desk.pool) as connection:
        if not await is_current(connection):
            raise OverloadedError("The database is at another revision; migrate it.", retry_after_seconds=5)
        backlog = await queue.backlog(connection)
    return {"database": "ok", "due_payments": backlog["due"]}


async def gauges(desk: Desk) -> dict[str, Figure]:
    """Present values by metric name, at most five seconds old: scraping often costs the database nothing."""
    taken_at, kept = _kept.get(desk.pool, (float("-inf"), {}))
    if time.monotonic() - taken_at < _KEPT_SECONDS:
        return kept
    async with system_transaction(desk.pool) as connection:
        figures = {
            **await _of_payments(connection),
            **await _of_holds(connection),
            **await _of_people(connection),
            "paywarden_pool_waiting": Figure(
                "Requests of this process that wait for a database connection. Worry when it stays above 0:"
                " the pool is too small or the database too slow.",
                float(desk.pool.get_stats().get("requests_waiting", 0)),
            ),
        }
    _kept[desk.pool] = time.monotonic(), figures
    return figures


async def _of_payments(connection: Connection) -> dict[str, Figure]:
    backlog = await queue.backlog(connection)
    rows = await (await connection.execute(SQL.unfinished_payments)).fetchall()
    by_status = dict.fromkeys(_UNFINISHED, 0.0) | {row["status"]: float(row["payments"]) for row in rows}
    return {
        "paywarden_due_payments": Figure(
            "Payments whose next step is due and not yet taken, all tenants. Worry when it grows: no worker keeps up.",
            float(backlog["due"]),
        ),
        "paywarden_oldest_due_seconds": Figure(
            "Age in seconds of the oldest due step. Worry above 60: the workers are down or the provider is slow.",
            float(backlog["oldest_seconds"]),
        ),
        "paywarden_unfinished_payments": Figure(
            "Payments in each status that is not final, all tenants. Worry about any outcome_unknown that stays,"
            " and about processing that grows: the provider's webhooks do not arrive.",
            label="status",
            by_label=by_status,
        ),
    }


async def _of_holds(connection: Connection) -> dict[str, Figure]:
    (lapsed,) = await (await connection.execute(SQL.oldest_lapsed_hold)).fetchall()
    return {
        "paywarden_oldest_lapsed_hold_seconds": Figure(
            "Seconds for which the oldest hold at the billing gate has outlived its time, all tenants, 0 when none has."
            " Worry above 60: the workers are down, and customers cannot use that credit.",
            float(lapsed["oldest_seconds"]),
        ),
    }


async def _of_people(connection: Connection) -> dict[str, Figure]:
    """What waits for a person."""
    (waiting,) = await (await connection.execute(SQL.open_reviews)).fetchall()
    rows = await (await connection.execute(SQL.open_discrepancies)).fetchall()
    return {
        "paywarden_open_reviews": Figure(
            "Reviews that wait for a verdict, all tenants. Worry when it grows from day to day.",
            float(waiting["reviews"]),
        ),
        "paywarden_oldest_open_review_seconds": Figure(
            "Seconds for which the oldest open review has waited, 0 when none is open. Worry when it nears"
            " PAYWARDEN_REVIEW_SECONDS: then it expires unanswered.",
            float(waiting["oldest_seconds"]),
        ),
        "paywarden_open_discrepancies": Figure(
            "Differences between the provider's book, the payments and the ledger that nobody has cleared, by kind,"
            " all tenants. Worry about every one; a kind without any is not listed.",
            label="kind",
            by_label={row["kind"]: float(row["discrepancies"]) for row in rows},
        ),
    }
