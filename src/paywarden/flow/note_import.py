"""Import of notes: all of a batch in one commit or none of it; what was imported before is not kept again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from paywarden.audit import events
from paywarden.audit.events import Happened
from paywarden.db.transaction import retrying, transaction
from paywarden.flow import embedding, knowledge
from paywarden.flow.desk import Actor, Connection, Desk
from paywarden.identity import principals
from paywarden.kit.errors import InvalidFieldError
from paywarden.memory import imports
from paywarden.memory.embedder import Vector
from paywarden.memory.notes import NewNote

MAX_IMPORTED = 200


@dataclass(frozen=True, slots=True)
class ImportedNote:
    """A note that is there now. ``added`` is false when an earlier import, or an earlier line, has brought it."""

    id: UUID
    added: bool


@contextmanager
def named(place: int, collection: str = "notes") -> Iterator[None]:
    """A refused field inside is named with its note: ``notes.3.facts``."""
    try:
        yield
    except InvalidFieldError as error:
        problem = error.detail.removeprefix(f"{error.param} ")
        raise InvalidFieldError(f"{collection}.{place}.{error.param}", problem) from error


async def import_notes(desk: Desk, actor: Actor, news: Sequence[NewNote]) -> list[ImportedNote]:
    """Keep those notes that no import has brought yet; all of them, in order.

    Raises InvalidFieldError naming the note and its field, and ForbiddenError; then none is kept.
    """
    for place, new in enumerate(news):
        with named(place):
            knowledge.check(actor, new)
    digests = [imports.digest_of(new) for new in news]
    async with transaction(desk.pool, actor.tenant_id) as connection:
        there = await imports.known(connection, digests)
    fresh = {key: new for key, new in zip(digests, news, strict=True) if key not in there}
    vectors = await embedding.vectors_of(desk.embedder, [new.content for new in fresh.values()])

    async def once() -> tuple[set[UUID], dict[bytes, UUID]]:
        async with transaction(desk.pool, actor.tenant_id) as connection:
            added = await _keep(connection, desk, actor, fresh, vectors)
            return set(added), await imports.known(connection, digests)

    return _told(digests, *await retrying(once))


async def _keep(
    connection: Connection, desk: Desk, actor: Actor, fresh: Mapping[bytes, NewNote], vectors: Sequence[Vector | None]
) -> list[UUID]:
    await principals.ensure_customers(connection, [new.customer_id for new in fresh.values()])
    added = await imports.add(connection, fresh, vectors, desk.embedder.id, actor.principal.id)
    told = {"imported": True}
    happened = [
        Happened("note.added", ("note", note_id), told, actor.principal.id, actor.request_id) for note_id in added
    ]
    await events.record_all(connection, happened)
    return added


def _told(digests: Sequence[bytes], added: set[UUID], there: Mapping[bytes, UUID]) -> list[ImportedNote]:
    """One answer for each line; of equal lines the first is the one that was added."""
    told = []
    for key in digests:
        told.append(ImportedNote(there[key], there[key] in added))
        added.discard(there[key])
    return told
