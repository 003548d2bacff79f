"""Recall and advise: evidence about this customer only, an opinion outside any transaction, then guard on both."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog

from paywarden.db.transaction import retrying, transaction
from paywarden.decisions import store as decision_store
from paywarden.decisions.advice import EvidenceNote, OwnRecord, Snapshot
from paywarden.decisions.adviser import AdviceRecord
from paywarden.decisions.checks import CheckedAdvice, check_advice
from paywarden.decisions.record_facts import ChargeFact, RefundFact
from paywarden.flow import guard
from paywarden.flow.desk import Connection, Desk
from paywarden.flow.opinion import opinion
from paywarden.guardrails.facts import AdviceFacts
from paywarden.identity import tenants
from paywarden.kit import ids
from paywarden.kit.errors import EmbedderUnavailableError
from paywarden.kit.states import FINAL, Status
from paywarden.memory import notes
from paywarden.memory.embedder import Vector
from paywarden.memory.notes import Note, TextQuery
from paywarden.payments import rows
from paywarden.payments.rows import Kind, Payment

_LOG = structlog.get_logger()
EVIDENCE_NOTES = 8
OWN_RECORDS = 50
_CHARGE_STATUS = {Status.SUCCEEDED: "succeeded", Status.FAILED: "failed", Status.CANCELED: "canceled"}
_REFUND_STATUS = {
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.PENDING: "requested",
    Status.NEEDS_FACTS: "requested",
    Status.IN_REVIEW: "requested",
}


async def decide(desk: Desk, payment: Payment) -> None:
    """A pending payment that an adviser can help: recall, advise, then guard with the advice."""
    request = payment.request_text or f"{payment.kind} {payment.purpose or ''} {payment.reference or ''}".strip()
    snapshot = await recall(
        desk,
        payment.tenant_id,
        request=request,
        customer_id=subject(payment),
        kind=payment.kind,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        about=payment.original_payment_id,
        purpose=payment.purpose,
        reference=payment.reference,
        payee=payment.payee,
        for_payment=payment.id,
    )
    record = await opinion(desk, payment.tenant_id, snapshot)
    checked = check_advice(snapshot, record)
    for _ in range(3):
        try:
            await retrying(lambda: _conclude(desk, payment, snapshot, record, checked))
        except guard.StaleAuthorityError:
            continue
        return


def subject(payment: Payment) -> str:
    """Whose notes are read for a payment: the customer's, or the payee's where no customer is named."""
    return payment.customer_id or payment.payee or ""


async def recall(
    desk: Desk,
    tenant_id: UUID,
    *,
    request: str,
    customer_id: str,
    kind: Kind,
    amount_minor: int,
    currency: str,
    about: UUID | None = None,
    purpose: str | None = None,
    reference: str | None = None,
    payee: str | None = None,
    for_payment: UUID | None = None,
) -> Snapshot:
    """What this tenant knows of this customer: the notes that the request finds, and our own payment rows.

    What staff wrote about the invoice that a charge refers to is found, whatever its words; and of ``for_payment``,
    which is to be decided, the facts that were given for it, but not its own row.
    """
    asked = TextQuery(request, desk.embedder.id, await _vector_of(desk, request))
    invoice_id = reference if kind == "charge" else None
    async with transaction(desk.pool, tenant_id) as connection:
        recalled = await notes.recall(connection, customer_id, asked, EVIDENCE_NOTES, invoice_id, for_payment)
        own = await rows.of_customer(connection, customer_id, OWN_RECORDS)
        now = await tenants.now(connection)
    return Snapshot(
        request=request,
        customer=customer_id,
        kind=kind,
        requested_amount_minor=amount_minor,
        currency=currency,
        payment_id=None if about is None else ids.to_text("pay", about),
        records=own_records([payment for payment in own if payment.id != for_payment], reference),
        evidence=tuple(_evidence(note) for note in recalled.notes),
        asked_at=now,
        complete=recalled.complete and len(own) < OWN_RECORDS,
        purpose=purpose,
        reference=reference,
        payee=payee,
    )


def _evidence(note: Note) -> EvidenceNote:
    digest, score = note.content_sha256, note.score or 0.0
    return EvidenceNote(note.public_id, digest, score, note.trust, note.content, note.facts, note.invoice_id)


async def _vector_of(desk: Desk, request: str) -> Vector | None:
    """The embedder's vector of a request; None when it has none now: then what is recalled is not complete."""
    try:
        (vector,) = await desk.embedder.embed([request], "query")
    except EmbedderUnavailableError as error:
        _LOG.warning("a request is judged on evidence found by its words alone", problem=error.detail)
        return None
    return vector


