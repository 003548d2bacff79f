"""Reconcile: the provider's book against our payments and our ledger, for a period or for one payment."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, get_args
from uuid import UUID

from paywarden.db.transaction import retrying, transaction
from paywarden.flow import advance, facts
from paywarden.flow.desk import DEFAULT_ACCOUNT, DEFAULT_PROVIDER, Actor, Connection, Desk
from paywarden.flow.facts import Fact
from paywarden.identity import tenants
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339
from paywarden.kit.errors import InvalidFieldError, OverloadedError
from paywarden.kit.money import display
from paywarden.ledger import door
from paywarden.payments import rows
from paywarden.providers.port import StatementLine, Transient, Unknown
from paywarden.reconciliation import discrepancies, matching
from paywarden.reconciliation.matching import Comparison, OurPayment, ProviderLine

_DEFAULT_PERIOD = timedelta(days=1)
_STATEMENT_TIMEOUT_SECONDS = 60.0
# The provider's clock and ours need not agree to the second.
_EDGE = timedelta(minutes=5)
_MOVEMENTS = frozenset(get_args(matching.MovementKind))


async def run(desk: Desk, actor: Actor, since: datetime | None, until: datetime | None) -> dict[str, Any]:
    """Compare a period, by default the last day; every difference stays open as a discrepancy until it is gone.

    A line is a fact: what only the statement proves is booked. Raises InvalidFieldError for a period that
    ends before it begins or has not begun, OverloadedError when the provider hands out no statement now.
    """
    async with transaction(desk.pool, actor.tenant_id) as connection:
        tenant = await tenants.find(connection, actor.tenant_id)
    now: datetime = tenant["now"] if tenant else datetime.max
    since, until = since or now - _DEFAULT_PERIOD, until or now + _EDGE
    if since >= until:
        raise InvalidFieldError("until", f"must be after since, which is {rfc3339(since)}")
    if since > now:
        raise InvalidFieldError("since", f"must not be in the future; it is {rfc3339(now)} now")
    lines = await desk.provider(DEFAULT_PROVIDER).statement(since - _EDGE, until + _EDGE, _STATEMENT_TIMEOUT_SECONDS)
    if isinstance(lines, Transient | Unknown):
        raise OverloadedError(f"The provider gives no statement now: {lines.reason}", retry_after_seconds=10)
    compared = await _compare(desk, actor.tenant_id, lines or [], since, until)
    if await _book_proved(desk, actor.tenant_id, compared, lines or []):
        compared = await _compare(desk, actor.tenant_id, lines or [], since, until)
    return _report(compared, since, until, has_statement=lines is not None)


async def _compare(
    desk: Desk, tenant_id: UUID, lines: Sequence[StatementLine], since: datetime, until: datetime
) -> Comparison:
    async with transaction(desk.pool, tenant_id) as connection:
        ours = await _ours(connection, lines, since, until)
        known = {payment.reference for payment in ours}
        theirs = _own_lines(lines, known)
        compared = matching.compare(theirs, ours)
        await _keep(connection, compared, known | {line.provider_id for line in theirs})
    return compared


async def _ours(
    connection: Connection, lines: Sequence[StatementLine], since: datetime, until: datetime
) -> list[OurPayment]:
    """What was asked for in this period, and whatever the statement names, however old."""
    named = [line.our_reference for line in lines if line.our_reference is not None]
    sent = await rows.sent_to_provider(connection, DEFAULT_PROVIDER, DEFAULT_ACCOUNT, since, until, named)
    booked = {
        row["payment_id"]: row["amount_minor"]
        for row in await door.clearing_movements(connection, DEFAULT_PROVIDER, DEFAULT_ACCOUNT)
    }
    return [
        OurPayment(
            row["id"],
            ids.to_text("pay", row["id"]),
            row["kind"],
            row["status"],
            row["amount_minor"],
            row["currency"],
            row["provider_payment_id"],
            booked.get(row["id"], 0),
        )
        for row in sent
    ]


async def _book_proved(desk: Desk, tenant_id: UUID, compared: Comparison, lines: Sequence[StatementLine]) -> bool:
    """Book what the statement proves and our ledger does not have; whether there was any."""
    # A fee, or a refund, may carry the reference of its charge.
    by_reference = {(line.our_reference, line.amount_minor): line for line in lines if line.kind in _MOVEMENTS}
    proved = [finding for finding in compared.findings if finding.kind == "not_booked"]
    for finding in proved:
        line = by_reference.get((finding.subject, finding.theirs_minor or 0))
        if line is not None and finding.payment_id is not None:
            await retrying(partial(_book_line, desk, tenant_id, finding.payment_id, line))
    return bool(proved)


async def _book_line(desk: Desk, tenant_id: UUID, payment_id: UUID, line: StatementLine) -> None:
    fact = Fact(
        "succeeded",
        "statement",
        provider_id=line.provider_id,
        amount_minor=abs(line.amount_minor),
        currency=line.currency,
        event_at=line.occurred_at,
    )
    async with transaction(desk.pool, tenant_id) as connection:
        await facts.lock_order(connection, tenant_id, DEFAULT_ACCOUNT, line.provider_id)
        await facts.apply(connection, payment_id, fact)


def _own_lines(lines: Sequence[StatementLine], known: set[str]) -> list[ProviderLine]:
    """The lines that are this tenant's; several tenants may share one account at a provider."""
    own = []
    for line in lines:
        if line.kind not in ("charge", "refund", "payout"):
            continue
        if line.our_reference is not None and line.our_reference not in known:
            continue
        own.append(ProviderLine(line.provider_id, line.kind, line.amount_minor, line.currency, line.our_reference))
    return own


