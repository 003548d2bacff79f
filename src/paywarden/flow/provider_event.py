"""Provider events: verify over the raw body, store once, answer, then apply from the row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from paywarden.audit import events
from paywarden.db.transaction import enter_tenant, retrying, system_transaction, transaction
from paywarden.flow import facts
from paywarden.flow.desk import DEFAULT_ACCOUNT, DEFAULT_PROVIDER, Connection, Desk
from paywarden.flow.facts import Fact
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit import ids
from paywarden.kit.errors import InvalidFieldError, NotFoundError, OverloadedError, PaywardenError
from paywarden.payments import rows
from paywarden.payments.rows import Kind, Payment
from paywarden.providers.port import ProviderEvent, SignatureError
from paywarden.reconciliation import discrepancies
from paywarden.webhooks import inbox

_ALARM_SECONDS = 600
_MOST_REMEMBERED = 10_000
_UNMATCHED = "event_without_payment"
KIND: Mapping[str, Kind] = {"payment": "charge", "refund": "refund", "payout": "payout"}


class WebhookRefusedError(PaywardenError):
    """The event is not signed by the provider, or cannot be read: nothing was stored."""

    code, status, title = "webhook_refused", 400, "The webhook was refused"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an event belongs, and the secret that proves it."""

    tenant_id: UUID
    provider: str
    account: str
    secret: str


async def receive(desk: Desk, endpoint: Endpoint, body: bytes, signature: str | None) -> UUID | None:
    """Verify and store one event; the row's id, or None for a repeat. Durable when this returns.

    Raises WebhookRefusedError when the signature or the body is not acceptable; then nothing was stored.
    """
    try:
        event = desk.provider(endpoint.provider).parse_event(body, signature, endpoint.secret)
    except SignatureError as error:
        raise WebhookRefusedError("The signature is missing or wrong, or the body is not an event.") from error
    new = inbox.NewEvent(endpoint.provider, endpoint.account, event.event_key, event.event_type, body)
    return await desk.groups.of(_store, desk).submit(endpoint.tenant_id, new)


async def _store(desk: Desk, batch: Sequence[tuple[UUID, inbox.NewEvent]]) -> Sequence[UUID | Exception | None]:
    """Store events of several tenants in one commit; where that fails, each in its own."""
    try:
        return await retrying(lambda: _store_together(desk, batch))
    except OverloadedError:
        raise
    except Exception as error:
        if len(batch) == 1:
            return [error]
    return [outcome for each in batch for outcome in await _store(desk, [each])]


async def _store_together(desk: Desk, batch: Sequence[tuple[UUID, inbox.NewEvent]]) -> list[UUID | None]:
    """The tenants take their turns sorted, so that two batches with the same events do not wait in a circle."""
    places: dict[UUID, list[int]] = {}
    for place, (tenant_id, _) in enumerate(batch):
        places.setdefault(tenant_id, []).append(place)
    first, *others = sorted(places)
    stored: list[UUID | None] = [None] * len(batch)
    async with transaction(desk.pool, first) as connection:
        for tenant_id in (first, *others):
            if tenant_id != first:
                await enter_tenant(connection, tenant_id)
            mine = places[tenant_id]
            for place, inbox_id in zip(mine, await inbox.store(connection, [batch[p][1] for p in mine]), strict=True):
                stored[place] = inbox_id
    return stored


def quickstart_endpoint(desk: Desk) -> Endpoint:
    """``/webhooks/payments``: the quick-start tenant's."""
    return Endpoint(
        QUICKSTART_TENANT_ID, DEFAULT_PROVIDER, DEFAULT_ACCOUNT, desk.settings.secret("PAYMENT_WEBHOOK_SECRET")
    )


async def endpoint(desk: Desk, provider: str, endpoint_id: str) -> Endpoint:
    """``/webhooks/payments/{provider}/{endpoint}``. Raises NotFoundError, also when the provider does not match."""
    try:
        identity = ids.parse("ep", endpoint_id)
    except InvalidFieldError as error:
        raise NotFoundError("There is no such webhook endpoint.") from error
    known = desk.known_endpoints.get(identity) or await _look_up(desk, identity)
    if known is None or known["provider"] != provider:
        raise NotFoundError("There is no such webhook endpoint.")
    secret = desk.settings.secret(known["secret_variable"])
    return Endpoint(known["tenant_id"], known["provider"], known["provider_account"], secret)


