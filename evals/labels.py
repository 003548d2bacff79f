"""The right answer to a case, by a rule of its own: from everything on file and what the annotators took a message for.

It reads the finished records, whole, and never what was retrieved, what a message says, or what an adviser's code makes
of either. The rule, in words (README.md has it for people):

1. A record counts in the currency of the request. Of two notes about one thing the later counts, where only its state
   changed; where anything else differs nobody knows, and a person must look. Paywarden's own rows win over notes.
2. Charged twice: of succeeded charges with the reference and amount of the named one, within 48 hours, all but one are
   owed. A fee: what is wrongly charged or waivable. Goods: what was returned or canceled within the terms.
3. Less what went back, is going back, or was asked to go back for these charges. What is left, up to what is asked for,
   is supported; not a cent more.
4. A person must look when the customer does not recognise the payment, a refund of it failed or is not decided yet.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from evals.records import USD, Facts, KeptNote, OwnRow, all_facts

Stratum = Literal["justified", "partly", "contradicted", "missing", "undecided", "person"]
STRATA: tuple[Stratum, ...] = get_args(Stratum)
_APART = timedelta(hours=48)
# What about a fact may change while it stays the same thing's fact.
_STATE = frozenset({"status", "assessment", "within_policy", "at"})


@dataclass(frozen=True, slots=True)
class Label:
    """``supported_minor``: the most that may be paid. ``person``: whatever is paid, somebody must have looked."""

    stratum: Stratum
    supported_minor: int
    person: bool


@dataclass(frozen=True, slots=True)
class _OnFile:
    facts: tuple[Facts, ...]
    conflict: bool

    def of(self, kind: str, payment_ids: set[str]) -> list[Facts]:
        return [fact for fact in self.facts if fact["type"] == kind and fact["payment_id"] in payment_ids]


def label(
    intent: str, payment_id: str, requested_minor: int, rows: tuple[OwnRow, ...], notes: tuple[KeptNote, ...]
) -> Label:
    """The right answer to a request to give back so much of one charge."""
    on_file = _read(rows, notes)
    if intent.endswith("not_recognised") or on_file.conflict:
        return Label("person", 0, True)
    touched, entitled_minor = _entitled(intent, payment_id, on_file)
    refunds = on_file.of("refund", touched)
    gone_minor = sum(refund["amount_minor"] for refund in refunds if refund["status"] != "failed")
    supported_minor = max(0, min(requested_minor, entitled_minor - gone_minor))
    states = {refund["status"] for refund in refunds}
    if entitled_minor and "requested" in states:
        return Label("undecided", supported_minor, True)
    if entitled_minor and "failed" in states:
        return Label("person", supported_minor, True)
    return Label(_stratum(payment_id, requested_minor, supported_minor, on_file), supported_minor, False)


def _stratum(payment_id: str, requested_minor: int, supported_minor: int, on_file: _OnFile) -> Stratum:
    if supported_minor:
        return "justified" if supported_minor == requested_minor else "partly"
    return "contradicted" if _spoken_of(payment_id, on_file) else "missing"


def _entitled(intent: str, payment_id: str, on_file: _OnFile) -> tuple[set[str], int]:
    """The charges that a claim is about, and what they entitle to before anything went back."""
    (charge,) = on_file.of("charge", {payment_id})
    if intent == "transaction_charged_twice":
        same = {fact["payment_id"] for fact in on_file.facts if _same_purchase(fact, charge)}
        return same, (len(same) - 1) * charge["amount_minor"]
    if intent == "card_payment_fee_charged":
        fees = on_file.of("fee", {payment_id})
        return {payment_id}, sum(fee["amount_minor"] for fee in fees if fee["assessment"] != "correct")
    orders = [order for order in on_file.of("order", {payment_id}) if order["within_policy"]]
    back = [order for order in orders if order["status"] in {"returned", "canceled"}]
    return {payment_id}, sum(order["amount_minor"] for order in back)


def _same_purchase(fact: Facts, charge: Facts) -> bool:
    if fact["type"] != "charge" or fact["status"] != "succeeded":
        return False
    alike = (fact["reference"], fact["amount_minor"]) == (charge["reference"], charge["amount_minor"])
    return alike and abs(_instant(fact) - _instant(charge)) <= _APART


def _spoken_of(payment_id: str, on_file: _OnFile) -> bool:
    """Whether anything on file besides the charge itself tells of the payment or of its purchase."""
    (charge,) = on_file.of("charge", {payment_id})
    others = [fact for fact in on_file.facts if fact is not charge]
    return any(fact["payment_id"] == payment_id or fact.get("reference") == charge["reference"] for fact in others)


def _read(rows: tuple[OwnRow, ...], notes: tuple[KeptNote, ...]) -> _OnFile:
    """One fact for each thing, in the currency that is asked for."""
    latest: dict[tuple[str, ...], Facts] = {}
    conflict = False
    own = {_subject(fact) for is_own, fact in all_facts(rows, notes) if is_own}
    for is_own, fact in sorted(all_facts(rows, notes), key=lambda pair: _instant(pair[1])):
        if not is_own and _subject(fact) in own:
            continue
        before = latest.get(_subject(fact))
        conflict = conflict or (before is not None and _lasting(before) != _lasting(fact))
        latest[_subject(fact)] = fact
    return _OnFile(tuple(fact for fact in latest.values() if fact["currency"] == USD), conflict)


def _subject(fact: Facts) -> tuple[str, ...]:
    names = {"refund": ("refund_id",), "order": ("payment_id", "reference")}.get(fact["type"], ("payment_id",))
    return (fact["type"], *(fact[name] for name in names))


def _lasting(fact: Facts) -> Facts:
    return {name: value for name, value in fact.items() if name not in _STATE}


def _instant(fact: Facts) -> datetime:
    return datetime.fromisoformat(fact["at"])
