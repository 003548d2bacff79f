"""The situations: what is on file when a message of a kind comes in. Each names the stratum that it is meant for.

What a case is labelled does not come from here but from ``labels.py``, which reads the finished records.
"""

from collections.abc import Callable
from dataclasses import dataclass

from evals.labels import Stratum
from evals.records import Records

DOUBLE = ("transaction_charged_twice",)
FEE = ("card_payment_fee_charged",)
GOODS = ("request_refund", "Refund_not_showing_up")
UNRECOGNISED = (
    "card_payment_not_recognised",
    "cash_withdrawal_not_recognised",
    "direct_debit_payment_not_recognised",
)
_MANY_PAYMENTS = 55


@dataclass(frozen=True, slots=True)
class Scenario:
    """``intents``: the messages it is told for, by Banking77's intents. ``play`` writes the records and asks."""

    name: str
    meant: Stratum
    intents: tuple[str, ...]
    play: Callable[[Records], None]


# ---- Charged twice


def _pair(on_file: Records, hours: float = 1) -> tuple[str, str]:
    first, second = on_file.charge(), on_file.charge(hours=hours)
    on_file.ask(second)
    return first, second


def _two_charges(on_file: Records) -> None:
    _pair(on_file)


def _overnight(on_file: Records) -> None:
    first, _ = _pair(on_file, hours=30)
    on_file.order(first, "fulfilled", False)


def _three_charges(on_file: Records) -> None:
    _pair(on_file)
    on_file.charge(hours=2)


