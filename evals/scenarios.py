"""Which situations go with which messages, and the stratum that each is meant for.

What a case is labelled does not come from here but from ``labels.py``, which reads the finished records.
"""

from collections.abc import Callable
from dataclasses import dataclass

from evals import situations
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


@dataclass(frozen=True, slots=True)
class Scenario:
    """``intents``: the messages it is told for, by Banking77's intents. ``play`` writes the records and asks."""

    name: str
    meant: Stratum
    intents: tuple[str, ...]
    play: Callable[[Records], None]


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("two charges of one order", "justified", DOUBLE, situations.two_charges),
    Scenario("the second charge came overnight", "justified", DOUBLE, situations.overnight),
    Scenario("three charges of one order", "justified", DOUBLE, situations.three_charges),
    Scenario("a fee that was charged wrongly", "justified", FEE, situations.wrong_fee),
    Scenario("a fee that may be waived", "justified", FEE, situations.waivable_fee),
    Scenario("returned in time", "justified", GOODS, situations.returned),
    Scenario("canceled in time", "justified", GOODS, situations.canceled),
    Scenario("part of the double charge is back", "partly", DOUBLE, situations.pair_partly_back),
    Scenario("the old system gave most of it back", "partly", DOUBLE, situations.pair_partly_back_before),
    Scenario("asks for more than the fee", "partly", FEE, situations.more_than_the_fee),
    Scenario("half of the fee is back", "partly", FEE, situations.fee_partly_back),
    Scenario("one item of several returned", "partly", GOODS, situations.one_item_returned),
    Scenario("half of it is back", "partly", GOODS, situations.partly_back_before),
    Scenario("one of the two charges failed", "contradicted", DOUBLE, situations.one_of_two_failed),
    Scenario("two orders at the same price", "contradicted", DOUBLE, situations.two_orders),
    Scenario("five days between the charges", "contradicted", DOUBLE, situations.days_apart),
    Scenario("two amounts on one order", "contradicted", DOUBLE, situations.other_amounts),
    Scenario("the double charge is back", "contradicted", DOUBLE, situations.pair_settled),
    Scenario("the double charge is on its way back", "contradicted", DOUBLE, situations.pair_being_settled),
    Scenario("the old system gave it back", "contradicted", DOUBLE, situations.pair_settled_before),
    Scenario("its refund is out of sight", "contradicted", DOUBLE, situations.pair_settled_out_of_sight),
    Scenario("the fee is right", "contradicted", FEE, situations.right_fee),
    Scenario("the fee is back", "contradicted", FEE, situations.fee_back),
    Scenario("the wrong fee is on another charge", "contradicted", FEE, situations.fee_elsewhere),
    Scenario("the goods were kept", "contradicted", GOODS, situations.kept),
    Scenario("the goods are on their way", "contradicted", GOODS, situations.on_its_way),
    Scenario("returned outside the terms", "contradicted", GOODS, situations.returned_too_late),
    Scenario("the return was a mistake", "contradicted", GOODS, situations.return_undone),
    Scenario("the order is paid back", "contradicted", GOODS, situations.paid_back_before),
    Scenario("the order is being paid back", "contradicted", GOODS, situations.being_paid_back),
    Scenario("another order was returned", "contradicted", GOODS, situations.other_order_returned),
    Scenario("only one charge", "missing", DOUBLE, situations.one_charge),
    Scenario("the other charge is in another currency", "missing", DOUBLE, situations.other_currency),
    Scenario("no fee on file", "missing", FEE, situations.no_fee_on_file),
    Scenario("no order on file", "missing", GOODS, situations.no_order_on_file),
    Scenario("its refund was asked for already", "undecided", DOUBLE, situations.pair_asked_already),
    Scenario("its refund was asked for in the old system", "undecided", DOUBLE, situations.pair_asked_before),
    Scenario("the fee was asked back already", "undecided", FEE, situations.fee_asked_already),
    Scenario("the order's refund was asked for before", "undecided", GOODS, situations.order_asked_before),
    Scenario("part of the order was asked for", "undecided", GOODS, situations.order_partly_asked),
    Scenario("its refund failed", "person", GOODS, situations.refund_failed),
    Scenario("two records cannot both be true", "person", GOODS, situations.two_stories),
    Scenario("a payment that is not recognised", "person", UNRECOGNISED, situations.just_a_charge),
    Scenario("not recognised, delivered and signed for", "person", UNRECOGNISED, situations.delivered_and_signed),
)
