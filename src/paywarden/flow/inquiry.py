"""Inquiry: an adviser named what it misses; whoever can say it says it, and the payment is judged anew.

What is given is kept as notes about the customer under the one rule of all notes: an agent may pass on what a customer
says and cannot make it trusted; only an administrator writes what justifies money.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from paywarden.audit import events
from paywarden.db.transaction import transaction
from paywarden.flow import advance, advise, ask, embedding, guard, knowledge, note_group
from paywarden.flow.ask import Asked
from paywarden.flow.desk import Actor, Connection, Desk
from paywarden.flow.note_group import Fresh
from paywarden.flow.note_import import named
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339
from paywarden.kit.errors import ForbiddenError, InvalidFieldError, NotFoundError, StateConflictError
from paywarden.kit.states import Status
from paywarden.kit.trust import TrustTier
from paywarden.memory.embedder import Vector
from paywarden.memory.notes import NewNote
from paywarden.payments import idempotency, rows
from paywarden.payments.idempotency import IdempotentRequest
from paywarden.payments.rows import Move, Payment

MAX_GIVEN = 10


@dataclass(frozen=True, slots=True)
class GivenFact:
    """What somebody says that was missing: a note about the payment's customer in all but the customer's name."""

    content: str
    trust: TrustTier = "customer"
    source: str | None = None
    invoice_id: str | None = None
    case_id: str | None = None
    facts: Mapping[str, Any] | None = None

    def as_note(self, payment: Payment) -> NewNote:
        """The note that is kept of it."""
        return NewNote(
            customer_id=advise.subject(payment),
            content=self.content,
            trust=self.trust,
            source=self.source,
            invoice_id=self.invoice_id,
            case_id=self.case_id,
            facts=self.facts,
            payment_id=payment.id,
        )


async def give_facts(
    desk: Desk, actor: Actor, payment_id: UUID, given: Sequence[GivenFact], request: IdempotentRequest
) -> Asked:
    """Give a payment the facts it waits for, and drive it on: recalled, advised and guarded like a new one.

    Raises NotFoundError, InvalidFieldError naming the fact and its field, ForbiddenError (neither who asked for the
    payment nor an administrator, or a trust that is not theirs to give), StateConflictError when it waits for none,
    IdempotencyKeyReusedError, IdempotencyInProgressError.
    """
    payment = await advance.find(desk, actor.tenant_id, payment_id)
    news = _notes(actor, payment, given)
    async with transaction(desk.pool, actor.tenant_id) as connection:
        earlier = await ask.earlier(connection, actor, request)
    if earlier is not None:
        return Asked(await advance.drive(desk, actor.tenant_id, earlier.id), replayed=True)
    vectors = await embedding.vectors_of(desk.embedder, [new.content for new in news])
    await guard.until_fresh(lambda: _give(desk, actor, payment_id, news, vectors, request))
    driven = await advance.drive(desk, actor.tenant_id, payment_id)
    async with transaction(desk.pool, actor.tenant_id) as connection:
        await idempotency.finish(connection, actor.principal.id, request.key)
    return Asked(driven, replayed=False)


def _notes(actor: Actor, payment: Payment, given: Sequence[GivenFact]) -> list[NewNote]:
    if not 1 <= len(given) <= MAX_GIVEN:
        raise InvalidFieldError("facts", f"must be 1 to {MAX_GIVEN} facts")
    news = [fact.as_note(payment) for fact in given]
    for place, new in enumerate(news):
        with named(place, "facts"):
            knowledge.check(actor, new)
    if payment.principal_id != actor.principal.id and "administer" not in actor.principal.roles:
        raise ForbiddenError("Facts are given by whoever asked for the payment, or by an administrator.")
    return news


async def _give(
    desk: Desk,
    actor: Actor,
    payment_id: UUID,
    news: Sequence[NewNote],
    vectors: Sequence[Vector | None],
    request: IdempotentRequest,
) -> None:
    """Keep the facts and begin anew, in one commit; of a repeat that comes meanwhile nothing is kept."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        lease_seconds = desk.settings.idempotency_lease_seconds
        if not await idempotency.register(connection, actor.principal.id, request, payment_id, lease_seconds):
            await ask.earlier(connection, actor, request)
            return
        await _check_waits(connection, payment_id)
        fresh = [Fresh(actor, new, desk.embedder.id, vector) for new, vector in zip(news, vectors, strict=True)]
        kept = await note_group.keep(connection, fresh)
        await advance.begin(connection, desk, await _resume(connection, actor, payment_id, kept))


async def _check_waits(connection: Connection, payment_id: UUID) -> None:
    payment = await rows.lock_with_original(connection, payment_id)
    if payment is None:
        raise NotFoundError("There is no such payment.")
    if payment.facts_until is None:
        raise StateConflictError(f"The payment is {payment.status}: only one that waits for facts takes them.")
    if not await rows.takes_facts(connection, payment_id):
        raise StateConflictError(
            f"The payment waited for facts until {rfc3339(payment.facts_until)}; no answer was a no."
        )


async def _resume(connection: Connection, actor: Actor, payment_id: UUID, kept: Sequence[UUID]) -> Payment:
    note_ids = [ids.to_text("note", note_id) for note_id in kept]
    wanted = Move(Status.PENDING, "request", "facts", principal_id=actor.principal.id, detail={"notes": note_ids})
    moved = await rows.move(connection, payment_id, wanted)
    if moved is None:
        raise RuntimeError("a payment that waits for facts and is locked can be resumed")
    await events.record(
        connection,
        "payment.facts_given",
        ("payment", payment_id),
        principal_id=actor.principal.id,
        request_id=actor.request_id,
        data={"notes": note_ids},
    )
    return moved
