"""Keyed charges of many callers in one commit, as long as nobody need look at them: asked, guarded and held at once.

What the policies do not permit autonomously, what the ledger has too little for, whose caller's standing is not the
present one, and a key that stands already are left to ``flow.ask``, which stores one request in one transaction: here
they leave nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import structlog
from msgspec import Struct
from psycopg import Error

from paywarden.audit import events
from paywarden.audit.events import Happened
from paywarden.db.transaction import transaction_from
from paywarden.decisions import store as decision_store
from paywarden.flow import guard
from paywarden.flow.authority import Standing
from paywarden.flow.desk import Connection, Desk, Pool
from paywarden.flow.guard import Situation, StaleAuthorityError, Verdict
from paywarden.guardrails import duplicate_store, oversight
from paywarden.guardrails.cedar import PolicySet
from paywarden.guardrails.oversight import OversightDecision
from paywarden.identity import principals, tenants
from paywarden.kit import ids
from paywarden.kit.errors import PaywardenError
from paywarden.ledger import door
from paywarden.ledger.intents import Reserve
from paywarden.payments import idempotency, rows
from paywarden.payments.idempotency import Registration
from paywarden.payments.rows import NewPayment, Payment, Reservation

_LOG = structlog.get_logger(__name__)


class KeyedCharge(Struct, frozen=True):
    """A charge with its key and its duplicate guard, judged by ``policies`` on what is remembered of the caller.

    A worker may take it ``pickup_seconds`` after it is reserved.
    """

    new: NewPayment
    standing: Standing
    policies: PolicySet
    registration: Registration
    duplicate_fingerprint: bytes
    request_id: str | None
    pickup_seconds: float


class _Judged(Struct, frozen=True):
    """A charge that is allowed, and what it was judged on."""

    charge: KeyedCharge
    situation: Situation
    verdict: Verdict
    hold_id: UUID


class _InsufficientError(Exception):
    """The ledger has too little for these of the charges, and has therefore held for none."""

    def __init__(self, payment_ids: set[UUID]) -> None:
        super().__init__(len(payment_ids))
        self.payment_ids = payment_ids


async def write(desk: Desk, tenant_id: UUID, charge: KeyedCharge) -> Payment | None:
    """The charge, ``reserved`` and durable, in a commit with others; None: it must be stored alone.

    Raises OverloadedError: nobody knows whether it was stored.
    """
    return await desk.groups.of(write_batch, desk).submit(tenant_id, charge)


async def write_batch(desk: Desk, batch: Sequence[tuple[UUID, KeyedCharge]]) -> list[Payment | Exception | None]:
    """Each charge as ``write`` answers it; one transaction for each tenant."""
    members: dict[UUID, list[KeyedCharge]] = defaultdict(list)
    for tenant_id, charge in batch:
        members[tenant_id].append(charge)
    stored = {tenant_id: await _write_tenant(desk.pool, tenant_id, own) for tenant_id, own in members.items()}
    return [_told(stored[tenant_id], charge) for tenant_id, charge in batch]


def _told(stored: dict[UUID, Payment] | Exception, charge: KeyedCharge) -> Payment | Exception | None:
    return stored if isinstance(stored, Exception) else stored.get(charge.new.id)


async def _write_tenant(pool: Pool, tenant_id: UUID, charges: Sequence[KeyedCharge]) -> dict[UUID, Payment] | Exception:
    firsts = _one_a_key(charges)
    try:
        return await guard.until_fresh(lambda: _store(pool, tenant_id, firsts))
    except (StaleAuthorityError, _InsufficientError):
        return {}
    except PaywardenError as error:
        return error
    except Exception:
        # One of them, or what they are together: alone each finds its own answer.
        _LOG.exception("charges that would have shared a commit are stored one by one")
        return {}


def _one_a_key(charges: Sequence[KeyedCharge]) -> list[KeyedCharge]:
    """The first charge of each key; the others find it stored when they are stored alone."""
    firsts: dict[tuple[UUID, str], KeyedCharge] = {}
    for charge in charges:
        firsts.setdefault((charge.registration.principal_id, charge.registration.request.key), charge)
    return list(firsts.values())


async def _store(pool: Pool, tenant_id: UUID, charges: Sequence[KeyedCharge]) -> dict[UUID, Payment]:
    """Those that can be stored; once more without those that the ledger has too little for."""
    try:
        return await _store_all(pool, tenant_id, charges)
    except _InsufficientError as error:
        return await _store_all(pool, tenant_id, [each for each in charges if each.new.id not in error.payment_ids])


async def _store_all(pool: Pool, tenant_id: UUID, charges: Sequence[KeyedCharge]) -> dict[UUID, Payment]:
    """Those that are allowed and whose keys are new, all or none. Raises _InsufficientError, StaleAuthorityError."""
    async with transaction_from(pool, tenant_id, tenants.PRESENT) as (connection, tenant):
        allowed = _judge(tenant, charges)
        fresh = await idempotency.register_all(connection, [each.charge.registration for each in allowed])
        allowed = [each for each in allowed if each.charge.new.id in fresh]
        if not allowed:
            return {}
        try:
            return await _commit(connection, tenant_id, allowed)
        except Error as error:
            _explain(error, allowed)
            raise


async def _commit(connection: Connection, tenant_id: UUID, allowed: Sequence[_Judged]) -> dict[UUID, Payment]:
    """Write everything and commit in one round trip, the ledger last.

    From the ledger's writing to the commit the budget is locked, for whichever charges of the tenant come next: so
    nothing is done in between, and nobody waits for an answer.
    """
    customers = {each.charge.new.customer_id for each in allowed}
    checks = [(each.charge.new.id, each.charge.policies.version, each.verdict.checks) for each in allowed]
    async with connection.pipeline():
        await duplicate_store.mark_all(connection, (each.charge.duplicate_fingerprint for each in allowed))
        await principals.ensure_customers(connection, (customer for customer in customers if customer is not None))
        reserved = {each.charge.new.id: (each.charge.new, _reservation(tenant_id, each)) for each in allowed}
        inserted = await rows.insert_reserved(connection, list(reserved.values()))
        await decision_store.save_checks_of_payments(connection, checks)
        await events.record_all(connection, [event for each in allowed for event in _events(each.charge)])
        await door.write_all(connection, [_intent(each) for each in allowed])
        await connection.commit()
    return {row["id"]: rows.reserved(*reserved[row["id"]], row) for row in await inserted.fetchall()}


def _explain(error: Error, allowed: Sequence[_Judged]) -> None:
    """Raise what the ledger's refusal means, if ``error`` is one."""
    results = door.refused(error)
    if results is None:
        return
    if "stale" in results:
        raise StaleAuthorityError("A mandate, role or switch changed while this was decided.") from error
    if not set(results) <= {"ok", "insufficient"}:
        raise RuntimeError(f"the ledger answered {set(results)} to new holds") from error
    told = zip(allowed, results, strict=True)
    raise _InsufficientError({each.charge.new.id for each, result in told if result != "ok"}) from error


