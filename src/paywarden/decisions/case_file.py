"""The records of one customer, sorted for judging: every fact once, with the id under which it can be cited."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from paywarden.decisions.advice import Snapshot
from paywarden.decisions.record_facts import (
    ChargeFact,
    ClaimFact,
    ExtensionFact,
    FeeFact,
    InvoiceFact,
    MalformedFactError,
    OrderFact,
    RecordFact,
    RefundFact,
    parse_record_fact,
)

F = TypeVar("F", ChargeFact, RefundFact, FeeFact, OrderFact)
OfInvoice = TypeVar("OfInvoice", InvoiceFact, ExtensionFact)


@dataclass(frozen=True, slots=True)
class Cited:
    """A fact and the public id of the note or row that states it."""

    id: str
    fact: RecordFact


@dataclass(frozen=True, slots=True)
class CaseFile:
    """Facts in the currency of the request, or about no amount.

    ``contradictions`` are notes that tell something else than another note does, ``unreadable`` are record notes whose
    facts are not of the vocabulary.
    """

    facts: tuple[Cited, ...]
    contradictions: tuple[str, ...]
    unreadable: tuple[str, ...]

    def of(self, kind: type[F], payment_id: str | None = None) -> list[tuple[str, F]]:
        """All facts of a kind with their citations, oldest first; only those about one payment if it is named."""
        found = [(cited.id, cited.fact) for cited in self.facts if isinstance(cited.fact, kind)]
        about = [pair for pair in found if payment_id in (None, pair[1].payment_id)]
        return sorted(about, key=lambda pair: pair[1].at)

    def on_invoice(self, kind: type[OfInvoice], invoice_id: str) -> list[tuple[str, OfInvoice]]:
        """All facts of a kind about one invoice with their citations, oldest first."""
        found = [(cited.id, cited.fact) for cited in self.facts if isinstance(cited.fact, kind)]
        about = [pair for pair in found if pair[1].invoice_id == invoice_id]
        return sorted(about, key=lambda pair: pair[1].at)

    def refunded_minor(self, payment_ids: Iterable[str]) -> int:
        """Minor units that went back, or may still go back, for these charges."""
        wanted = set(payment_ids)
        refunds = [fact for _, fact in self.of(RefundFact) if fact.payment_id in wanted and fact.status != "failed"]
        return sum(fact.amount_minor for fact in refunds)


def open_case(snapshot: Snapshot) -> CaseFile:
    """Read the facts of a snapshot: record notes, the newest winning, and above them Paywarden's own rows.

    Notes of any other trust state no facts, whatever they carry.
    """
    unreadable: list[str] = []
    contradictions: list[str] = []
    known: dict[tuple[str, ...], Cited] = {}
    for cited in _noted(snapshot, unreadable):
        before = known.get(_subject(cited.fact))
        if before is not None and not _agree(before.fact, cited.fact):
            contradictions.append(cited.id)
        known[_subject(cited.fact)] = cited
    known.update({_subject(record.fact): Cited(record.id, record.fact) for record in snapshot.records})
    facts = tuple(cited for cited in known.values() if _counts(cited.fact, snapshot.currency))
    return CaseFile(facts, tuple(contradictions), tuple(unreadable))


def stated_by(snapshot: Snapshot, file: CaseFile, cited: frozenset[str]) -> tuple[RecordFact, ...]:
    """The facts that cited rows and record notes are about, as they stand by all records; none that is contradicted."""
    said = [record.fact for record in snapshot.records if record.id in cited]
    said += [each.fact for each in _noted(snapshot, []) if each.id in cited]
    standing = {_subject(each.fact): each.fact for each in file.facts if each.id not in file.contradictions}
    return tuple(standing[_subject(fact)] for fact in said if _subject(fact) in standing)


def _counts(fact: RecordFact, currency: str) -> bool:
    return isinstance(fact, ExtensionFact) or fact.currency == currency


def _noted(snapshot: Snapshot, unreadable: list[str]) -> list[Cited]:
    """The facts that record notes state, oldest first."""
    noted = list(_readable(snapshot, unreadable))
    return sorted(noted, key=lambda cited: (cited.fact.at, cited.id))


def _readable(snapshot: Snapshot, unreadable: list[str]) -> Iterator[Cited]:
    for note in snapshot.evidence:
        if note.trust != "record" or note.facts is None:
            continue
        try:
            yield Cited(note.id, parse_record_fact(note.facts))
        except MalformedFactError:
            unreadable.append(note.id)


def _agree(before: RecordFact, after: RecordFact) -> bool:
    """Whether the later fact only carries the earlier one on: what may change with time is its state, nothing else."""
    return replace(before, at=after.at, **_state(after)) == after and (before.at < after.at or before == after)


def _state(fact: RecordFact) -> dict[str, Any]:
    return {name: getattr(fact, name) for name in ("status", "assessment", "within_policy") if hasattr(fact, name)}


def _subject(fact: RecordFact) -> tuple[str, ...]:
    """What a fact is about: two records about the same thing are one fact, or a contradiction."""
    match fact:
        case RefundFact():
            return (fact.type, fact.refund_id)
        case OrderFact():
            return (fact.type, fact.reference, fact.payment_id)
        case ClaimFact():
            return (fact.type, fact.claim_id)
        case InvoiceFact():
            return (fact.type, fact.invoice_id)
        case ExtensionFact():
            # A second promise does not take back the first.
            return (fact.type, fact.invoice_id, fact.until.isoformat())
        case _:
            return (fact.type, fact.payment_id)
