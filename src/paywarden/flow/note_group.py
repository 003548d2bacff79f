"""Notes kept together: what arrives while others are written comes next, in one commit for each tenant."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from paywarden.audit import events
from paywarden.audit.events import Happened
from paywarden.db.transaction import retrying, transaction
from paywarden.flow.desk import Actor, Connection, Desk, Pool
from paywarden.identity import principals
from paywarden.kit.errors import OverloadedError
from paywarden.memory import notes
from paywarden.memory.embedder import Vector
from paywarden.memory.notes import NewNote, Written

_LOG = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fresh:
    """A note that was checked, who brings it, and the vector that an embedder made of it, if it has answered."""

    actor: Actor
    new: NewNote
    embedder_id: str
    vector: Vector | None


async def add(desk: Desk, fresh: Fresh) -> UUID:
    """Store a note in a commit that it may share with others; the note's id. Raises OverloadedError."""
    return await desk.groups.of(_write, desk).submit(fresh.actor.tenant_id, fresh)


async def keep(connection: Connection, fresh: Sequence[Fresh]) -> list[UUID]:
    """Store notes of one tenant, read by one embedder, in the caller's transaction; their ids in order."""
    if not fresh:
        return []
    await principals.ensure_customers(connection, [each.new.customer_id for each in fresh])
    written = [Written(each.new, each.vector, each.actor.principal.id) for each in fresh]
    note_ids = await notes.add_all(connection, written, fresh[0].embedder_id)
    await events.record_all(connection, [_told(*pair) for pair in zip(note_ids, fresh, strict=True)])
    return note_ids


def _told(note_id: UUID, fresh: Fresh) -> Happened:
    told = {"trust": fresh.new.trust}
    actor = fresh.actor
    return Happened("note.added", ("note", note_id), told, actor.principal.id, actor.request_id)


async def _write(desk: Desk, batch: Sequence[tuple[UUID, Fresh]]) -> Sequence[UUID | Exception]:
    together: dict[tuple[UUID, str], list[int]] = {}
    for place, (tenant_id, fresh) in enumerate(batch):
        together.setdefault((tenant_id, fresh.embedder_id), []).append(place)
    outcomes: dict[int, UUID | Exception] = {}
    for (tenant_id, _), places in together.items():
        told = await _commit(desk.pool, tenant_id, [batch[place][1] for place in places])
        outcomes |= zip(places, told, strict=True)
    return [outcomes[place] for place in range(len(batch))]


async def _commit(pool: Pool, tenant_id: UUID, fresh: Sequence[Fresh]) -> Sequence[UUID | Exception]:
    """One commit for all of them. A note that the database refuses keeps no other note out."""

    async def once() -> list[UUID]:
        async with transaction(pool, tenant_id) as connection:
            return await keep(connection, fresh)

    try:
        return await retrying(once)
    except OverloadedError as error:
        return [error] * len(fresh)
    except Exception as error:
        if len(fresh) == 1:
            return [error]
        _LOG.warning("notes are kept one by one", exc_info=True)
    return [(await _commit(pool, tenant_id, [each]))[0] for each in fresh]