def _pair_partly_back(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.refund(first, on_file.share(40), "succeeded")


def _pair_partly_back_before(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.noted_refund(first, on_file.share(70), "succeeded")


def _one_of_two_failed(on_file: Records) -> None:
    on_file.ask(on_file.charge())
    on_file.charge(hours=1, status="failed")


def _two_orders(on_file: Records) -> None:
    first = on_file.charge(reference=f"{on_file.reference}-A")
    second = on_file.charge(reference=f"{on_file.reference}-B", hours=1)
    on_file.order(first, "fulfilled", False)
    on_file.order(second, "fulfilled", False)
    on_file.ask(second)


def _days_apart(on_file: Records) -> None:
    _pair(on_file, hours=120)


def _other_amounts(on_file: Records) -> None:
    on_file.charge(on_file.share(60))
    on_file.ask(on_file.charge(hours=1))


def _pair_settled(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.refund(first, on_file.amount_minor, "succeeded")


def _pair_being_settled(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.refund(first, on_file.amount_minor, "processing")


def _pair_settled_before(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.noted_refund(first, on_file.amount_minor, "succeeded")


def _other_currency(on_file: Records) -> None:
    on_file.ask(on_file.charge())
    on_file.charge(hours=1, currency="eur")


def _pair_settled_out_of_sight(on_file: Records) -> None:
    """The refund is older than all the payments that are read: nothing that is seen contradicts the claim."""
    first, _ = _pair(on_file)
    on_file.refund(first, on_file.amount_minor, "succeeded")
    for number in range(_MANY_PAYMENTS):
        on_file.charge(900 + number, reference=f"{on_file.reference}-{number}", hours=200 + number * 60)


def _one_charge(on_file: Records) -> None:
    on_file.ask(on_file.charge())


def _pair_asked_already(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.refund(first, on_file.amount_minor, "requested")


def _pair_asked_before(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.noted_refund(first, on_file.amount_minor, "requested")


# ---- A fee


def _fee_of(on_file: Records, assessment: str) -> tuple[str, int]:
    charge, fee_minor = on_file.charge(), on_file.share(5)
    on_file.fee(charge, fee_minor, assessment)
    on_file.ask(charge, fee_minor)
    return charge, fee_minor


def _wrong_fee(on_file: Records) -> None:
    _fee_of(on_file, "wrongly_charged")


def _waivable_fee(on_file: Records) -> None:
    _fee_of(on_file, "waivable")


def _more_than_the_fee(on_file: Records) -> None:
    charge, _ = _fee_of(on_file, "wrongly_charged")
    on_file.ask(charge, on_file.share(80))


def _fee_partly_back(on_file: Records) -> None:
    charge, fee_minor = _fee_of(on_file, "wrongly_charged")
    on_file.noted_refund(charge, fee_minor // 2, "succeeded")


def _right_fee(on_file: Records) -> None:
    _fee_of(on_file, "correct")


def _fee_back(on_file: Records) -> None:
    charge, fee_minor = _fee_of(on_file, "waivable")
    on_file.refund(charge, fee_minor, "succeeded")


def _fee_elsewhere(on_file: Records) -> None:
    other = on_file.charge(reference=f"{on_file.reference}-Z")
    on_file.fee(other, on_file.share(5), "wrongly_charged")
    _fee_of(on_file, "correct")


def _no_fee_on_file(on_file: Records) -> None:
    on_file.ask(on_file.charge(), on_file.share(5))


def _fee_asked_already(on_file: Records) -> None:
    charge, fee_minor = _fee_of(on_file, "wrongly_charged")
    on_file.refund(charge, fee_minor, "requested")


# ---- Goods sent back, and refunds that do not show up


def _order_of(on_file: Records, status: str, within_policy: bool) -> str:
    charge = on_file.charge()
    on_file.order(charge, status, within_policy)
    on_file.ask(charge)
    return charge


def _returned(on_file: Records) -> None:
    _order_of(on_file, "returned", True)


def _canceled(on_file: Records) -> None:
    _order_of(on_file, "canceled", True)


def _one_item_returned(on_file: Records) -> None:
    charge = on_file.charge()
    on_file.order(charge, "returned", True, on_file.share(35))
    on_file.ask(charge)


def _partly_back_before(on_file: Records) -> None:
    charge = _order_of(on_file, "returned", True)
    on_file.noted_refund(charge, on_file.share(50), "succeeded")


def _kept(on_file: Records) -> None:
    _order_of(on_file, "fulfilled", False)


def _on_its_way(on_file: Records) -> None:
    _order_of(on_file, "open", False)


def _returned_too_late(on_file: Records) -> None:
    _order_of(on_file, "returned", False)


def _return_undone(on_file: Records) -> None:
    """The order book first took the order for returned and corrected itself two days later."""
    charge = _order_of(on_file, "returned", True)
    on_file.order(charge, "fulfilled", False, hours=98)


def _paid_back_before(on_file: Records) -> None:
    charge = _order_of(on_file, "returned", True)
    on_file.noted_refund(charge, on_file.amount_minor, "succeeded")


def _being_paid_back(on_file: Records) -> None:
    charge = _order_of(on_file, "canceled", True)
    on_file.noted_refund(charge, on_file.amount_minor, "processing")


def _other_order_returned(on_file: Records) -> None:
    other = on_file.charge(reference=f"{on_file.reference}-Z")
    on_file.order(other, "returned", True)
    _order_of(on_file, "fulfilled", False)


def _no_order_on_file(on_file: Records) -> None:
    on_file.ask(on_file.charge())


def _order_asked_before(on_file: Records) -> None:
    charge = _order_of(on_file, "returned", True)
    on_file.noted_refund(charge, on_file.amount_minor, "requested")


def _order_partly_asked(on_file: Records) -> None:
    charge = _order_of(on_file, "canceled", True)
    on_file.refund(charge, on_file.share(40), "requested")
    on_file.ask(charge, on_file.share(60))


def _refund_failed(on_file: Records) -> None:
    charge = _order_of(on_file, "returned", True)
    on_file.noted_refund(charge, on_file.amount_minor, "failed")


def _two_stories(on_file: Records) -> None:
    """Two records about one order that cannot both be true."""
    charge = _order_of(on_file, "returned", True)
    on_file.order(charge, "returned", True, on_file.share(30), hours=60)


# ---- Not recognised


def _just_a_charge(on_file: Records) -> None:
    on_file.ask(on_file.charge())


def _delivered_and_signed(on_file: Records) -> None:
    _order_of(on_file, "fulfilled", False)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("two charges of one order", "justified", DOUBLE, _two_charges),
    Scenario("the second charge came overnight", "justified", DOUBLE, _overnight),
    Scenario("three charges of one order", "justified", DOUBLE, _three_charges),
    Scenario("a fee that was charged wrongly", "justified", FEE, _wrong_fee),
    Scenario("a fee that may be waived", "justified", FEE, _waivable_fee),
    Scenario("returned in time", "justified", GOODS, _returned),
    Scenario("canceled in time", "justified", GOODS, _canceled),
    Scenario("part of the double charge is back", "partly", DOUBLE, _pair_partly_back),
    Scenario("the old system gave most of it back", "partly", DOUBLE, _pair_partly_back_before),
    Scenario("asks for more than the fee", "partly", FEE, _more_than_the_fee),
    Scenario("half of the fee is back", "partly", FEE, _fee_partly_back),
    Scenario("one item of several returned", "partly", GOODS, _one_item_returned),
    Scenario("half of it is back", "partly", GOODS, _partly_back_before),
    Scenario("one of the two charges failed", "contradicted", DOUBLE, _one_of_two_failed),
    Scenario("two orders at the same price", "contradicted", DOUBLE, _two_orders),
    Scenario("five days between the charges", "contradicted", DOUBLE, _days_apart),
    Scenario("two amounts on one order", "contradicted", DOUBLE, _other_amounts),
    Scenario("the double charge is back", "contradicted", DOUBLE, _pair_settled),
    Scenario("the double charge is on its way back", "contradicted", DOUBLE, _pair_being_settled),
    Scenario("the old system gave it back", "contradicted", DOUBLE, _pair_settled_before),
    Scenario("its refund is out of sight", "contradicted", DOUBLE, _pair_settled_out_of_sight),
    Scenario("the fee is right", "contradicted", FEE, _right_fee),
    Scenario("the fee is back", "contradicted", FEE, _fee_back),
    Scenario("the wrong fee is on another charge", "contradicted", FEE, _fee_elsewhere),
    Scenario("the goods were kept", "contradicted", GOODS, _kept),
    Scenario("the goods are on their way", "contradicted", GOODS, _on_its_way),
    Scenario("returned outside the terms", "contradicted", GOODS, _returned_too_late),
    Scenario("the return was a mistake", "contradicted", GOODS, _return_undone),
    Scenario("the order is paid back", "contradicted", GOODS, _paid_back_before),
    Scenario("the order is being paid back", "contradicted", GOODS, _being_paid_back),
    Scenario("another order was returned", "contradicted", GOODS, _other_order_returned),
    Scenario("only one charge", "missing", DOUBLE, _one_charge),
    Scenario("the other charge is in another currency", "missing", DOUBLE, _other_currency),
    Scenario("no fee on file", "missing", FEE, _no_fee_on_file),
    Scenario("no order on file", "missing", GOODS, _no_order_on_file),
    Scenario("its refund was asked for already", "undecided", DOUBLE, _pair_asked_already),
    Scenario("its refund was asked for in the old system", "undecided", DOUBLE, _pair_asked_before),
    Scenario("the fee was asked back already", "undecided", FEE, _fee_asked_already),
    Scenario("the order's refund was asked for before", "undecided", GOODS, _order_asked_before),
    Scenario("part of the order was asked for", "undecided", GOODS, _order_partly_asked),
    Scenario("its refund failed", "person", GOODS, _refund_failed),
    Scenario("two records cannot both be true", "person", GOODS, _two_stories),
    Scenario("a payment that is not recognised", "person", UNRECOGNISED, _just_a_charge),
    Scenario("not recognised, delivered and signed for", "person", UNRECOGNISED, _delivered_and_signed),
)
