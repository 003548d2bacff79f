"""Recovery: what is due, whoever left it. The worker's loop is these functions and nothing else."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import structlog

from paywarden.db.transaction import retrying, system_transaction, transaction
from paywarden.flow import advance, embedding, event_groups, facts, lapse
from paywarden.flow.batch import MOST_A_BATCH
from paywarden.flow.desk import Connection, Desk
from paywarden.kit.errors import OverloadedError
from paywarden.kit.states import Status
from paywarden.ledger import gates
from paywarden.payments import idempotency, queue, rows
from paywarden.payments.rows import Move
from paywarden.reviews import reviews
from paywarden.webhooks import inbox

_LOG = structlog.get_logger()
_AT_ONCE = 16
_LOOK_AHEAD = 8 * _AT_ONCE
_EVENTS_AT_ONCE = 2 * MOST_A_BATCH
_GROUPS_AT_ONCE = 4
# What was given minutes to days may end a second late; an idle worker then asks the database a third as often.
_CLOCK_SECONDS = 1.0
Look = Callable[[Connection, int], Awaitable[list[dict[str, Any]]]]
Work = Callable[[Desk, UUID, UUID], Awaitable[object]]


async def run_once(desk: Desk) -> int:
    """Do everything that is due now once; how many rows were touched."""
    done = len(await _apply_events(desk))
    for look, work in (_NEXT_STEP, *_OUT_OF_TIME):
        rows_due = await _find(desk, look, _AT_ONCE)
        await asyncio.gather(*(_attempt(desk, work, row) for row in rows_due))
        done += len(rows_due)
    return done


async def run_until(desk: Desk, stop: asyncio.Event) -> None:
    """Work until ``stop``. Each kind of work has places of its own, so that a slow provider holds up no event."""
    pause_seconds = desk.settings.poll_interval_milliseconds / 1000
    async with asyncio.TaskGroup() as group:
        group.create_task(_keep_up_with_events(desk, stop))
        group.create_task(_keep_up(desk, *_NEXT_STEP, stop, pause_seconds))
        for look, work in _OUT_OF_TIME:
            group.create_task(_keep_up(desk, look, work, stop, max(pause_seconds, _CLOCK_SECONDS)))
        group.create_task(embedding.keep_up(desk, stop))


async def _keep_up_with_events(desk: Desk, stop: asyncio.Event) -> None:
    """Apply what is due, at once while there is more than others work on, else every poll interval."""
    pause_seconds = desk.settings.poll_interval_milliseconds / 1000
    while not stop.is_set():
        try:
            taken = await _apply_events(desk)
        except OverloadedError:
            _LOG.warning("the database is not reachable; will look again")
            taken = []
        if sum(taken) < _EVENTS_AT_ONCE / 2:
            await _pause(stop, {}, pause_seconds)


async def _apply_events(desk: Desk) -> list[int]:
    """Apply the events that are due now in groups of one tenant; how many of each group nobody else had taken."""
    due_now: dict[UUID, list[UUID]] = {}
    for row in await _find(desk, inbox.due, _EVENTS_AT_ONCE):
        due_now.setdefault(row["tenant_id"], []).append(row["id"])
    groups = [
        (tenant_id, inbox_ids[start : start + MOST_A_BATCH])
        for tenant_id, inbox_ids in due_now.items()
        for start in range(0, len(inbox_ids), MOST_A_BATCH)
    ]
    places = asyncio.Semaphore(_GROUPS_AT_ONCE)

    async def apply(tenant_id: UUID, inbox_ids: list[UUID]) -> int:
        async with places:
            return await event_groups.apply(desk, tenant_id, inbox_ids)

    return await asyncio.gather(*(apply(*group) for group in groups))


async def _keep_up(desk: Desk, look: Look, work: Work, stop: asyncio.Event, pause_seconds: float) -> None:
    """Fill free places with what is due, at once while there is more, else after a pause."""
    running: dict[UUID, asyncio.Task[None]] = {}
    waiting: deque[dict[str, Any]] = deque()
    while not stop.is_set():
        running = {key: task for key, task in running.items() if not task.done()}
        if not waiting and len(running) < _AT_ONCE:
            waiting.extend(await _fresh(desk, look, set(running)))
        idle = not waiting
        while waiting and len(running) < _AT_ONCE:
            row = waiting.popleft()
            running[row["id"]] = asyncio.create_task(_attempt(desk, work, row))
        await _pause(stop, running, pause_seconds if idle or len(running) >= _AT_ONCE else 0)
    await asyncio.gather(*running.values())


async def _fresh(desk: Desk, look: Look, running: set[UUID]) -> list[dict[str, Any]]:
    """Many at a look: each is claimed when its turn comes, so it harms nobody when others were faster."""
    try:
        found = await _find(desk, look, _LOOK_AHEAD)
    except OverloadedError:
        _LOG.warning("the database is not reachable; will look again")
        return []
    return [row for row in found if row["id"] not in running]


async def _pause(stop: asyncio.Event, running: dict[UUID, asyncio.Task[None]], seconds: float) -> None:
    """Wait so long, or for a stop, or (when every place is taken) the first place to become free."""
    stopped = asyncio.create_task(stop.wait())
    waited = {stopped, *running.values()} if len(running) >= _AT_ONCE else {stopped}
    await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()


async def _find(desk: Desk, look: Look, limit: int) -> list[dict[str, Any]]:
    async with system_transaction(desk.pool) as connection:
        return await look(connection, limit)


async def _attempt(desk: Desk, work: Work, row: dict[str, Any]) -> None:
    """Work on one due row; a failure is told in the log, and the row stays due."""
    try:
        await work(desk, row["tenant_id"], row["id"])
    except OverloadedError:
        _LOG.warning("the database is busy; the step stays due", subject=str(row["id"]))
    except Exception:
        _LOG.exception("a due step failed", subject=str(row["id"]), step=work.__name__)


async def expire(desk: Desk, tenant_id: UUID, payment_id: UUID) -> None:
    """A payment that ran out of time before anything was sent: its hold goes back."""

    async def once() -> None:
        async with transaction(desk.pool, tenant_id) as connection:
            await rows.lock_with_original(connection, payment_id)
            await _expire(connection, payment_id)

    await retrying(once)


async def expire_unanswered(desk: Desk, tenant_id: UUID, payment_id: UUID) -> None:
    """A payment that nobody gave the missing facts in time, unless they came while it was found."""

    async def once() -> None:
        async with transaction(desk.pool, tenant_id) as connection:
            payment = await rows.lock_with_original(connection, payment_id)
            waits = payment is not None and payment.status is Status.NEEDS_FACTS
            if waits and not await rows.takes_facts(connection, payment_id):
                await _expire(connection, payment_id)

    await retrying(once)


async def expire_unreviewed(desk: Desk, tenant_id: UUID, payment_id: UUID) -> None:
    """A payment whose reviewer did not answer in time, unless the verdict came while it was found."""

    async def once() -> None:
        async with transaction(desk.pool, tenant_id) as connection:
            await rows.lock_with_original(connection, payment_id)
            if await reviews.is_overdue(connection, payment_id):
                await _expire(connection, payment_id)

    await retrying(once)


async def _expire(connection: Connection, payment_id: UUID) -> None:
    """The payment must be locked."""
    moved = await rows.move(connection, payment_id, Move(Status.EXPIRED, "lapse", "clock", reason="expired"))
    # Also when the payment has moved on: an overdue review that stays open would be due for ever.
    await reviews.close(connection, payment_id, "expired")
    if moved is not None:
        await facts.give_back(connection, moved, "expired")


async def forget_keys(desk: Desk, tenant_id: UUID) -> int:
    """Delete a tenant's idempotency keys that are older than 30 days."""
    async with transaction(desk.pool, tenant_id) as connection:
        return await idempotency.forget_expired(connection)


_NEXT_STEP: tuple[Look, Work] = (queue.due, advance.work)
_OUT_OF_TIME: tuple[tuple[Look, Work], ...] = (
    (queue.expiring, expire),
    (queue.facts_overdue, expire_unanswered),
    (reviews.overdue, expire_unreviewed),
    (gates.tenants_with_lapsed, lapse.expire_holds),
)
