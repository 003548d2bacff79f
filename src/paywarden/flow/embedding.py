"""Vectors that are due: a note that has not ended and that the present embedder has not read yet gets its vector.

No note waits for an embedder: it is kept without a vector and read later, by the worker or by whoever runs the job. The
rows say what is due, so both may stop, die and begin again at any moment, and beside one another.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from paywarden.db.transaction import system_transaction, transaction
from paywarden.flow import access
from paywarden.flow.desk import Actor, Desk, Pool
from paywarden.identity import tenants
from paywarden.kit.errors import EmbedderUnavailableError, InvalidFieldError, OverloadedError
from paywarden.memory import notes
from paywarden.memory.embedder import Embedder, RefusedTextError, Vector

_LOG = structlog.get_logger()
# How soon a note that was kept without a vector gets one, once the embedder answers again.
_REST_SECONDS = 15.0
# Of the time of a worker's database connection, looking for notes that are due takes this share at most.
_LOOKING_SHARE = 0.02
_LATER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Step:
    """What became of some of the notes that were due: up to the note ``last``."""

    last: UUID
    read: int
    refused: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come. ``waits_for`` is what it waits for at the moment, if anything."""

    embedder: str
    due: int
    read: int
    refused: int
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class EmbedderState:
    """The embedder of this service, and how many of the tenant's notes it has not read yet."""

    id: str
    dimension: int
    notes_waiting: int


async def vectors_of(embedder: Embedder, texts: Sequence[str]) -> list[Vector | None]:
    """The vectors of new notes in their order; None where the embedder has none now. Raises InvalidFieldError."""
    vectors: list[Vector] = []
    try:
        for start in range(0, len(texts), embedder.at_once):
            vectors += await embedder.embed(texts[start : start + embedder.at_once], "note")
    except EmbedderUnavailableError as error:
        _LOG.warning("notes are kept without vectors, which follow", problem=error.detail)
    return [*vectors, *[None] * (len(texts) - len(vectors))]


async def state(desk: Desk, actor: Actor) -> EmbedderState:
    """Which embedder reads the notes, and how many of them wait for it."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        waiting = await notes.count_without_vector(connection, desk.embedder.id)
    return EmbedderState(desk.embedder.id, desk.embedder.dimension, waiting)


async def read_all(
    pool: Pool, embedder: Embedder, tenant_name: str, patience_seconds: float
) -> AsyncIterator[Progress]:
    """Read every note of a tenant that is due, telling how far it has come. Raises NotFoundError.

    Raises EmbedderUnavailableError when the embedder has given no vector for ``patience_seconds``.
    """
    tenant_id = await access.tenant_of(pool, tenant_name)
    async with transaction(pool, tenant_id) as connection:
        due = await notes.count_without_vector(connection, embedder.id)
    read, refused, last, answered_at = 0, 0, None, time.monotonic()
    yield Progress(embedder.id, due, 0, 0)
    while True:
        try:
            done = await step(pool, embedder, tenant_id, last)
        except EmbedderUnavailableError as error:
            pause_seconds = error.retry_after_seconds or _LATER_SECONDS
            if time.monotonic() + pause_seconds > answered_at + patience_seconds:
                raise
            yield Progress(embedder.id, due, read, refused, waits_for=error.detail)
            await asyncio.sleep(pause_seconds)
            continue
        if done is None:
            return
        read, refused, last, answered_at = read + done.read, refused + done.refused, done.last, time.monotonic()
        yield Progress(embedder.id, max(due, read + refused), read, refused)


async def step(pool: Pool, embedder: Embedder, tenant_id: UUID, after: UUID | None) -> Step | None:
    """Read some of the notes that are due, by id, after a given one; None when there is none. In a commit of its own.

    Raises EmbedderUnavailableError.
    """
    async with transaction(pool, tenant_id) as connection:
        due = await notes.without_vector(connection, embedder.id, after, embedder.at_once)
    if not due:
        return None
    vectors = await _read(embedder, due)
    async with transaction(pool, tenant_id) as connection:
        await notes.keep_vectors(connection, embedder.id, vectors)
    return Step(due[-1][0], len(vectors), len(due) - len(vectors))


async def keep_up(desk: Desk, stop: asyncio.Event) -> None:
    """Until ``stop``: read what is due of every tenant, rest, and look again."""
    while not stop.is_set():
        rest_seconds = await _pass(desk.pool, desk.embedder, stop)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped}, timeout=rest_seconds)
        stopped.cancel()


async def catch_up(pool: Pool, embedder: Embedder, stop: asyncio.Event) -> int:
    """Read what is due of every tenant once; how many notes were read. Raises EmbedderUnavailableError."""
    async with system_transaction(pool) as connection:
        tenant_ids = await tenants.all_ids(connection)
    read = 0
    for tenant_id in tenant_ids:
        last: UUID | None = None
        while not stop.is_set() and (done := await step(pool, embedder, tenant_id, last)) is not None:
            read, last = read + done.read, done.last
    return read


async def _pass(pool: Pool, embedder: Embedder, stop: asyncio.Event) -> float:
    """One round of the background work; how many seconds to rest. What goes wrong is told in the log."""
    began = time.monotonic()
    try:
        read = await catch_up(pool, embedder, stop)
    except EmbedderUnavailableError as error:
        _LOG.warning("notes wait for their vectors", problem=error.detail)
        return max(_REST_SECONDS, error.retry_after_seconds or 0)
    except OverloadedError:
        _LOG.warning("the database is busy; notes wait for their vectors")
        return _REST_SECONDS
    except Exception:
        _LOG.exception("reading notes failed")
        return _REST_SECONDS
    if read:
        _LOG.info("notes were read by the embedder", embedder=embedder.id, notes=read)
        return _REST_SECONDS
    return max(_REST_SECONDS, (time.monotonic() - began) / _LOOKING_SHARE)


async def _read(embedder: Embedder, due: Sequence[tuple[UUID, str]]) -> dict[UUID, Vector]:
    """Vectors by note. One text that the embedder refuses keeps no other note from being read."""
    try:
        return await _together(embedder, due)
    except (RefusedTextError, InvalidFieldError):
        # Refused, too? Then it is not the texts, and to ask for each by itself would be in vain.
        await embedder.embed(["ready"], "note")
    return await _apart(embedder, due)


async def _apart(embedder: Embedder, due: Sequence[tuple[UUID, str]]) -> dict[UUID, Vector]:
    """The same by halves, until those that are refused stand alone."""
    try:
        return await _together(embedder, due)
    except (RefusedTextError, InvalidFieldError) as error:
        if len(due) == 1:
            _LOG.warning("the embedder refuses a note; it has no vector", note=str(due[0][0]), problem=error.detail)
            return {}
    half = len(due) // 2
    return await _apart(embedder, due[:half]) | await _apart(embedder, due[half:])


async def _together(embedder: Embedder, due: Sequence[tuple[UUID, str]]) -> dict[UUID, Vector]:
    vectors = await embedder.embed([text for _, text in due], "note")
    return dict(zip((note_id for note_id, _ in due), vectors, strict=True))
