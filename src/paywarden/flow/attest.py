"""Attest: past the provider's key window two people who agree say what became of a payment (money.md 3).

Until then Paywarden still finds out by itself. What the provider proves later wins over what people said.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from psycopg.errors import CheckViolation

from paywarden.audit import events
from paywarden.db.transaction import retrying, transaction
from paywarden.flow import advance, facts, resolve
from paywarden.flow.desk import Actor, Connection, Desk
from paywarden.flow.facts import Fact
from paywarden.kit.errors import ForbiddenError, NotFoundError, StateConflictError
from paywarden.kit.states import Status
from paywarden.kit.text import clean_id, clean_text
from paywarden.payments import operations, rows
from paywarden.payments.rows import Payment
from paywarden.reconciliation import attestations
from paywarden.reconciliation.attestations import Attestation, Word


@dataclass(frozen=True, slots=True)
class Attested:
    """What was said, and the payment after it: still ``outcome_unknown`` while a second person is missing."""

    attestation: Attestation
    payment: Payment


async def attest(desk: Desk, actor: Actor, payment_id: UUID, word: Word, reason: str | None = None) -> Attested:
    """Say what became of a payment, as seen at the provider; with a second person who agrees it is settled so.

    Saying the same twice changes nothing; saying something else replaces one's own word. Raises InvalidFieldError,
    NotFoundError, ForbiddenError (role, no person, the initiator), StateConflictError (the outcome is known, or the
    provider still honours the key).
    """
    _validate(word, reason)
    actor.principal.require("settle")
    if actor.principal.kind != "person":
        raise ForbiddenError("Only a person can attest what became of a payment.")
    account = (await advance.find(desk, actor.tenant_id, payment_id)).provider_account

    async def once() -> Attested:
        async with transaction(desk.pool, actor.tenant_id) as connection:
            await facts.lock_order(connection, actor.tenant_id, account, word.provider_payment_id)
            return await _attest(connection, desk, actor, payment_id, word, reason)

    try:
        return await retrying(once)
    except CheckViolation as error:
        raise ForbiddenError("The database refused this: it is not yours to attest.") from error


def _validate(word: Word, reason: str | None) -> None:
    clean_id(word.reference, "reference")
    if word.provider_payment_id is not None:
        clean_id(word.provider_payment_id, "provider_payment_id")
    if reason is not None:
        clean_text(reason, "reason")


async def _attest(
    connection: Connection, desk: Desk, actor: Actor, payment_id: UUID, word: Word, reason: str | None
) -> Attested:
    payment = await rows.lock_with_original(connection, payment_id)
    if payment is None:
        raise NotFoundError("There is no such payment.")
    if payment.principal_id == actor.principal.id:
        raise ForbiddenError("Whoever asked for a payment can never attest what became of it.")
    mine = _of(actor, await attestations.standing(connection, payment_id))
    if mine is not None and mine.word == word:
        return Attested(mine, payment)
    await _nobody_can_know(connection, desk, payment)
    await attestations.insert(connection, payment_id, actor.principal.id, word, reason)
    await events.record(
        connection,
        "payment.attested",
        ("payment", payment_id),
        principal_id=actor.principal.id,
        request_id=actor.request_id,
        data=asdict(word),
    )
    standing = await attestations.standing(connection, payment_id)
    mine = _of(actor, standing)
    if mine is None:
        raise ForbiddenError("Only an active person with the role 'settle' can attest.")
    if any(other.word == word and other.principal_id != mine.principal_id for other in standing):
        payment = await _settle(connection, payment, mine)
    return Attested(mine, payment)


def _of(actor: Actor, standing: Sequence[Attestation]) -> Attestation | None:
    return next((said for said in standing if said.principal_id == actor.principal.id), None)


async def _nobody_can_know(connection: Connection, desk: Desk, payment: Payment) -> None:
    """Refuse unless the outcome is unknown and the provider may have forgotten the key."""
    operation = await operations.latest(connection, payment.id)
    if payment.status is not Status.OUTCOME_UNKNOWN or operation is None:
        raise StateConflictError(f"The payment is {payment.status}: only an unknown outcome can be attested.")
    left_seconds = resolve.window_left_seconds(desk, operation)
    if left_seconds > 0:
        raise StateConflictError(
            "The provider still honours this request's key, so Paywarden finds out by itself. People may attest it "
            f"in {left_seconds / 3600:.1f} hours."
        )


async def _settle(connection: Connection, payment: Payment, said: Attestation) -> Payment:
    """Book what two people saw, as the fact it is from now on."""
    fact = Fact(
        said.word.outcome,
        facts.ATTESTED,
        provider_id=said.word.provider_payment_id,
        reason=f"attested by two people: {said.word.reference}",
        principal_id=said.principal_id,
    )
    settled = await facts.apply(connection, payment.id, fact)
    if settled is None:
        raise StateConflictError("This provider_payment_id is not the payment's own, or belongs to another payment.")
    return settled
