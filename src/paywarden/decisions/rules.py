"""The offline adviser. It is rules, says so, and reads nothing but structured facts: own rows and record notes.

A message chooses which rule looks (``claims.py``); only records decide. Notes of customers and outsiders are not read.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from paywarden.decisions import invoices
from paywarden.decisions.advice import Advice, Snapshot, Verdict
from paywarden.decisions.adviser import AdviceRecord
from paywarden.decisions.case_file import CaseFile, open_case
from paywarden.decisions.claims import ClaimKind, classify
from paywarden.decisions.record_facts import ChargeFact, FeeFact, OrderFact, RefundFact
from paywarden.kit.money import display

_UNDECIDED = "another refund of it was asked for and is not decided yet; a person must look at both"
INSUFFICIENT_EVIDENCE = "Insufficient evidence to initiate payment"
DUPLICATE_WITHIN = timedelta(hours=48)
_CONFIDENCE: dict[Verdict, int] = {"approve": 95, "deny": 90, "escalate": 50, "need_facts": 60}
_PARTIAL_CONFIDENCE = 85


class RulesAdviser:
    """Advice from fixed rules: the same snapshot always gives the same advice."""

    name = "rules"

    def most_micro_usd(self, _: Snapshot) -> int:
        """Rules cost nothing."""
        return 0

    async def advise(self, snapshot: Snapshot) -> AdviceRecord:
        """Judge in memory; no model, no network."""
        started = time.monotonic()
        advice = judge(snapshot)
        return AdviceRecord(advice, self.name, latency_ms=round((time.monotonic() - started) * 1000))


@dataclass(frozen=True, slots=True)
class _Case:
    snapshot: Snapshot
    file: CaseFile

    @property
    def payment_id(self) -> str | None:
        return self.snapshot.payment_id

    def money(self, amount_minor: int) -> str:
        return display(amount_minor, self.snapshot.currency)


def judge(snapshot: Snapshot) -> Advice:
    """What the rules make of a refund or of an overdue invoice; anything else, and what they do not know, escalates."""
    case = _Case(snapshot, open_case(snapshot))
    if not case.file.facts and not case.file.contradictions:
        return Advice("deny", 0, INSUFFICIENT_EVIDENCE, _CONFIDENCE["deny"])
    if snapshot.kind == "charge" and snapshot.purpose == invoices.PURPOSE:
        return _collect(case)
    if snapshot.kind != "refund":
        return _say("escalate", f"only refunds and overdue invoices are judged by rules, this is a {snapshot.kind}")
    if case.file.contradictions:
        return _say("escalate", "two records tell the same thing differently", case.file.contradictions)
    if not snapshot.complete:
        return _say("escalate", "the customer has more records than the rules can weigh")
    return _RULES[classify(snapshot.request)](case)


def _collect(case: _Case) -> Advice:
    """An overdue invoice, in whole: as much as is recorded as owed, on the day on which that is due."""
    found = invoices.standing(case.snapshot, case.file)
    if found.verdict == "need_facts":
        return _need(found.because)
    if found.verdict != "approve":
        return _say(found.verdict, found.because, found.cited)
    words = invoices.in_words(case.snapshot)
    if words:
        return _say("escalate", "staff wrote about it in words, which rules cannot read; a person must look", words)
    owed = f"{found.because}, so {case.money(found.owed_minor)} and not"
    asked_minor = case.snapshot.requested_amount_minor
    if asked_minor != found.owed_minor:
        verdict: Verdict = "deny" if asked_minor > found.owed_minor else "escalate"
        return _say(verdict, f"{owed} {case.money(asked_minor)} is to be asked for", found.cited)
    return _approve(case, found.owed_minor, found.because, list(found.cited))


def _not_recognised(case: _Case) -> Advice:
    about = [cited for cited, _ in case.file.of(ChargeFact, case.payment_id)]
    return _say("escalate", "the customer does not recognise a payment; a person must look", about)


def _other(_: _Case) -> Advice:
    return _say("escalate", "the request is of no kind that these rules know")


def _charged_twice(case: _Case) -> Advice:
    repeated = [group for group in _repeats(case) if _concerns(case, group)]
    if not repeated:
        seen = [cited for cited, _ in case.file.of(ChargeFact)]
        return _say("deny", "no two succeeded charges of one reference and amount within 48 hours are recorded", seen)
    supported = [(_excess_minor(case, group), group) for group in repeated]
    excess_minor, group = max(supported, key=lambda pair: pair[0])
    cited, charge = [identifier for identifier, _ in group], group[0][1]
    if excess_minor <= 0:
        return _refunded(case, "the repeated charge is refunded already", cited, [fact for _, fact in group])
    many = f"{len(group)} charges of {case.money(charge.amount_minor)} for {charge.reference} within 48 hours"
    return _approve(case, min(excess_minor, charge.amount_minor), f"{many} are recorded", cited)


def _card_payment_fee(case: _Case) -> Advice:
    fees = case.file.of(FeeFact, case.payment_id)
    if not fees:
        return _need("whether a fee was charged, and whether it was charged rightly")
    owed = [(cited, fee) for cited, fee in fees if fee.assessment != "correct"]
    if not owed:
        return _say("deny", "the fee is recorded as charged correctly", [cited for cited, _ in fees])
    cited, fee = max(owed, key=lambda pair: pair[1].amount_minor - case.file.refunded_minor([pair[1].payment_id]))
    left_minor = fee.amount_minor - case.file.refunded_minor([fee.payment_id])
    if left_minor <= 0:
        return _refunded(case, "at least the fee is refunded already", [cited], [fee])
    said = "charged wrongly" if fee.assessment == "wrongly_charged" else "one that may be waived"
    return _approve(case, left_minor, f"a fee of {case.money(fee.amount_minor)} is recorded as {said}", [cited])


def _refund(case: _Case) -> Advice:
    """A refund that is asked for or missed: what was already refunded first, then what the order entitles to."""
    refunds = case.file.of(RefundFact, case.payment_id)
    orders = case.file.of(OrderFact, case.payment_id)
    owed = [(cited, order) for cited, order in orders if _owed_minor(case, order) > 0]
    if not owed:
        return _no_order_entitles(refunds, orders)
    exact = [pair for pair in owed if _owed_minor(case, pair[1]) == case.snapshot.requested_amount_minor]
    if len(owed) > 1 and len(exact) != 1:
        return _need("which order the refund is for")
    cited, order = (exact or owed)[0]
    unpaid = [charge for charge, fact in case.file.of(ChargeFact, order.payment_id) if fact.status != "succeeded"]
    if unpaid:
        return _say("deny", f"order {order.reference} is {order.status} but was never paid", [cited, *unpaid])
    what = f"order {order.reference} is recorded as {order.status} within policy"
    return _approve(case, _owed_minor(case, order), what, [cited])


def _no_order_entitles(refunds: list[tuple[str, RefundFact]], orders: list[tuple[str, OrderFact]]) -> Advice:
    done = {fact.status: cited for cited, fact in refunds}
    if "succeeded" in done or "processing" in done:
        state = "has succeeded" if "succeeded" in done else "is on its way"
        return _say("deny", f"a refund is recorded already and {state}", list(done.values()))
    if "requested" in done:
        return _say("escalate", _UNDECIDED, list(done.values()))
    if "failed" in done:
        return _say("escalate", "a refund was made and failed; a person must look", list(done.values()))
    if orders:
        ids = [cited for cited, _ in orders]
        return _say("deny", "no order is recorded as canceled or returned within policy", ids)
    return _need("the order, and whether it was canceled or returned within policy")


_RULES: dict[ClaimKind, Callable[[_Case], Advice]] = {
    "not_recognised": _not_recognised,
    "charged_twice": _charged_twice,
    "card_payment_fee": _card_payment_fee,
    "refund_not_showing_up": _refund,
    "request_refund": _refund,
    "other": _other,
}


_Charges = list[tuple[str, ChargeFact]]


def _repeats(case: _Case) -> Iterator[_Charges]:
    """Succeeded charges of one reference and amount, two or more within 48 hours of the first of them."""
    groups: dict[tuple[str, int], list[_Charges]] = {}
    for cited, charge in case.file.of(ChargeFact):
        if charge.status != "succeeded" or charge.reference is None:
            continue
        runs = groups.setdefault((charge.reference, charge.amount_minor), [])
        if runs and charge.at - runs[-1][0][1].at <= DUPLICATE_WITHIN:
            runs[-1].append((cited, charge))
        else:
            runs.append([(cited, charge)])
    return (run for runs in groups.values() for run in runs if len(run) > 1)


def _concerns(case: _Case, group: _Charges) -> bool:
    return case.payment_id is None or case.payment_id in {charge.payment_id for _, charge in group}


def _excess_minor(case: _Case, group: _Charges) -> int:
    refunded_minor = case.file.refunded_minor(charge.payment_id for _, charge in group)
    return (len(group) - 1) * group[0][1].amount_minor - refunded_minor


def _refunded(case: _Case, because: str, cited: list[str], about: Sequence[ChargeFact | FeeFact]) -> Advice:
    """Nothing is left to give back; unless it was only asked for, then nobody knows yet."""
    payments = {fact.payment_id for fact in about}
    refunds = [pair for pair in case.file.of(RefundFact) if pair[1].payment_id in payments]
    cited = [*cited, *(identifier for identifier, _ in refunds)]
    if any(refund.status == "requested" for _, refund in refunds):
        return _say("escalate", _UNDECIDED, cited)
    return _say("deny", because, cited)


def _owed_minor(case: _Case, order: OrderFact) -> int:
    """What our terms still give back for an order, in minor units; 0 when nothing."""
    if order.status not in {"canceled", "returned"} or not order.within_policy:
        return 0
    return max(0, order.amount_minor - case.file.refunded_minor([order.payment_id]))


def _approve(case: _Case, supported_minor: int, because: str, cited: list[str]) -> Advice:
    amount_minor = min(supported_minor, case.snapshot.requested_amount_minor)
    partial = amount_minor < case.snapshot.requested_amount_minor
    confidence = _PARTIAL_CONFIDENCE if partial else _CONFIDENCE["approve"]
    only = f", which supports {case.money(amount_minor)} only" if partial else ""
    return Advice("approve", amount_minor, f"By rules: {because}{only}.", confidence, tuple(dict.fromkeys(cited))[:50])


def _say(verdict: Verdict, because: str, cited: list[str] | tuple[str, ...] = ()) -> Advice:
    return Advice(verdict, 0, f"By rules: {because}.", _CONFIDENCE[verdict], tuple(dict.fromkeys(cited))[:50])


def _need(missing: str) -> Advice:
    reason = f"By rules: the records do not say {missing}."
    return Advice("need_facts", 0, reason, _CONFIDENCE["need_facts"], (), (missing,))