def _judge(tenant: dict[str, Any], charges: Sequence[KeyedCharge]) -> list[_Judged]:
    """Those that the policies permit at once and a mandate covers, in their order."""
    looked = [(charge, _situation(charge, tenant)) for charge in charges if _stands(charge.standing, tenant)]
    decisions = _autonomous(looked)
    judged = [
        _Judged(charge, situation, guard.verdict_of(charge.policies, charge.new, situation, decision), ids.new_uuid())
        for charge, situation in looked
        if (decision := decisions.get(charge.new.id)) is not None
    ]
    return [each for each in judged if each.verdict.denial is None]


def _stands(standing: Standing, tenant: dict[str, Any]) -> bool:
    """Whether what is remembered of a caller is the present truth; a key that has expired is not."""
    expires_at = standing.key_expires_at
    return standing.version == tenant["authority_version"] and (expires_at is None or tenant["now"] < expires_at)


def _situation(charge: KeyedCharge, tenant: dict[str, Any]) -> Situation:
    standing, now = charge.standing, tenant["now"]
    facts = guard.payment_facts(
        charge.new,
        standing.principal,
        tenant_active=tenant["status"] == "active",
        payee_known=True,
        local_hour=guard.local_hour(standing.mandates, now),
    )
    return Situation(facts, standing.mandates, standing.version, now)


def _autonomous(looked: Iterable[tuple[KeyedCharge, Situation]]) -> dict[UUID, OversightDecision]:
    """What the policies permit at the first level, asked about all charges of a principal at once."""
    alike: dict[tuple[str, UUID], list[tuple[KeyedCharge, Situation]]] = defaultdict(list)
    for charge, situation in looked:
        alike[charge.policies.version, charge.new.principal_id].append((charge, situation))
    found: dict[UUID, OversightDecision] = {}
    for group in alike.values():
        policies = group[0][0].policies
        decisions = oversight.autonomous(policies, [situation.facts for _, situation in group])
        for (charge, _), decision in zip(group, decisions, strict=True):
            if decision is not None:
                found[charge.new.id] = decision
    return found


def _intent(judged: _Judged) -> Reserve:
    mandate = judged.verdict.mandate
    assert mandate is not None  # noqa: S101  it is allowed
    authority = judged.charge.standing.authority([mandate.id])
    return guard.reserve_intent(judged.charge.new, judged.situation, mandate, authority, judged.hold_id)


def _reservation(tenant_id: UUID, judged: _Judged) -> Reservation:
    mandate, decision = judged.verdict.mandate, judged.verdict.decision
    assert mandate is not None and decision.oversight is not None  # noqa: S101, PT018  it is allowed
    return Reservation(
        judged.hold_id,
        mandate.id,
        decision.oversight,
        decision.determining,
        judged.charge.policies.version,
        rows.action_digest(tenant_id, judged.charge.new),
        judged.charge.pickup_seconds,
    )


def _events(charge: KeyedCharge) -> tuple[Happened, Happened]:
    subject = ("payment", charge.new.id)
    data = {"kind": charge.new.kind, "amount_minor": charge.new.amount_minor, "currency": charge.new.currency}
    asked = Happened("payment.asked", subject, data, charge.new.principal_id, charge.request_id)
    return asked, Happened("payment.reserved", subject, {})
