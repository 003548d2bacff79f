"""Compare the provider's book with our payments and our ledger, line by line. Pure: rows in, findings out."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

FindingKind = Literal[
    "missing_at_provider", "missing_here", "amount_differs", "not_booked", "booked_without_provider", "doubled"
]
MovementKind = Literal["charge", "refund", "payout"]


@dataclass(frozen=True, slots=True)
class ProviderLine:
    """One movement in the provider's book; what it pays us is positive, in minor units."""

    provider_id: str
    kind: MovementKind
    amount_minor: int
    currency: str
    our_reference: str | None


@dataclass(frozen=True, slots=True)
class OurPayment:
    """One of our payments that was sent, and what the ledger booked for it on the provider's clearing account."""

    id: UUID
    reference: str
    kind: MovementKind
    status: str
    amount_minor: int
    currency: str
    provider_id: str | None
    booked_minor: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Two truths that do not agree; ``subject`` is what it is about."""

    kind: FindingKind
    subject: str
    payment_id: UUID | None
    ours_minor: int | None
    theirs_minor: int | None
    currency: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome: how many lines agree, the sums of both books, and everything that does not agree."""

    matched: int
    ours_minor: dict[str, int]
    theirs_minor: dict[str, int]
    findings: tuple[Finding, ...]


def compare(lines: Sequence[ProviderLine], payments: Sequence[OurPayment]) -> Comparison:
    """Match by the provider's id, else by our reference; every line of both sides ends matched or found."""
    by_payment, strangers = _assign(lines, payments)
    findings = [_stranger(line) for line in strangers]
    matched = 0
    for payment in payments:
        found = _judge(payment, by_payment[payment.id])
        findings.extend(found)
        matched += not found and bool(by_payment[payment.id])
    return Comparison(
        matched,
        _sums((payment.currency, payment.booked_minor) for payment in payments),
        _sums((line.currency, line.amount_minor) for line in lines),
        tuple(findings),
    )


def _assign(
    lines: Sequence[ProviderLine], payments: Sequence[OurPayment]
) -> tuple[dict[UUID, list[ProviderLine]], list[ProviderLine]]:
    by_id = {(payment.kind, payment.provider_id): payment.id for payment in payments if payment.provider_id}
    by_reference = {(payment.kind, payment.reference): payment.id for payment in payments}
    assigned: dict[UUID, list[ProviderLine]] = defaultdict(list)
    strangers = []
    for line in lines:
        owner = by_id.get((line.kind, line.provider_id)) or by_reference.get((line.kind, line.our_reference or ""))
        if owner is None:
            strangers.append(line)
        else:
            assigned[owner].append(line)
    return assigned, strangers


def _stranger(line: ProviderLine) -> Finding:
    return Finding("missing_here", line.provider_id, None, None, line.amount_minor, line.currency)


def _judge(payment: OurPayment, lines: Sequence[ProviderLine]) -> list[Finding]:
    expected = payment.amount_minor if payment.kind == "charge" else -payment.amount_minor
    theirs = sum(line.amount_minor for line in lines)

    def finding(kind: FindingKind) -> Finding:
        return Finding(kind, payment.reference, payment.id, payment.booked_minor, theirs, payment.currency)

    if len(lines) > 1:
        return [finding("doubled")]
    if not lines:
        if payment.booked_minor:
            return [finding("booked_without_provider")]
        return [finding("missing_at_provider")] if payment.status == "succeeded" else []
    if theirs != expected or lines[0].currency != payment.currency:
        return [finding("amount_differs")]
    return [] if payment.booked_minor == theirs else [finding("not_booked")]


def _sums(amounts: Iterable[tuple[str, int]]) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for currency, amount_minor in amounts:
        total[currency] += amount_minor
    return dict(total)
