"""What the records say of one invoice: whether it is collected now, and if not, why.

The rules adviser advises by it, and every adviser's approval of a collection is held against it. Words decide nothing
here: not the customer's, and not those of staff, who may only make somebody look (``in_words``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date
from typing import Final

from paywarden.decisions.advice import Snapshot, Verdict
from paywarden.decisions.case_file import CaseFile
from paywarden.decisions.record_facts import ChargeFact, ExtensionFact, InvoiceFact
from paywarden.kit.money import display

PURPOSE: Final = "overdue invoice"
"""The purpose of a charge that collects the invoice which its reference names. The shipped policies know it, too."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an invoice stands, in the words of an advice. ``owed_minor`` is 0 unless the verdict is ``approve``."""

    verdict: Verdict
    because: str
    cited: tuple[str, ...] = ()
    owed_minor: int = 0


@dataclass(frozen=True, slots=True)
class _Invoice:
    file: CaseFile
    today: date
    cited: str
    fact: InvoiceFact

    def __str__(self) -> str:
        return f"invoice {self.fact.invoice_id} of {display(self.fact.amount_minor, self.fact.currency)}"


def standing(snapshot: Snapshot, file: CaseFile) -> Standing:
    """How the invoice stands that a charge names, by records alone. Days end in UTC."""
    if snapshot.reference is None:
        return Standing("need_facts", "which invoice it is")
    if file.contradictions:
        return Standing("escalate", "two records tell the same thing differently", file.contradictions)
    if file.unreadable or not snapshot.complete:
        return Standing("escalate", "not all of the customer's records could be read", file.unreadable)
    found = file.on_invoice(InvoiceFact, snapshot.reference)
    if not found:
        return Standing("need_facts", f"what is owed by invoice {snapshot.reference}, and since when")
    invoice = _Invoice(file, snapshot.asked_at.astimezone(UTC).date(), *found[-1])
    return next(_obstacles(invoice), None) or Standing(
        "approve",
        f"{invoice} was due on {invoice.fact.due_on} and is open",
        (invoice.cited, *(cited for cited, _ in _promises(invoice))),
        invoice.fact.amount_minor,
    )


def in_words(snapshot: Snapshot) -> tuple[str, ...]:
    """The notes of staff and of our own systems that may be about the invoice and state no fact."""
    return tuple(
        note.id
        for note in snapshot.evidence
        if note.facts is None
        and (note.trust == "staff" or (note.trust == "record" and note.invoice_id is not None))
        and note.invoice_id in (None, snapshot.reference)
    )


def _obstacles(invoice: _Invoice) -> Iterator[Standing]:
    """What stands against collecting it, the final things first."""
    fact = invoice.fact
    if fact.status != "open":
        yield Standing("deny", f"{invoice} is recorded as {fact.status}", (invoice.cited,))
    yield from _charged(invoice)
    running = [pair for pair in _promises(invoice) if pair[1].until >= invoice.today]
    if running:
        cited, promise = max(running, key=lambda pair: pair[1].until)
        yield Standing("deny", f"{invoice} is extended until {promise.until}", (cited, invoice.cited))
    if fact.due_on >= invoice.today:
        yield Standing("deny", f"{invoice} is not due before the end of {fact.due_on}", (invoice.cited,))


def _charged(invoice: _Invoice) -> Iterator[Standing]:
    """What came of earlier charges of it: never is it collected twice."""
    charges = [pair for pair in invoice.file.of(ChargeFact) if pair[1].reference == invoice.fact.invoice_id]
    paid = [pair for pair in charges if pair[1].status == "succeeded"]
    paid_minor = sum(fact.amount_minor for _, fact in paid)
    cited = (*(identifier for identifier, _ in charges), invoice.cited)
    if paid and invoice.file.refunded_minor(fact.payment_id for _, fact in paid):
        yield Standing("escalate", f"{invoice} was charged, and money went back", cited)
    if paid_minor >= invoice.fact.amount_minor:
        yield Standing("deny", f"{invoice} is paid already", cited)
    if paid:
        yield Standing("escalate", f"{invoice} is paid in part", cited)
    if any(fact.status == "pending" for _, fact in charges):
        yield Standing("escalate", f"another charge of {invoice} is not decided or not confirmed yet", cited)


def _promises(invoice: _Invoice) -> list[tuple[str, ExtensionFact]]:
    return invoice.file.on_invoice(ExtensionFact, invoice.fact.invoice_id)
