"""Ask: check idempotency, validate, store the payment; where policy permits, reserve in the same commit."""

from dataclasses import dataclass, replace
from uuid import UUID

from msgspec import Struct, structs

from paywarden.audit import events
from paywarden.db.transaction import retrying, transaction
from paywarden.flow import advance, ask_group, guard
from paywarden.flow.ask_group import KeyedCharge
from paywarden.flow.desk import DEFAULT_ACCOUNT, DEFAULT_PROVIDER, Actor, Connection, Desk
from paywarden.guardrails import duplicate_store, duplicates
from paywarden.identity import principals
from paywarden.kit import ids
from paywarden.kit.canonical import canonical_json
from paywarden.kit.errors import (
    IdempotencyInProgressError,
    InvalidFieldError,
    NotFoundError,
    StateConflictError,
)
from paywarden.kit.money import Money, display
from paywarden.kit.states import Status
from paywarden.kit.text import clean_id, clean_text
from paywarden.payments import idempotency, rows
from paywarden.payments.idempotency import IdempotentRequest
from paywarden.payments.rows import Kind, NewPayment, Origin, Payment

MAX_RESERVATION_SECONDS = 365 * 86_400


class Ask(Struct, frozen=True):
    """What somebody asks for. Amounts are minor units; ``agent_id`` is None for the caller itself.

    A refund names the charge it returns; its customer and currency are that charge's. A payout names its payee, and the
    customer it is for, if any: evidence is recalled about that customer. Only a bare reservation expires
    by itself: after ``expires_in_seconds``, by default ``reservation_seconds`` of the settings.
    """

    kind: Kind
    amount_minor: int
    currency: str
    origin: Origin = "v1"
    agent_id: str | None = None
    customer_id: str | None = None
    payee: str | None = None
    purpose: str | None = None
    reference: str | None = None
    request_text: str | None = None
    original_payment_id: UUID | None = None
    mandate_id: UUID | None = None
    confirm: bool = True
    bare: bool = False
    expires_in_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The payment, and whether it is the answer to an earlier request with the same key."""

    payment: Payment
    replayed: bool


async def ask(desk: Desk, actor: Actor, wanted: Ask, request: IdempotentRequest | None, *, wait: bool = True) -> Asked:
    """Take a request for money: store it once, decide what can be decided, and drive it as far as it goes.

    Without ``wait`` the commit that stores it is all: whatever is left, be it advice or the provider, is a worker's at
    once, and a repeat of the key is a replay at once.

    Raises InvalidFieldError, ForbiddenError, NotFoundError (refund of no payment), IdempotencyKeyReusedError,
    IdempotencyInProgressError, OverloadedError. Denied, held and declined payments are answers, not errors.
    """
    actor = await _permitted(desk, actor)
    _validate(desk, wanted)
    asked = await _store_together(desk, actor, wanted, request, wait=wait)
    if asked is None:
        present = await _permitted(desk, await _present(desk, actor))
        asked = await guard.until_fresh(lambda: _store(desk, present, wanted, request, wait=wait))
    if not wait:
        return asked
    payment = await advance.drive(desk, actor.tenant_id, asked.payment.id)
    if request is not None and not asked.replayed:
        async with transaction(desk.pool, actor.tenant_id) as connection:
            await idempotency.finish(connection, actor.principal.id, request.key)
    return Asked(payment, asked.replayed)


class _PreviewError(Exception):
    """Carries a preview out of its transaction, which is rolled back."""

    def __init__(self, payment: Payment, advice_needed: bool) -> None:
        super().__init__("preview")
        self.payment = payment
        self.advice_needed = advice_needed


async def preview(desk: Desk, actor: Actor, wanted: Ask) -> tuple[Payment, bool]:
    """What would become of this request, budgets and all, without storing anything; and whether advice is needed first.

    It is judged as a request with an idempotency key of its own, as the doors that look ahead require one. The adviser
    is not asked. Raises what ``ask`` raises.
    """
    actor.principal.require("initiate")
    _validate(desk, wanted)

    async def once() -> None:
        async with transaction(desk.pool, actor.tenant_id) as connection:
            asked = await _store_once(connection, desk, actor, wanted, None, keyed=True, wait=True)
            raise _PreviewError(asked.payment, asked.payment.status == Status.PENDING)

    try:
        await retrying(once)
    except _PreviewError as seen:
        return seen.payment, seen.advice_needed
    raise RuntimeError("a preview must not commit")


def _validate(desk: Desk, wanted: Ask) -> None:
    Money(wanted.amount_minor, wanted.currency)
    for param in ("agent_id", "customer_id", "payee", "purpose", "reference"):
        value = getattr(wanted, param)
        if value is not None:
            clean_id(value, param)
    if wanted.request_text is not None:
        clean_text(wanted.request_text, "request")
    _validate_payee(desk, wanted)
    if wanted.kind == "refund" and wanted.original_payment_id is None:
        raise InvalidFieldError("payment", "must name the charge that a refund returns")
    _validate_expiry(wanted)
    if wanted.kind != "charge" and not wanted.confirm:
        raise InvalidFieldError("confirm", f"must not be false: a {wanted.kind} is sent at once when it is allowed")
    if wanted.kind == "charge" and wanted.customer_id is None and not wanted.bare:
        raise InvalidFieldError("customer", "must name who is charged")


def _validate_payee(desk: Desk, wanted: Ask) -> None:
    if wanted.kind != "payout":
        if wanted.payee is not None:
            raise InvalidFieldError("payee", "is for payouts only")
        return
    if "payout" not in desk.provider(DEFAULT_PROVIDER).facts.capabilities:
        problem = "must be 'charge' or 'refund': no provider for payouts is configured (PAYMENT_API_PAYOUTS)"
        raise InvalidFieldError("kind", problem)
    if wanted.payee is None:
        raise InvalidFieldError("payee", "must name who is paid")
    if wanted.bare:
        raise InvalidFieldError("kind", "must not be 'payout' for a bare reservation")


def _validate_expiry(wanted: Ask) -> None:
    if wanted.expires_in_seconds is None:
        return
    if not wanted.bare:
        raise InvalidFieldError("expires_in_seconds", "is for bare reservations only")
    if not 1 <= wanted.expires_in_seconds <= MAX_RESERVATION_SECONDS:
        raise InvalidFieldError("expires_in_seconds", f"must be 1 to {MAX_RESERVATION_SECONDS}")


async def _permitted(desk: Desk, actor: Actor) -> Actor:
    """The caller, who may initiate. What is remembered of a caller never refuses: then the present is looked at."""
    if actor.standing is not None and "initiate" not in actor.principal.roles:
        actor = await _present(desk, actor)
    actor.principal.require("initiate")
    return actor


async def _present(desk: Desk, actor: Actor) -> Actor:
    """The caller as of now, if it was remembered. Raises AuthenticationError when its key has ended."""
    if actor.standing is None:
        return actor
    standing = await desk.standings.again(actor.standing)
    return replace(actor, principal=standing.principal, standing=None)


async def _store_together(
    desk: Desk, actor: Actor, wanted: Ask, request: IdempotentRequest | None, *, wait: bool
) -> Asked | None:
    """In one commit with others what may be: a keyed charge of a caller who is remembered. None: not that way."""
    alone = wanted.kind != "charge" or wanted.bare or wanted.agent_id is not None
    if actor.standing is None or request is None or alone:
        return None
    payment_id = ids.new_uuid()
    lease_seconds = desk.settings.idempotency_lease_seconds if wait else 0
    charge = KeyedCharge(
        new_payment(desk, actor, wanted, payment_id, keyed=True, suspected=False),
        actor.standing,
        desk.policies,
        idempotency.Registration(actor.principal.id, request, payment_id, lease_seconds),
        duplicate_fingerprint(actor, wanted),
        actor.request_id,
        desk.settings.pickup_seconds if wait else 0,
    )
    payment = await ask_group.write(desk, actor.tenant_id, charge)
    return None if payment is None else Asked(payment, replayed=False)


async def _store(desk: Desk, actor: Actor, wanted: Ask, request: IdempotentRequest | None, *, wait: bool) -> Asked:
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await _store_once(connection, desk, actor, wanted, request, keyed=request is not None, wait=wait)


async def _store_once(
    connection: Connection,
    desk: Desk,
    actor: Actor,
    wanted: Ask,
    request: IdempotentRequest | None,
    *,
    keyed: bool,
    wait: bool,
) -> Asked:
    payment_id = ids.new_uuid()
    if request is not None:
        lease_seconds = desk.settings.idempotency_lease_seconds if wait else 0
        new = await idempotency.register(connection, actor.principal.id, request, payment_id, lease_seconds)
        if not new:
            return Asked(await _replay(connection, actor, request), replayed=True)
    suspected = await _suspect_duplicate(connection, actor, wanted, keyed=keyed)
    payment = await _insert(connection, desk, actor, wanted, payment_id, keyed, suspected)
    await events.record(
        connection,
        "payment.asked",
        ("payment", payment.id),
        principal_id=actor.principal.id,
        request_id=actor.request_id,
        data={"kind": payment.kind, "amount_minor": payment.amount_minor, "currency": payment.currency},
    )
    begun = await advance.begin(connection, desk, payment, pickup_seconds=None if wait else 0)
    return Asked(begun, replayed=False)


async def _replay(connection: Connection, actor: Actor, request: IdempotentRequest) -> Payment:
    payment = await earlier(connection, actor, request)
    if payment is None:
        raise IdempotencyInProgressError("The key is being stored; retry in a moment.", retry_after_seconds=1)
    return payment


async def earlier(connection: Connection, actor: Actor, request: IdempotentRequest) -> Payment | None:
    """The payment of an earlier request with this key, None for a new key.

    Raises IdempotencyKeyReusedError for another request, IdempotencyInProgressError while the first is answered.
    """
    stored = await idempotency.earlier(connection, actor.principal.id, request)
    if stored is None:
        return None
    payment = None if stored.payment_id is None else await rows.find(connection, stored.payment_id)
    if payment is None:
        raise LookupError("a key without its payment")
    return payment


async def _suspect_duplicate(connection: Connection, actor: Actor, wanted: Ask, *, keyed: bool) -> bool:
    """Every request leaves its mark; only one without a key is suspected when the mark is already there."""
    if wanted.bare:
        return False
    return await duplicate_store.suspect(connection, duplicate_fingerprint(actor, wanted), keyed=keyed)


def duplicate_fingerprint(actor: Actor, wanted: Ask) -> bytes:
    """What two requests share that look the same."""
    parts = [wanted.agent_id, wanted.payee, wanted.customer_id, str(wanted.original_payment_id or "")]
    return duplicates.fingerprint(
        principal_id=actor.principal.id,
        kind=wanted.kind,
        counterparty=canonical_json(parts).decode(),
        amount_minor=wanted.amount_minor,
        currency=wanted.currency,
        reference=wanted.reference,
    )


async def _insert(
    connection: Connection, desk: Desk, actor: Actor, wanted: Ask, payment_id: UUID, keyed: bool, suspected: bool
) -> Payment:
    wanted = await _refund_terms(connection, wanted) if wanted.kind == "refund" else wanted
    if wanted.customer_id is not None:
        await principals.ensure_customer(connection, wanted.customer_id)
    if wanted.agent_id is not None:
        await principals.ensure(connection, "agent", wanted.agent_id, [])
    new = new_payment(desk, actor, wanted, payment_id, keyed=keyed, suspected=suspected)
    return await rows.insert(connection, actor.tenant_id, new)


def new_payment(desk: Desk, actor: Actor, wanted: Ask, payment_id: UUID, *, keyed: bool, suspected: bool) -> NewPayment:
    """The row that a request becomes."""
    expires_in_seconds = wanted.expires_in_seconds or desk.settings.reservation_seconds
    return NewPayment(
        id=payment_id,
        kind=wanted.kind,
        origin=wanted.origin,
        amount_minor=wanted.amount_minor,
        currency=wanted.currency,
        principal_id=actor.principal.id,
        agent_id=wanted.agent_id or actor.principal.name,
        keyed=keyed,
        customer_id=wanted.customer_id,
        payee=wanted.payee,
        purpose=wanted.purpose,
        reference=wanted.reference,
        request_text=wanted.request_text,
        original_payment_id=wanted.original_payment_id,
        mandate_id=wanted.mandate_id,
        confirm=wanted.confirm,
        bare=wanted.bare,
        duplicate_suspected=suspected,
        provider=None if wanted.bare else DEFAULT_PROVIDER,
        provider_account=None if wanted.bare else DEFAULT_ACCOUNT,
        expires_in_seconds=expires_in_seconds if wanted.bare else None,
    )


async def _refund_terms(connection: Connection, wanted: Ask) -> Ask:
    """Lock the original, set the amount aside, and take customer and currency from it."""
    assert wanted.original_payment_id is not None  # noqa: S101  _validate has refused it
    original = await rows.lock(connection, wanted.original_payment_id)
    if original is None or original.kind != "charge":
        raise NotFoundError("There is no such charge to refund.", param="payment")
    if original.currency != wanted.currency:
        raise InvalidFieldError("currency", f"must be the charge's own: '{original.currency}'")
    if original.captured_minor and original.provider_payment_id is None:
        raise StateConflictError("The provider's id of this charge is not known, so nothing can be sent back to it.")
    if original.captured_minor == 0:
        raise StateConflictError(f"The charge is {original.status}: nothing was captured that could be refunded.")
    if not await rows.reserve_refundable(connection, original.id, wanted.amount_minor):
        raise StateConflictError(
            f"Only {display(original.refundable_minor, original.currency)} of this charge can be refunded.",
            refundable_minor=original.refundable_minor,
        )
    return structs.replace(wanted, customer_id=original.customer_id)
