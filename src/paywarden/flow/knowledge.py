"""Knowledge: notes about a customer, added and searched. A search sees one tenant and one customer, exactly."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from paywarden.audit import events
from paywarden.db.transaction import transaction
from paywarden.decisions.record_facts import MalformedFactError, parse_record_fact
from paywarden.flow import embedding, note_group
from paywarden.flow.desk import Actor, Connection, Desk
from paywarden.flow.note_group import Fresh
from paywarden.kit.errors import ForbiddenError, InvalidFieldError, NotFoundError, StateConflictError
from paywarden.kit.text import clean_text
from paywarden.kit.trust import TRUSTED_TIERS
from paywarden.memory import influence, notes, tenant_search
from paywarden.memory.influence import Influence
from paywarden.memory.notes import NewNote, Note, TextQuery
from paywarden.memory.own_vectors import checked_vector


async def add_note(desk: Desk, actor: Actor, new: NewNote) -> UUID:
    """Store a note with its vector, which follows later when the embedder does not answer. Raises InvalidFieldError.

    Raises ForbiddenError when an agent vouches for its own evidence: records and notes of staff justify money, so only
    an administrator writes them.
    """
    check(actor, new)
    (vector,) = await embedding.vectors_of(desk.embedder, [new.content])
    return await note_group.add(desk, Fresh(actor, new, desk.embedder.id, vector))


def check(actor: Actor, new: NewNote) -> None:
    """Raises InvalidFieldError; ForbiddenError when this principal may not keep this note."""
    notes.validate(new)
    _check_facts(new)
    actor.principal.require("administer" if new.trust in TRUSTED_TIERS else "initiate")


def _check_facts(new: NewNote) -> None:
    if new.facts is None:
        return
    try:
        parse_record_fact(new.facts)
    except MalformedFactError as error:
        raise InvalidFieldError(
            "facts", "must be a charge, refund, fee, order, invoice, extension or claim fact with all its fields"
        ) from error


async def search(
    desk: Desk, actor: Actor, customer_id: str, *, text: str | None, vector: Sequence[object] | None, limit: int
) -> list[Note]:
    """One customer's notes by a text (its meaning and its words) or by the caller's own vector, the best first.

    Raises InvalidFieldError, and EmbedderUnavailableError when there is no vector of the text to be had.
    """
    notes.check_limit(limit)
    if (text is None) == (vector is None):
        raise InvalidFieldError("q", "or 'embedding' must be given, and not both")
    if vector is not None:
        own = checked_vector(vector)
        async with transaction(desk.pool, actor.tenant_id) as connection:
            return await notes.nearest_by_own_vector(connection, customer_id, own, limit)
    words = clean_text(text or "", "q")
    (ours,) = await desk.embedder.embed([words], "query")
    async with transaction(desk.pool, actor.tenant_id) as connection:
        asked = TextQuery(words, desk.embedder.id, ours)
        return await notes.nearest_by_text(connection, customer_id, asked, limit)


async def search_tenant(desk: Desk, actor: Actor, text: str, limit: int) -> list[Note]:
    """The notes of all the tenant's customers nearest to a text. Raises InvalidFieldError, EmbedderUnavailableError.

    Raises ForbiddenError unless the principal administers or reviews: who works for one customer needs no others.
    """
    if not actor.principal.roles & {"administer", "review"}:
        raise ForbiddenError("A search across all customers needs the role 'administer' or 'review'.", param="customer")
    notes.check_limit(limit)
    words = clean_text(text, "q")
    (vector,) = await desk.embedder.embed([words], "query")
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await tenant_search.nearest(connection, desk.embedder.id, vector, limit)


async def end_note(desk: Desk, actor: Actor, note_id: UUID, at: datetime | None) -> Note:
    """Let a note end, at once without an instant: from then on it is neither found nor recalled. The note as it is now.

    Raises NotFoundError, ForbiddenError unless an administrator or the note's own author asks, StateConflictError when
    it ends before that already: an end can be brought forward and never be put off.
    """
    async with transaction(desk.pool, actor.tenant_id) as connection:
        _check_may_end(actor, await _find(connection, note_id))
        ended = await notes.end(connection, note_id, at)
        note = await _find(connection, note_id)
        if ended:
            await events.record(
                connection,
                "note.ended",
                ("note", note_id),
                principal_id=actor.principal.id,
                request_id=actor.request_id,
                data={"valid_until": str(note.valid_until)},
            )
    if not ended and at not in (None, note.valid_until):
        raise StateConflictError("The note ends before that already; an end can only be brought forward.")
    return note


def _check_may_end(actor: Actor, note: Note) -> None:
    if "administer" in actor.principal.roles:
        return
    if note.author_id != actor.principal.id:
        raise ForbiddenError("A note is ended by an administrator or by whoever wrote it.")
    actor.principal.require("initiate")


async def influence_of(
    desk: Desk, actor: Actor, note_id: UUID, limit: int, before: UUID | None = None
) -> list[Influence]:
    """The decisions that were given a note, newest first, before the decision ``before``. Raises NotFoundError."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        await _find(connection, note_id)
        return await influence.of_note(connection, note_id, limit, before)


async def _find(connection: Connection, note_id: UUID) -> Note:
    note = await notes.find(connection, note_id)
    if note is None:
        raise NotFoundError("There is no such note.")
    return note