def own_records(payments: Sequence[Payment], reference: str | None = None) -> tuple[OwnRecord, ...]:
    """Our own rows in the adviser's vocabulary.

    A charge that was never sent is no record of money, and a payout none of the customer's. What was paid is one, also
    where people attested it and nobody knows the provider's id of it. What could be asked for
    twice counts from the moment it is asked for: refunds, and charges of this ``reference``. Two refunds of one double
    charge must see each other.
    """
    return tuple(
        OwnRecord(payment.public_id, _as_fact(payment, payment.created_at))
        for payment in payments
        if payment.kind != "payout"
        and (_moved(payment) or (payment.status not in FINAL and _counts(payment, reference)))
    )


def _moved(payment: Payment) -> bool:
    """Whether it is or was at the provider."""
    return payment.provider_payment_id is not None or (payment.status is Status.SUCCEEDED and not payment.bare)


def _counts(payment: Payment, reference: str | None) -> bool:
    """Whether it is a record from the moment it is asked for."""
    return payment.kind == "refund" or (reference is not None and payment.reference == reference)


def _as_fact(payment: Payment, at: datetime) -> ChargeFact | RefundFact:
    if payment.kind == "refund" and payment.original_payment_id is not None:
        return RefundFact(
            type="refund",
            refund_id=payment.public_id,
            payment_id=ids.to_text("pay", payment.original_payment_id),
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            status=_REFUND_STATUS.get(payment.status, "processing"),  # type: ignore[arg-type]
            at=at,
        )
    return ChargeFact(
        type="charge",
        payment_id=payment.public_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        reference=payment.reference,
        status=_CHARGE_STATUS.get(payment.status, "pending"),  # type: ignore[arg-type]
        at=at,
    )


async def _conclude(
    desk: Desk, payment: Payment, snapshot: Snapshot, record: AdviceRecord, checked: CheckedAdvice
) -> None:
    async with transaction(desk.pool, payment.tenant_id) as connection:
        locked = await rows.lock_with_original(connection, payment.id)
        if locked is None or locked.fence != payment.fence or locked.status is not Status.PENDING:
            return
        decision_id = await store(connection, desk, payment.principal_id, snapshot, record, checked, payment.id)
        situation = await guard.look(connection, locked, facts_of(checked))
        missing = checked.advice.missing_facts if checked.verdict == "need_facts" else ()
        await guard.conclude(connection, desk, locked, situation, decision_id, payment.fence, missing)


def facts_of(checked: CheckedAdvice) -> AdviceFacts:
    """What the rules may know of an advice."""
    return AdviceFacts(
        checked.verdict,
        checked.amount_minor,
        checked.advice.confidence,
        checked.citations_verified,
        checked.supported_by_trusted,
    )


async def store(
    connection: Connection,
    desk: Desk,
    principal_id: UUID,
    snapshot: Snapshot,
    record: AdviceRecord,
    checked: CheckedAdvice,
    payment_id: UUID | None = None,
) -> UUID:
    """Store the decision whole: what the adviser saw, what it said, what the code made of it."""
    new = decision_store.NewDecision(principal_id, snapshot, record, checked, payment_id, desk.policies.version)
    return await decision_store.save(connection, new)
