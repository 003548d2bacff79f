"""Knowledge: notes about a customer, added and searched. A search sees one tenant and one customer, exactly."""

from collections.abc import Sequence
from uuid import UUID

from paywarden.audit import events
from paywarden.db.transaction import transaction
from paywarden.decisions.record_facts import MalformedFactError, parse_record_fact
from paywarden.flow.desk import Actor, Desk
from paywarden.identity import principals
from paywarden.kit.errors import InvalidFieldError
from paywarden.kit.text import clean_text
from paywarden.kit.trust import TRUSTED_TIERS
from paywarden.memory import notes
from paywarden.memory.notes import NewNote, Note, TextQuery
from paywarden.memory.own_vectors import checked_vector


async def add_note(desk: Desk, actor: Actor, new: NewNote) -> UUID:
    """Store a note with its vector. Raises InvalidFieldError.

    Raises ForbiddenError when an agent vouches for its own evidence: records and notes of staff justify money, so only
    an administrator writes them.
    """
    notes.validate(new)
    _check_facts(new)
    actor.principal.require("administer" if new.trust in TRUSTED_TIERS else "initiate")
    (vector,) = await desk.embedder.embed([new.content], "note")
    async with transaction(desk.pool, actor.tenant_id) as connection:
        await principals.ensure_customer(connection, new.customer_id)
        note_id = await notes.add(connection, new, desk.embedder.id, vector, actor.principal.id)
        await events.record(
            connection,
            "note.added",
            ("note", note_id),
            principal_id=actor.principal.id,
            request_id=actor.request_id,
            data={"trust": new.trust},
        )
    return note_id


def _check_facts(new: NewNote) -> None:
    if new.facts is None:
        return
    try:
        parse_record_fact(new.facts)
    except MalformedFactError as error:
        raise InvalidFieldError("facts", "must be a charge, refund, fee or order fact with all its fields") from error


async def search(
    desk: Desk, actor: Actor, customer_id: str, *, text: str | None, vector: Sequence[object] | None, limit: int
) -> list[Note]:
    """One customer's notes by a text (its meaning and its words) or by the caller's own vector, the best first.

    Raises InvalidFieldError.
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
