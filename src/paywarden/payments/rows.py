"""The payment row and its guarded moves. Amounts are minor units; every function needs an open tenant transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from msgspec import Struct, structs
from psycopg import AsyncConnection, AsyncCursor
from psycopg.types.json import Jsonb

from paywarden.db import columns
from paywarden.db.sql import NEWEST, load
from paywarden.kit import ids
from paywarden.kit.canonical import digest
from paywarden.kit.errors import InvalidFieldError
from paywarden.kit.states import Cause, Status, allowed_from

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]
Kind = Literal["charge", "refund", "payout"]
Origin = Literal["v1", "payments", "create", "reserve"]


class Payment(Struct, frozen=True):
    """One payment as it stands. ``fence`` grows with every claim; a writer with an older one is refused.

    ``missing_facts`` are named while it waits for them, until ``facts_until``; ``facts_rounds`` counts how often.
    """

    tenant_id: UUID
    id: UUID
    kind: Kind
    origin: Origin
    status: Status
    amount_minor: int
    currency: str
    principal_id: UUID
    agent_id: str
    customer_id: str | None
    payee: str | None
    purpose: str | None
    reference: str | None
    request_text: str | None
    original_payment_id: UUID | None
    mandate_id: UUID | None
    confirm: bool
    bare: bool
    keyed: bool
    duplicate_suspected: bool
    provider: str | None
    provider_account: str | None
    provider_payment_id: str | None
    hold_id: UUID | None
    oversight: str | None
    decided_by: list[str]
    reason: str | None
    policy_version: str | None
    action_digest: bytes
    decision_id: UUID | None
    captured_minor: int
    refund_reserved_minor: int
    refunded_minor: int
    disputed_minor: int
    returned_minor: int
    late: bool
    missing_facts: list[str]
    facts_until: datetime | None
    facts_rounds: int
    next_step_at: datetime | None
    lease_until: datetime | None
    fence: int
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    transaction_id: str
    quickstart_status: str

    @property
    def public_id(self) -> str:
        """The id as answers show it."""
        return ids.to_text("pay", self.id)

    @property
    def refundable_minor(self) -> int:
        """What may still be refunded of a charge: captured less refunds (done and reserved), disputes and returns."""
        if self.kind != "charge":
            return 0
        gone = self.refund_reserved_minor + self.refunded_minor + self.disputed_minor + self.returned_minor
        return self.captured_minor - gone


_COLUMNS = Payment.__struct_fields__
_STATUS = _COLUMNS.index("status")


# Of a payment that was just reserved.
_NOTHING_YET: dict[str, Any] = {
    **dict.fromkeys(
        ("captured_minor", "refund_reserved_minor", "refunded_minor", "disputed_minor", "returned_minor"), 0
    ),
    **dict.fromkeys(("provider_payment_id", "reason", "decision_id", "facts_until", "lease_until", "expires_at")),
    "late": False,
    "missing_facts": [],
    "facts_rounds": 0,
    "fence": 0,
}


def from_row(row: dict[str, Any]) -> Payment:
    """A payment from its row."""
    values = [row[name] for name in _COLUMNS]
    values[_STATUS] = Status(row["status"])
    return Payment(*values)


class NewPayment(Struct, frozen=True):
    """What an ask stores, before anything is decided."""

    id: UUID
    kind: Kind
    origin: Origin
    amount_minor: int
    currency: str
    principal_id: UUID
    agent_id: str
    keyed: bool
    customer_id: str | None = None
    payee: str | None = None
    purpose: str | None = None
    reference: str | None = None
    request_text: str | None = None
    original_payment_id: UUID | None = None
    mandate_id: UUID | None = None
    confirm: bool = True
    bare: bool = False
    duplicate_suspected: bool = False
    provider: str | None = None
    provider_account: str | None = None
    expires_in_seconds: int | None = None


def action_digest(tenant_id: UUID, payment: NewPayment | Payment) -> bytes:
    """SHA-256 of the canonical JSON of exactly this action: what a verdict is about. One cent more is another."""
    return digest(
        {
            "tenant": str(tenant_id),
            "payment": str(payment.id),
            "kind": payment.kind,
            "amount_minor": payment.amount_minor,
            "currency": payment.currency,
            "initiator": str(payment.principal_id),
            "agent": payment.agent_id,
            "customer": payment.customer_id,
            "payee": payment.payee,
            "original": payment.original_payment_id and str(payment.original_payment_id),
            "purpose": payment.purpose,
            "reference": payment.reference,
            "provider": payment.provider and [payment.provider, payment.provider_account],
            "bare": payment.bare,
        }
    )


async def insert(connection: Connection, tenant_id: UUID, new: NewPayment) -> Payment:
    """Store a new payment as ``pending`` with its first transition; nobody has decided anything yet."""
    values = structs.asdict(new) | {"action_digest": action_digest(tenant_id, new)}
    row = await (await connection.execute(SQL.insert_payment, values)).fetchone()
    if row is None:
        raise RuntimeError("the payment was not stored")
    return from_row(row)


class Reservation(Struct, frozen=True):
    """What guard and ledger made of a new keyed payment; a worker may take it after ``next_step_seconds``."""

    hold_id: UUID
    mandate_id: UUID
    oversight: str
    decided_by: tuple[str, ...]
    policy_version: str
    action_digest: bytes
    next_step_seconds: float


async def insert_reserved(
    connection: Connection, new: Sequence[tuple[NewPayment, Reservation]]
) -> AsyncCursor[dict[str, Any]]:
    """Store new keyed payments as ``reserved``, with the transitions from ``pending`` to there.

    Answers what ``reserved`` needs of each; whoever works in a pipeline reads it after its end.
    """
    if any(each.bare or each.original_payment_id or each.payee is not None or not each.keyed for each, _ in new):
        raise ValueError("only keyed charges are stored as reserved at once")
    asked, found = [each for each, _ in new], [each for _, each in new]
    values = {
        "ids": columns.uuids(each.id for each in asked),
        "kinds": columns.plain(each.kind for each in asked),
        "origins": columns.plain(each.origin for each in asked),
        "amounts": columns.plain(each.amount_minor for each in asked),
        "currencies": columns.plain(each.currency for each in asked),
        "principal_ids": columns.uuids(each.principal_id for each in asked),
        "agent_ids": columns.texts(each.agent_id for each in asked),
        "customer_ids": columns.texts(each.customer_id for each in asked),
        "purposes": columns.texts(each.purpose for each in asked),
        "references": columns.texts(each.reference for each in asked),
        "request_texts": columns.texts(each.request_text for each in asked),
        "confirms": columns.plain(each.confirm for each in asked),
        "providers": columns.texts(each.provider for each in asked),
        "accounts": columns.texts(each.provider_account for each in asked),
        "mandate_ids": columns.uuids(each.mandate_id for each in found),
        "hold_ids": columns.uuids(each.hold_id for each in found),
        "oversights": columns.plain(each.oversight for each in found),
        "decided_by": columns.texts(columns.texts(each.decided_by) for each in found),
        "policy_versions": columns.texts(each.policy_version for each in found),
        "action_digests": columns.hexadecimal(each.action_digest for each in found),
        "next_steps_seconds": columns.plain(each.next_step_seconds for each in found),
    }
    return await connection.execute(SQL.insert_reserved_payments, values)


def reserved(new: NewPayment, found: Reservation, row: dict[str, Any]) -> Payment:
    """The payment that ``insert_reserved`` stored; ``row`` is what it answered of it."""
    told = structs.asdict(new) | structs.asdict(found)
    told |= {"status": Status.RESERVED, "decided_by": list(found.decided_by), **_NOTHING_YET, **row}
    return Payment(*[told[name] for name in _COLUMNS])


async def find(connection: Connection, payment_id: UUID) -> Payment | None:
    """A payment of the tenant."""
    row = await (await connection.execute(SQL.payment_by_id, {"id": payment_id})).fetchone()
    return None if row is None else from_row(row)


async def lock(connection: Connection, payment_id: UUID) -> Payment | None:
    """A payment of the tenant, locked until the transaction ends."""
    row = await (await connection.execute(SQL.lock_payment, {"id": payment_id})).fetchone()
    return None if row is None else from_row(row)


async def lock_with_original(connection: Connection, payment_id: UUID) -> Payment | None:
    """A payment locked after the charge it refunds, if it refunds one (docs/decisions/0003-lock-order.md)."""
    payment = await find(connection, payment_id)
    if payment is None:
        return None
    if payment.original_payment_id is not None:
        await lock(connection, payment.original_payment_id)
    return await lock(connection, payment_id)


async def by_provider_id(
    connection: Connection, provider: str, account: str, provider_payment_id: str, kind: Kind
) -> Payment | None:
    """The payment that carries this id of the provider."""
    values = {"provider": provider, "account": account, "provider_payment_id": provider_payment_id, "kind": kind}
    row = await (await connection.execute(SQL.payment_by_provider_id, values)).fetchone()
    return None if row is None else from_row(row)


@dataclass(frozen=True, slots=True)
class Move:
    """A wanted change of status and what goes with it. ``next_step_seconds``: None means nothing is due.

    A move to ``needs_facts`` names ``missing_facts`` and for how many seconds it waits for them.
    """

    to: Status
    cause: Cause
    source: str
    principal_id: UUID | None = None
    reason: str | None = None
    detail: dict[str, Any] | None = None
    event_at: datetime | None = None
    next_step_seconds: float | None = None
    keep_lease: bool = False
    late: bool = False
    fence: int | None = None
    missing_facts: tuple[str, ...] = ()
    facts_seconds: float | None = None


async def move(connection: Connection, payment_id: UUID, wanted: Move) -> Payment | None:
    """Move a payment where the state table allows it, with its transition row in the same statement.

    None means it was not in a state that allows this (or the fence is old): somebody else was there first.
    """
    values = {
        "id": payment_id,
        "from": [status.value for status in allowed_from(wanted.to, wanted.cause)],
        "to": wanted.to.value,
        "cause": wanted.cause,
        "source": wanted.source,
        "principal_id": wanted.principal_id,
        "reason": wanted.reason,
        "detail": Jsonb(wanted.detail or {}),
        "event_at": wanted.event_at,
        "next_step_seconds": wanted.next_step_seconds,
        "keep_lease": wanted.keep_lease,
        "late": wanted.late,
        "fence": wanted.fence,
        "missing_facts": list(wanted.missing_facts),
        "facts_seconds": wanted.facts_seconds,
    }
    row = await (await connection.execute(SQL.move_payment, values)).fetchone()
    return None if row is None else from_row(row)


async def takes_facts(connection: Connection, payment_id: UUID) -> bool:
    """Whether the payment waits for facts and its time for them has not run out."""
    return (await connection.execute(SQL.takes_facts, {"id": payment_id})).rowcount == 1


async def record_decision(
    connection: Connection,
    payment_id: UUID,
    *,
    oversight: str | None,
    decided_by: Sequence[str],
    policy_version: str,
    mandate_id: UUID | None,
    hold_id: UUID | None,
    decision_id: UUID | None,
) -> None:
    """Write what guard found onto the row, before the move that follows from it."""
    values = {
        "id": payment_id,
        "oversight": oversight,
        "decided_by": list(decided_by),
        "policy_version": policy_version,
        "mandate_id": mandate_id,
        "hold_id": hold_id,
        "decision_id": decision_id,
    }
    await connection.execute(SQL.record_decision, values)


async def rewrite_reason(connection: Connection, payment_id: UUID, reason: str) -> None:
    """Say anew why a payment stands where it stands, without a move."""
    await connection.execute(SQL.rewrite_reason, {"id": payment_id, "reason": reason})


async def write_provider_id(connection: Connection, payment_id: UUID, provider_payment_id: str) -> bool:
    """Write the provider's id over NULL; False when another one is there, or another payment has it already."""
    values = {"id": payment_id, "provider_payment_id": provider_payment_id}
    return (await connection.execute(SQL.write_provider_id, values)).rowcount == 1


