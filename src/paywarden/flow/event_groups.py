"""Stored events of one tenant applied together: one transaction and set-based statements for what is ordinary.

Ordinary is an event of a payment that is at the provider and ends as everything we know says it may. Whatever else an
event says, and whatever the same payment is told after that, is applied one by one (``provider_event.apply``), with the
same result as if each event had come alone, in the order in which they came.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import structlog

from paywarden.audit import events
from paywarden.db.transaction import retrying, transaction
from paywarden.flow import facts, provider_event
from paywarden.flow.desk import Connection, Desk
from paywarden.kit import ids
from paywarden.kit.errors import InvalidFieldError, OverloadedError
from paywarden.kit.states import AT_PROVIDER, Status
from paywarden.ledger import door
from paywarden.ledger.intents import Intent, Void
from paywarden.payments import groups
from paywarden.payments.groups import End, ProviderName
from paywarden.payments.rows import Payment
from paywarden.providers.port import ProviderEvent, SignatureError
from paywarden.reconciliation import discrepancies
from paywarden.webhooks import inbox

_LOG = structlog.get_logger()
_ENDS: Mapping[str | None, Status] = {"succeeded": Status.SUCCEEDED, "failed": Status.FAILED}
# An unknown outcome may have left a discrepancy that must be resolved.
_ORDINARY = AT_PROVIDER - {Status.OUTCOME_UNKNOWN}
_SOURCE = "webhook"


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A claimed event, as it was stored and as it reads; None when it does not."""

    stored: dict[str, Any]
    event: ProviderEvent | None

    @property
    def id(self) -> UUID:
        found: UUID = self.stored["id"]
        return found

    @property
    def waited(self) -> bool:
        """Whether it came before its payment had the provider's id: that may be an open discrepancy."""
        return bool(self.stored["status"] == "unmatched")

    def about(self, payment: Payment | None) -> set[UUID]:
        """What it may concern: the payment of this name, else the one that it names by our own reference."""
        if payment is not None:
            return _touched(payment)
        named = self.event and self.event.our_reference
        try:
            return {ids.parse("pay", named)} if named else set()
        except InvalidFieldError:
            return set()

    @property
    def name(self) -> ProviderName | None:
        """What it calls the payment that it ends; None when it ends none."""
        event = self.event
        if event is None or event.object_kind == "other" or event.provider_id is None or event.status not in _ENDS:
            return None
        kind = provider_event.KIND[event.object_kind]
        return ProviderName(self.stored["provider"], self.stored["provider_account"], kind, event.provider_id)


@dataclass(slots=True)
class _Plan:
    """What becomes of each event: ``ends`` are booked, ``closed`` are dealt with, ``left`` are applied alone."""

    ends: list[End] = field(default_factory=list)
    closed: list[tuple[UUID, inbox.Closed, UUID | None]] = field(default_factory=list)
    left: list[UUID] = field(default_factory=list)
    # Where payments stand after what was planned, and which ones must wait for an event that is left.
    _reached: dict[UUID, Status] = field(default_factory=dict)
    _waiting: set[UUID] = field(default_factory=set)

    def add(self, arrived: _Arrived, payment: Payment | None, original: Payment | None) -> None:
        """Decide about the next event in the order of arrival."""
        event = arrived.event
        if event is not None and provider_event.says_nothing(event):
            self.closed.append((arrived.id, "ignored", None))
        elif event is None or payment is None or arrived.waited or not self._fits(event, payment, original):
            self.left.append(arrived.id)
            self._waiting |= arrived.about(payment)
        else:
            self._close(arrived, event, payment)

    def _fits(self, event: ProviderEvent, payment: Payment, original: Payment | None) -> bool:
        """Whether nothing about it needs a second look."""
        if self._waiting & _touched(payment) or event.status not in _ENDS:
            return False
        if event.amount_minor not in (None, payment.amount_minor) or event.currency not in (None, payment.currency):
            return False
        if original is not None and original.refundable_minor < 0:
            return False
        now = self._stands(payment)
        return now in _ORDINARY or now is _ENDS[event.status]

    def _stands(self, payment: Payment) -> Status:
        """After what was planned so far."""
        return self._reached.get(payment.id, payment.status)

    def _close(self, arrived: _Arrived, event: ProviderEvent, payment: Payment) -> None:
        self.closed.append((arrived.id, "applied", payment.id))
        status = _ENDS[event.status]
        if self._stands(payment) is status:
            return
        self._reached[payment.id] = status
        captured = payment.amount_minor if status is Status.SUCCEEDED else 0
        self.ends.append(
            End(payment, status, _SOURCE, event.provider_id or "", captured, late=False, event_at=event.occurred_at)
        )


