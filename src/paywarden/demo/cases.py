"""What is played: each message gets a customer, payments, and records that match, contradict or lack what it claims.

Everything follows from the message alone, so that two runs differ only in their ids. Amounts are minor units of usd.
"""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

Truth = Literal["match", "contradict", "lack"]
Intent = Literal[
    "transaction_charged_twice",
    "request_refund",
    "card_payment_fee_charged",
    "Refund_not_showing_up",
    "card_payment_not_recognised",
    "cash_withdrawal_not_recognised",
    "direct_debit_payment_not_recognised",
]
CURRENCY = "usd"
SAMPLE = "banking77_sample.csv"
SAMPLE_SIZE = 300
# With the other stories one to two minutes where nothing else runs.
DEFAULT_COUNT = SAMPLE_SIZE
_SEED = b"paywarden demo 1"
# Half of the customers are right, a quarter is not, of a quarter nothing is known.
_TRUTHS: tuple[Truth, ...] = ("match", "match", "contradict", "lack")
# One in five is above what the shipped policies let an adviser decide, and some of those above the mandate.
_LARGE_ONE_IN = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One message and the made-up world around it. ``refund_minor`` is what the agent will ask for."""

    number: int
    message: str
    intent: Intent
    truth: Truth
    amount_minor: int
    refund_minor: int
    charges: int


@dataclass(frozen=True, slots=True)
class Record:
    """What our own systems know: a sentence for people and, perhaps, facts for the adviser."""

    content: str
    facts: Mapping[str, Any] | None


def load_cases(count: int = SAMPLE_SIZE) -> list[Case]:
    """The first ``count`` messages of the sample as cases."""
    text = files(__package__).joinpath(SAMPLE).read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    return [make_case(number, row["text"], row["category"]) for number, row in enumerate(rows[:count], start=1)]


def make_case(number: int, message: str, intent: Any) -> Case:
    """The case of a message; the same message always makes the same one."""
    digest = hashlib.sha256(_SEED + message.encode()).digest()
    truth = _TRUTHS[digest[0] % len(_TRUTHS)]
    amount_minor = 900 + int.from_bytes(digest[1:4]) % 9_000
    if digest[4] % _LARGE_ONE_IN == 0:
        amount_minor += 9_200
    twice = intent == "transaction_charged_twice" and truth == "match"
    fee = intent == "card_payment_fee_charged"
    return Case(
        number=number,
        message=message,
        intent=intent,
        truth=truth,
        amount_minor=amount_minor,
        refund_minor=fee_minor(amount_minor) if fee else amount_minor,
        charges=2 if twice else 1,
    )


def fee_minor(amount_minor: int) -> int:
    """What the made-up merchant takes for paying by card: 2 %, at least 50 cents."""
    return max(50, amount_minor * 2 // 100)


def record_of(case: Case, payment_id: str, reference: str, at: str) -> Record | None:
    """The record note beside the message, about the first payment; None where our systems lack one."""
    if case.truth == "lack":
        return None
    about = {"payment_id": payment_id, "currency": CURRENCY, "at": at}
    order = {**about, "type": "order", "reference": reference, "amount_minor": case.amount_minor}
    matches = case.truth == "match"
    match case.intent:
        case "transaction_charged_twice":
            return _of_double_charge(matches, {**order, "status": "fulfilled", "within_policy": False}, reference)
        case "card_payment_fee_charged":
            return _of_fee(matches, {**about, "type": "fee", "amount_minor": case.refund_minor})
        case "request_refund":
            return _of_order(matches, order, reference)
        case "Refund_not_showing_up":
            refund = {**about, "type": "refund", "refund_id": f"{reference}-R", "amount_minor": case.amount_minor}
            return _of_order(True, order, reference) if matches else _of_refund(refund, reference)
        case _:
            return _of_use(matches, {**order, "status": "fulfilled", "within_policy": False}, reference)


def _of_double_charge(matches: bool, order: dict[str, Any], reference: str) -> Record:
    if matches:
        return Record(f"Order {reference} was placed once and fulfilled once.", order)
    return Record(f"Order {reference} was placed once and paid once; no second payment is on file.", order)


def _of_fee(matches: bool, fee: dict[str, Any]) -> Record:
    if matches:
        return Record("The card fee was charged although the plan has none.", {**fee, "assessment": "wrongly_charged"})
    return Record("The card fee is part of the plan and was charged correctly.", {**fee, "assessment": "correct"})


def _of_order(matches: bool, order: dict[str, Any], reference: str) -> Record:
    if matches:
        facts = {**order, "status": "returned", "within_policy": True}
        return Record(f"Order {reference} came back to the warehouse in time.", facts)
    facts = {**order, "status": "fulfilled", "within_policy": False}
    return Record(f"Order {reference} was delivered and never sent back.", facts)


def _of_refund(refund: dict[str, Any], reference: str) -> Record:
    facts = {**refund, "status": "succeeded"}
    return Record(f"The refund for order {reference} was paid out by the old system.", facts)


def _of_use(matches: bool, order: dict[str, Any], reference: str) -> Record:
    if matches:
        return Record(f"Order {reference} was placed from a device that was never seen before.", None)
    return Record(f"Order {reference} was delivered to the customer's own address and signed for.", order)