async def reserve_refundable(connection: Connection, original_id: UUID, amount_minor: int) -> bool:
    """Set aside part of a charge for a refund; False when less than that is refundable."""
    values = {"id": original_id, "amount_minor": amount_minor}
    return (await connection.execute(SQL.reserve_refundable, values)).rowcount == 1


async def release_refundable(connection: Connection, original_id: UUID, amount_minor: int) -> None:
    """Give back what a refund that did not happen had set aside."""
    await connection.execute(SQL.release_refundable, {"id": original_id, "amount_minor": amount_minor})


async def book_refunded(connection: Connection, original_id: UUID, amount_minor: int, *, was_reserved: bool) -> None:
    """Count a refund that happened, taking it out of what was set aside if it still was."""
    values = {"id": original_id, "amount_minor": amount_minor, "was_reserved": was_reserved}
    await connection.execute(SQL.book_refunded, values)


async def book_captured(connection: Connection, payment_id: UUID, amount_minor: int) -> None:
    """Count what the provider proved to have taken."""
    await connection.execute(SQL.book_captured, {"id": payment_id, "amount_minor": amount_minor})


async def became_by(connection: Connection, payment_id: UUID, status: Status, source: str) -> bool:
    """Whether this source once moved the payment to this status."""
    values = {"payment_id": payment_id, "status": status.value, "source": source}
    return (await connection.execute(SQL.transition_by_source, values)).rowcount > 0