async def _keep(connection: Connection, compared: Comparison, subjects: set[str]) -> None:
    """Open what was found; resolve what was open about these subjects and is no longer found."""
    found = [(finding.kind, finding.subject) for finding in compared.findings]
    await discrepancies.resolve_gone(connection, get_args(matching.FindingKind), subjects, found)
    for finding in compared.findings:
        await discrepancies.open_discrepancy(
            connection,
            finding.kind,
            finding.subject,
            payment_id=finding.payment_id,
            ours_minor=finding.ours_minor,
            theirs_minor=finding.theirs_minor,
            currency=finding.currency,
        )


def _report(compared: Comparison, since: datetime, until: datetime, *, has_statement: bool) -> dict[str, Any]:
    currencies = sorted({*compared.ours_minor, *compared.theirs_minor})
    return {
        "since": since,
        "until": until,
        "has_statement": has_statement,
        "matched": compared.matched,
        "books": [
            {
                "currency": currency,
                "ledger_minor": compared.ours_minor.get(currency, 0),
                "ledger_display": display(compared.ours_minor.get(currency, 0), currency),
                "provider_minor": compared.theirs_minor.get(currency, 0),
                "provider_display": display(compared.theirs_minor.get(currency, 0), currency),
                "difference_minor": compared.ours_minor.get(currency, 0) - compared.theirs_minor.get(currency, 0),
            }
            for currency in currencies
        ],
        "findings": [
            {
                "kind": finding.kind,
                "subject": finding.subject,
                "ours_minor": finding.ours_minor,
                "theirs_minor": finding.theirs_minor,
                "currency": finding.currency,
            }
            for finding in compared.findings
        ],
    }


async def one(desk: Desk, actor: Actor, payment_id: UUID) -> dict[str, Any]:
    """One payment on demand: ask the provider now, book what it proves, and say what all sides have."""
    await advance.find(desk, actor.tenant_id, payment_id)
    await advance.step(desk, actor.tenant_id, payment_id)
    payment = await advance.find(desk, actor.tenant_id, payment_id)
    async with transaction(desk.pool, actor.tenant_id) as connection:
        booked = await door.transfers_of_payment(connection, payment_id)
        found = await discrepancies.of_payment(connection, payment_id)
    return {
        "payment": payment.public_id,
        "status": payment.status.value,
        "provider_payment_id": payment.provider_payment_id,
        "transfers": len(booked),
        "discrepancies": [{"kind": row["kind"], "status": row["status"]} for row in found],
    }
