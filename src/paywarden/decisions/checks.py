"""What the code makes of an advice. It can only lower what the adviser allowed, never raise it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paywarden.decisions import invoices
from paywarden.decisions.advice import Advice, Snapshot, Verdict
from paywarden.decisions.adviser import AdviceRecord
from paywarden.decisions.case_file import open_case
from paywarden.decisions.support import support_checks
from paywarden.kit.checks import Check
from paywarden.kit.money import display
from paywarden.kit.trust import TRUSTED_TIERS

INCOMPLETE = "Not everything known of the customer could be looked at; a person must look"


@dataclass(frozen=True, slots=True)
class CheckedAdvice:
    """The advice that counts: ``verdict``, ``amount_minor`` and ``reason`` are what is left after the checks.

    An approval that fails a check is an escalation of nothing, with the check's detail as its reason; so is a denial
    where evidence may be missing.
    """

    advice: Advice
    verdict: Verdict
    amount_minor: int
    reason: str
    citations_verified: bool
    supported_by_trusted: bool
    checks: tuple[Check, ...]

    @property
    def approve(self) -> bool:
        """Whether the adviser approves and every check let it stand."""
        return self.verdict == "approve"


def check_advice(snapshot: Snapshot, record: AdviceRecord) -> CheckedAdvice:
    """Hold an advice against the snapshot it was given for."""
    checks = tuple(_checks(snapshot, record))
    failed = [check for check in checks if check.result == "fail"]
    advice = record.advice
    stands = _stands(advice.verdict, failed, snapshot.complete)
    return CheckedAdvice(
        advice=advice,
        verdict=advice.verdict if stands else "escalate",
        amount_minor=advice.amount_minor if stands and advice.verdict == "approve" else 0,
        reason=advice.reason if stands else (INCOMPLETE if advice.verdict == "deny" else failed[0].detail),
        citations_verified=_citations_verified(snapshot, advice),
        supported_by_trusted=bool(set(advice.evidence) & _trusted_ids(snapshot)),
        checks=checks,
    )


def _checks(snapshot: Snapshot, record: AdviceRecord) -> Iterator[Check]:
    advice = record.advice
    yield Check(
        "adviser_answered", "fail" if record.failure else "pass", record.failure or f"{record.adviser} answered"
    )
    most = display(snapshot.requested_amount_minor, snapshot.currency)
    if advice.amount_minor > snapshot.requested_amount_minor:
        yield Check("advice_amount", "fail", f"The advice names more than the {most} that were requested")
    else:
        yield Check("advice_amount", "pass", f"not more than the {most} that were requested")
    if _citations_verified(snapshot, advice):
        yield Check("advice_citations", "pass", f"{len(advice.evidence)} cited, all of them retrieved")
    else:
        yield Check("advice_citations", "fail", "The advice rests on no evidence that was retrieved")
    if snapshot.complete:
        yield Check("evidence_complete", "pass", "everything known of the customer was looked at")
    else:
        yield Check("evidence_complete", "fail", INCOMPLETE)
    file = open_case(snapshot)
    if snapshot.kind == "charge" and snapshot.purpose == invoices.PURPOSE:
        yield _invoice_check(advice, invoices.standing(snapshot, file))
    yield from support_checks(snapshot, advice, file)
    unreadable = len(file.unreadable)
    if unreadable:
        yield Check("record_facts", "note", f"{unreadable} record notes state facts that could not be read")
    trusted = len(set(advice.evidence) & _trusted_ids(snapshot))
    yield Check("advice_trusted_support", "note", f"{trusted} of the cited are our own records or notes of staff")


def _invoice_check(advice: Advice, found: invoices.Standing) -> Check:
    """Whatever an adviser makes of words: an invoice is collected as the records have it, and no more of it."""
    if advice.verdict != "approve":
        return Check("advice_invoice", "note", found.because)
    if found.verdict != "approve":
        return Check("advice_invoice", "fail", f"The records do not bear it out: {found.because}")
    if advice.amount_minor > found.owed_minor:
        return Check("advice_invoice", "fail", f"The advice names more than is owed: {found.because}")
    return Check("advice_invoice", "pass", found.because)


def _stands(verdict: Verdict, failed: Sequence[Check], complete: bool) -> bool:
    """Whether the verdict may count. Where evidence may be missing, what is not there proves nothing, either way."""
    if verdict == "approve":
        return not failed
    return verdict != "deny" or complete


def _citations_verified(snapshot: Snapshot, advice: Advice) -> bool:
    """Everything cited was really retrieved, and an approval cites something."""
    retrieved = {note.id for note in snapshot.evidence} | {record.id for record in snapshot.records}
    return set(advice.evidence) <= retrieved and (advice.verdict != "approve" or bool(advice.evidence))


def _trusted_ids(snapshot: Snapshot) -> set[str]:
    notes = {note.id for note in snapshot.evidence if note.trust in TRUSTED_TIERS}
    return notes | {record.id for record in snapshot.records}