async def transitions(connection: Connection, payment_id: UUID) -> list[dict[str, Any]]:
    """How the payment came to where it is, oldest first."""
    return await (await connection.execute(SQL.transitions_of_payment, {"id": payment_id})).fetchall()


async def page(
    connection: Connection,
    *,
    limit: int,
    after: tuple[str, UUID] | None,
    status: str | None = None,
    kind: Kind | None = None,
    customer_id: str | None = None,
) -> list[Payment]:
    """Committed payments, newest first, after a cursor of (transaction, id)."""
    transaction_id, payment_id = after or NEWEST
    values: dict[str, Any] = {"limit": limit, "after_transaction": transaction_id, "after_id": payment_id}
    if customer_id is not None:
        statement = SQL.list_payments_of_customer
        values |= {"customer_id": customer_id, "status": status, "kind": kind}
    else:
        statement = SQL.list_payments
        values["statuses"] = [each.value for each in Status] if status is None else [status]
        values["kinds"] = list(get_args(Kind)) if kind is None else [kind]
    return [from_row(row) for row in await (await connection.execute(statement, values)).fetchall()]


async def payable_jobs(connection: Connection, agent_id: str) -> list[Payment]:
    """The jobs of an agent that may still be settled, oldest first."""
    rows = await (await connection.execute(SQL.payable_jobs, {"agent_id": agent_id})).fetchall()
    return [from_row(row) for row in rows]


async def of_customer(connection: Connection, customer_id: str, limit: int) -> list[Payment]:
    """The customer's latest payments of any kind."""
    values = {"customer_id": customer_id, "limit": limit}
    return [from_row(row) for row in await (await connection.execute(SQL.payments_of_customer, values)).fetchall()]


async def payee_paid_before(connection: Connection, payee: str) -> bool:
    """Whether this payee ever got money from us, on the provider's evidence."""
    return (await connection.execute(SQL.payee_paid_before, {"payee": payee})).rowcount > 0


async def sent_to_provider(
    connection: Connection, provider: str, account: str, since: datetime, until: datetime, references: Iterable[str]
) -> list[dict[str, Any]]:
    """What we ever sent to a provider and asked for in [since, until), or is named by its public id.

    Rows of id, kind, status, amount and the provider's id; a reference that is none of ours is left out.
    """
    values = {
        "provider": provider,
        "account": account,
        "since": since,
        "until": until,
        "named": [identity for identity in map(_identity, references) if identity is not None],
    }
    return await (await connection.execute(SQL.sent_to_provider, values)).fetchall()


def _identity(reference: str) -> UUID | None:
    try:
        return ids.parse("pay", reference)
    except InvalidFieldError:
        return None
