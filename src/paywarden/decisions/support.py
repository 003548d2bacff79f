"""What an approval rests on: cited evidence that is trusted must state its amount and, for a payout, who is paid.

Trusted are our own rows and notes of trust ``record`` or ``staff``. Facts bound an amount from above; words count only
for exactly the amount that they state. What anybody else wrote supports nothing, whatever it says of itself.
"""

import re
from collections.abc import Iterator
from typing import Final

from paywarden.decisions.advice import Advice, EvidenceNote, Snapshot
from paywarden.decisions.case_file import CaseFile, stated_by
from paywarden.decisions.record_facts import ChargeFact, ClaimFact, FeeFact, InvoiceFact, OrderFact, RecordFact
from paywarden.decisions.stated_amounts import stated_minor
from paywarden.kit.checks import Check
from paywarden.kit.money import display
from paywarden.kit.trust import TRUSTED_TIERS

_SHORTEST_NAMED: Final = 4
"""A payee's name of fewer characters is found in any text: only a fact can name it."""
# A payee is not named where it is part of another id: "acme" is neither in "acme-2" nor in "not.acme", but in "acme.".
_BEFORE: Final = r"(?<!\w)(?<!\w[-.@/+&~])"
_AFTER: Final = r"(?![\w\u0300-\u036f\u200b-\u200d\u2060])(?![-.@:/+&~#=]\w)"


def support_checks(snapshot: Snapshot, advice: Advice, file: CaseFile) -> Iterator[Check]:
    """The checks ``amount_supported`` and, for payouts, ``payee_supported`` of an approval; none of anything else."""
    if advice.verdict != "approve":
        return
    facts = stated_by(snapshot, file, frozenset(advice.evidence))
    words = [note for note in snapshot.evidence if note.id in advice.evidence and note.trust in TRUSTED_TIERS]
    yield _amount_check(snapshot, advice, file, facts, words)
    if snapshot.kind == "payout":
        yield _payee_check(snapshot, facts, words)


def _amount_check(
    snapshot: Snapshot, advice: Advice, file: CaseFile, facts: tuple[RecordFact, ...], words: list[EvidenceNote]
) -> Check:
    amount = display(advice.amount_minor, snapshot.currency)
    if advice.amount_minor <= max(_bounds(snapshot, file, facts), default=0):
        return Check("amount_supported", "pass", f"{amount} is within what the cited records state")
    about = [note for note in words if snapshot.kind != "payout" or _names(note, snapshot.payee)]
    if any(advice.amount_minor in stated_minor(note.content, snapshot.currency) for note in about):
        return Check("amount_supported", "pass", f"{amount} is stated by a cited note of our own systems or staff")
    return Check("amount_supported", "fail", f"No cited record of ours or note of staff bears out {amount}")


def _payee_check(snapshot: Snapshot, facts: tuple[RecordFact, ...], words: list[EvidenceNote]) -> Check:
    in_facts = any(isinstance(fact, ClaimFact) and fact.payee == snapshot.payee for fact in facts)
    if in_facts or any(_names(note, snapshot.payee) for note in words):
        return Check("payee_supported", "pass", f"{snapshot.payee} is named by cited evidence that is trusted")
    return Check("payee_supported", "fail", f"No cited record of ours or note of staff names {snapshot.payee}")


def _bounds(snapshot: Snapshot, file: CaseFile, facts: tuple[RecordFact, ...]) -> Iterator[int]:
    """The most that each fact bears, in minor units."""
    for fact in facts:
        match snapshot.kind, fact:
            case "refund", ChargeFact(status="succeeded") | FeeFact() | OrderFact() if _about(snapshot, file, fact):
                gone = {fact.payment_id, snapshot.payment_id or fact.payment_id}
                yield fact.amount_minor - file.refunded_minor(gone)
            case "charge", InvoiceFact(status="open") | OrderFact() | ChargeFact():
                yield fact.amount_minor
            case "payout", ClaimFact(status="approved") if fact.payee == snapshot.payee:
                yield fact.amount_minor


def _about(snapshot: Snapshot, file: CaseFile, fact: ChargeFact | FeeFact | OrderFact) -> bool:
    """Whether a fact is about the charge that a refund returns, or about one of the same reference and amount."""
    if snapshot.payment_id in (None, fact.payment_id):
        return True
    returned = [charge for _, charge in file.of(ChargeFact, snapshot.payment_id)]
    return isinstance(fact, ChargeFact) and any(
        charge.reference is not None and (charge.reference, charge.amount_minor) == (fact.reference, fact.amount_minor)
        for charge in returned
    )


def _names(note: EvidenceNote, payee: str | None) -> bool:
    """Whether a note names a payee, as a word of its own and to the letter."""
    if payee is None or len(payee) < _SHORTEST_NAMED:
        return False
    return re.search(rf"{_BEFORE}{re.escape(payee)}{_AFTER}", note.content) is not None