def _touched(payment: Payment) -> set[UUID]:
    return {payment.id} if payment.original_payment_id is None else {payment.id, payment.original_payment_id}


async def apply_soon(desk: Desk, tenant_id: UUID, inbox_id: UUID) -> None:
    """Apply an event just stored, together with the others that this process stores meanwhile.

    Raises OverloadedError when too many wait already: the event is due, and the worker will apply it.
    """
    await desk.groups.of(_apply_batch, desk).submit(tenant_id, inbox_id)


async def _apply_batch(desk: Desk, batch: Sequence[tuple[UUID, UUID]]) -> Sequence[None]:
    mine: dict[UUID, list[UUID]] = {}
    for tenant_id, inbox_id in batch:
        mine.setdefault(tenant_id, []).append(inbox_id)
    for tenant_id, inbox_ids in mine.items():
        await apply(desk, tenant_id, inbox_ids)
    return [None] * len(batch)


async def apply(desk: Desk, tenant_id: UUID, inbox_ids: Sequence[UUID]) -> int:
    """Apply stored events of one tenant; how many of them still waited. An error is told in the log and stays due.

    Raises OverloadedError when the database is away: then what was not applied is due as before.
    """
    if len(inbox_ids) == 1:
        await _apply_alone(desk, tenant_id, inbox_ids[0])
        return 1
    try:
        taken, left = await retrying(lambda: _apply_together(desk, tenant_id, inbox_ids))
    except OverloadedError:
        raise
    except Exception:
        _LOG.warning("events are applied one by one", exc_info=True)
        taken, left = len(inbox_ids), list(inbox_ids)
    for inbox_id in left:
        await _apply_alone(desk, tenant_id, inbox_id)
    return taken


async def _apply_alone(desk: Desk, tenant_id: UUID, inbox_id: UUID) -> None:
    try:
        await provider_event.apply(desk, tenant_id, inbox_id)
    except OverloadedError:
        raise
    except Exception:
        _LOG.exception("an event stays due", subject=str(inbox_id))


async def _apply_together(desk: Desk, tenant_id: UUID, inbox_ids: Sequence[UUID]) -> tuple[int, list[UUID]]:
    """Claim the events that nobody else works on and apply what is ordinary; how many, and those that are left."""
    async with transaction(desk.pool, tenant_id) as connection:
        arrived = [_Arrived(stored, _read(desk, stored)) for stored in await inbox.claim(connection, inbox_ids)]
        named = [(each, name) for each in arrived if (name := each.name) is not None]
        await inbox.lock_provider_ids(connection, tenant_id, {(n.account, n.provider_payment_id) for _, n in named})
        found, locked = await groups.lock_named(connection, [name for _, name in named])
        payments = {each.id: payment for (each, _), payment in zip(named, found, strict=True)}
        plan = _Plan()
        for each in arrived:
            payment = payments.get(each.id)
            original = payment and payment.original_payment_id and locked[payment.original_payment_id]
            plan.add(each, payment, original or None)
        if plan.ends:
            await _book(connection, plan.ends)
        if plan.closed:
            await inbox.close_all(connection, plan.closed)
    return len(arrived), plan.left


def _read(desk: Desk, stored: dict[str, Any]) -> ProviderEvent | None:
    try:
        return provider_event.read(desk, stored)
    except SignatureError:
        return None


async def _book(connection: Connection, ends: Sequence[End]) -> None:
    """What ``facts.apply`` books for each of these, in their order."""
    intents = [(each, intent) for each in ends if (intent := _intent(each)) is not None]
    outcomes = await door.write(connection, [intent for _, intent in intents])
    lates = set()
    for (each, _), outcome in zip(intents, outcomes, strict=True):
        if each.status is not Status.SUCCEEDED:
            continue
        if outcome.result != "ok":
            raise RuntimeError(f"the ledger answered {outcome.result} to a fact")
        if outcome.late:
            lates.add(each.payment.id)
        if outcome.below_floor is not None:
            await discrepancies.open_discrepancy(
                connection, "below_floor", outcome.below_floor, payment_id=each.payment.id
            )
    ended = [replace(each, late=True) if each.payment.id in lates else each for each in ends]
    await groups.end(connection, ended)
    if refunds := [each for each in ended if each.payment.original_payment_id is not None]:
        await groups.count_refunds(connection, refunds)
    await events.record_all(
        connection, [facts.told(each.payment.id, each.status, each.source, late=each.late) for each in ended]
    )


def _intent(end: End) -> Intent | None:
    if end.status is Status.SUCCEEDED:
        return facts.success(end.payment, end.event_at)
    return None if end.payment.hold_id is None else Void(end.payment.hold_id, end.payment.id)
