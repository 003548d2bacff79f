"""Recovery: what is due, whoever left it. The worker's loop is these functions and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import structlog

from paywarden.db.transaction import retrying, system_transaction, transaction
from paywarden.flow import advance, facts, provider_event
from paywarden.flow.desk import Connection, Desk
from paywarden.kit.errors import OverloadedError
from paywarden.kit.states import Status
from paywarden.payments import idempotency, queue, rows
from paywarden.payments.rows import Move
from paywarden.reviews import reviews
from paywarden.webhooks import inbox

_LOG = structlog.get_logger()
_BATCH = 32
_AT_ONCE = 8
Look = Callable[[Connection, int], Awaitable[list[dict[str, Any]]]]
Work = Callable[[Desk, UUID, UUID], Awaitable[object]]


async def run_once(desk: Desk) -> int:
    """Do everything that is due now once; how many rows were touched."""
    done = 0
    for look, work in _DUE:
        done += await _run(desk, await _find(desk, look), work)
    return done


async def run_until(desk: Desk, stop: asyncio.Event) -> None:
    """Work until ``stop``: at once while there is work, else every poll interval."""
    pause_seconds = desk.settings.poll_interval_milliseconds / 1000
    while not stop.is_set():
        try:
            busy = await run_once(desk)
        except OverloadedError:
            busy = 0
            _LOG.warning("the database is not reachable; will look again")
        if not busy:
            try:
                await asyncio.wait_for(stop.wait(), pause_seconds)
            except TimeoutError:
                continue


async def _find(desk: Desk, look: Look) -> list[dict[str, Any]]:
    async with system_transaction(desk.pool) as connection:
        return await look(connection, _BATCH)


async def _run(desk: Desk, due: Sequence[dict[str, Any]], work: Work) -> int:
    """Work on due rows, some at once; one that fails is told in the log and does not hold up the others."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(row: dict[str, Any]) -> None:
        async with places:
            try:
                await work(desk, row["tenant_id"], row["id"])
            except OverloadedError:
                raise
            except Exception:
                _LOG.exception("a due step failed", subject=str(row["id"]), step=work.__name__)

    await asyncio.gather(*(one(row) for row in due))
    return len(due)


async def expire(desk: Desk, tenant_id: UUID, payment_id: UUID) -> None:
    """A payment that ran out of time before anything was sent: its hold goes back."""

    async def once() -> None:
        async with transaction(desk.pool, tenant_id) as connection:
            await rows.lock_with_original(connection, payment_id)
            wanted = Move(Status.EXPIRED, "lapse", "clock", reason="expired")
            moved = await rows.move(connection, payment_id, wanted)
            if moved is not None:
                await reviews.close(connection, payment_id, "expired")
                await facts.give_back(connection, moved, "expired")

    await retrying(once)


async def forget_keys(desk: Desk, tenant_id: UUID) -> int:
    """Delete a tenant's idempotency keys that are older than 30 days."""
    async with transaction(desk.pool, tenant_id) as connection:
        return await idempotency.forget_expired(connection)


_DUE: tuple[tuple[Look, Work], ...] = (
    (inbox.due, provider_event.apply),
    (queue.due, advance.step),
    (queue.expiring, expire),
    (reviews.overdue, expire),
)