async def _look_up(desk: Desk, identity: UUID) -> dict[str, Any] | None:
    """An endpoint is written once and never changed, so that it may be remembered; one that is not there is not."""
    async with system_transaction(desk.pool) as connection:
        row = await inbox.endpoint_tenant(connection, identity)
    if row is not None:
        if len(desk.known_endpoints) >= _MOST_REMEMBERED:
            desk.known_endpoints.clear()
        desk.known_endpoints[identity] = row
    return row


async def apply(desk: Desk, tenant_id: UUID, inbox_id: UUID) -> None:
    """Apply a stored event from its row. Doing it twice, or in two processes, changes nothing more.

    An event that cannot be applied now waits longer each time and is never lost; the error is the caller's to tell.
    """
    try:
        await retrying(lambda: _apply(desk, tenant_id, inbox_id))
    except OverloadedError:
        raise
    except Exception:
        async with transaction(desk.pool, tenant_id) as connection:
            await inbox.postpone(connection, inbox_id)
        raise


async def _apply(desk: Desk, tenant_id: UUID, inbox_id: UUID) -> None:
    async with transaction(desk.pool, tenant_id) as connection:
        stored = await inbox.find(connection, inbox_id)
        if stored is None:
            return
        event = read(desk, stored)
        await facts.lock_order(connection, tenant_id, stored["provider_account"], event.provider_id)
        row = await inbox.lock(connection, inbox_id)
        if row is None:
            return
        if says_nothing(event):
            await inbox.close(connection, inbox_id, "ignored", None)
            return
        payment = await _match(connection, stored, event)
        if payment is None:
            await _unmatched(connection, inbox_id, stored, event)
            return
        if row["status"] == "unmatched":
            await discrepancies.resolve(connection, _UNMATCHED, stored["event_key"])
        await _book(connection, desk, inbox_id, payment, event)


def says_nothing(event: ProviderEvent) -> bool:
    """Whether it is about no payment at all."""
    return event.object_kind == "other" or event.status is None or event.provider_id is None


def read(desk: Desk, stored: dict[str, Any]) -> ProviderEvent:
    """The event again from its stored bytes; its signature was checked before it was stored."""
    return desk.provider(stored["provider"]).read_event(bytes(stored["body"]))


async def _match(connection: Connection, stored: dict[str, Any], event: ProviderEvent) -> Payment | None:
    """By the provider's id, else by our own reference in the signed metadata."""
    kind = KIND[event.object_kind]
    provider, account = stored["provider"], stored["provider_account"]
    payment = await rows.by_provider_id(connection, provider, account, event.provider_id or "", kind)
    if payment is not None or event.our_reference is None:
        return payment
    try:
        named = await rows.find(connection, ids.parse("pay", event.our_reference))
    except InvalidFieldError:
        return None
    if named is None or (named.provider, named.provider_account) != (provider, account):
        return None
    return named


async def _book(connection: Connection, desk: Desk, inbox_id: UUID, payment: Payment, event: ProviderEvent) -> None:
    if payment.kind != KIND[event.object_kind]:
        await discrepancies.open_discrepancy(
            connection, "event_kind_differs", payment.public_id, payment_id=payment.id, event=event.event_key
        )
        await inbox.close(connection, inbox_id, "disputed", payment.id)
        return
    assert event.status is not None  # noqa: S101  such events were ignored before
    fact = Fact(
        event.status,
        "webhook",
        provider_id=event.provider_id,
        amount_minor=event.amount_minor,
        currency=event.currency,
        event_at=event.occurred_at,
        # What is not at its end is looked up again, should no other event come.
        next_step_seconds=desk.settings.fetch_first_seconds,
    )
    booked = await facts.apply(connection, payment.id, fact)
    await inbox.close(connection, inbox_id, "applied" if booked is not None else "disputed", payment.id)


async def _unmatched(connection: Connection, inbox_id: UUID, stored: dict[str, Any], event: ProviderEvent) -> None:
    row = await inbox.postpone(connection, inbox_id)
    if row is not None and row["age_seconds"] > _ALARM_SECONDS:
        await discrepancies.open_discrepancy(connection, _UNMATCHED, stored["event_key"], provider_id=event.provider_id)
        await events.record(connection, "webhook.unmatched", ("webhook", inbox_id), data={"type": event.event_type})
