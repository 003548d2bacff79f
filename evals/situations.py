"""The situations: what is on file of a customer, and what the agent asks for, a function for each."""

from evals.records import Records

_MANY_PAYMENTS = 55


# ---- Charged twice


def _pair(on_file: Records, hours: float = 1) -> tuple[str, str]:
    first, second = on_file.charge(), on_file.charge(hours=hours)
    on_file.ask(second)
    return first, second


def two_charges(on_file: Records) -> None:
    _pair(on_file)


def overnight(on_file: Records) -> None:
    first, _ = _pair(on_file, hours=30)
    on_file.order(first, "fulfilled", False)


def three_charges(on_file: Records) -> None:
    _pair(on_file)
    on_file.charge(hours=2)


def pair_partly_back(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.refund(first, on_file.share(40), "succeeded")


def pair_partly_back_before(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.noted_refund(first, on_file.share(70), "succeeded")


def one_of_two_failed(on_file: Records) -> None:
    on_file.ask(on_file.charge())
    on_file.charge(hours=1, status="failed")


def two_orders(on_file: Records) -> None:
    first = on_file.charge(reference=f"{on_file.reference}-A")
    second = on_file.charge(reference=f"{on_file.reference}-B", hours=1)
    on_file.order(first, "fulfilled", False)
    on_file.order(second, "fulfilled", False)
    on_file.ask(second)


def days_apart(on_file: Records) -> None:
    _pair(on_file, hours=120)


def other_amounts(on_file: Records) -> None:
    on_file.charge(on_file.share(60))
    on_file.ask(on_file.charge(hours=1))


def pair_settled(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.refund(first, on_file.amount_minor, "succeeded")


def pair_being_settled(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.refund(first, on_file.amount_minor, "processing")


def pair_settled_before(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.noted_refund(first, on_file.amount_minor, "succeeded")


def other_currency(on_file: Records) -> None:
    on_file.ask(on_file.charge())
    on_file.charge(hours=1, currency="eur")


def pair_settled_out_of_sight(on_file: Records) -> None:
    """The refund is older than all the payments that are read: nothing that is seen contradicts the claim."""
    first, _ = _pair(on_file)
    on_file.refund(first, on_file.amount_minor, "succeeded")
    for number in range(_MANY_PAYMENTS):
        on_file.charge(900 + number, reference=f"{on_file.reference}-{number}", hours=200 + number * 60)


def one_charge(on_file: Records) -> None:
    on_file.ask(on_file.charge())


def pair_asked_already(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.refund(first, on_file.amount_minor, "requested")


def pair_asked_before(on_file: Records) -> None:
    first, _ = _pair(on_file)
    on_file.noted_refund(first, on_file.amount_minor, "requested")


# ---- A fee


def _fee_of(on_file: Records, assessment: str) -> tuple[str, int]:
    charge, fee_minor = on_file.charge(), on_file.share(5)
    on_file.fee(charge, fee_minor, assessment)
    on_file.ask(charge, fee_minor)
    return charge, fee_minor


def wrong_fee(on_file: Records) -> None:
    _fee_of(on_file, "wrongly_charged")


def waivable_fee(on_file: Records) -> None:
    _fee_of(on_file, "waivable")


def more_than_the_fee(on_file: Records) -> None:
    charge, _ = _fee_of(on_file, "wrongly_charged")
    on_file.ask(charge, on_file.share(80))


def fee_partly_back(on_file: Records) -> None:
    charge, fee_minor = _fee_of(on_file, "wrongly_charged")
    on_file.noted_refund(charge, fee_minor // 2, "succeeded")


def right_fee(on_file: Records) -> None:
    _fee_of(on_file, "correct")


def fee_back(on_file: Records) -> None:
    charge, fee_minor = _fee_of(on_file, "waivable")
    on_file.refund(charge, fee_minor, "succeeded")


def fee_elsewhere(on_file: Records) -> None:
    other = on_file.charge(reference=f"{on_file.reference}-Z")
    on_file.fee(other, on_file.share(5), "wrongly_charged")
    _fee_of(on_file, "correct")


def no_fee_on_file(on_file: Records) -> None:
    on_file.ask(on_file.charge(), on_file.share(5))


def fee_asked_already(on_file: Records) -> None:
    charge, fee_minor = _fee_of(on_file, "wrongly_charged")
    on_file.refund(charge, fee_minor, "requested")


# ---- Goods sent back, and refunds that do not show up


def _order_of(on_file: Records, status: str, within_policy: bool) -> str:
    charge = on_file.charge()
    on_file.order(charge, status, within_policy)
    on_file.ask(charge)
    return charge


def returned(on_file: Records) -> None:
    _order_of(on_file, "returned", True)


def canceled(on_file: Records) -> None:
    _order_of(on_file, "canceled", True)


def one_item_returned(on_file: Records) -> None:
    charge = on_file.charge()
    on_file.order(charge, "returned", True, on_file.share(35))
    on_file.ask(charge)


def partly_back_before(on_file: Records) -> None:
    charge = _order_of(on_file, "returned", True)
    on_file.noted_refund(charge, on_file.share(50), "succeeded")


def kept(on_file: Records) -> None:
    _order_of(on_file, "fulfilled", False)


def on_its_way(on_file: Records) -> None:
    _order_of(on_file, "open", False)


def returned_too_late(on_file: Records) -> None:
    _order_of(on_file, "returned", False)


def return_undone(on_file: Records) -> None:
    """The order book first took the order for returned and corrected itself two days later."""
    charge = _order_of(on_file, "returned", True)
    on_file.order(charge, "fulfilled", False, hours=98)


def paid_back_before(on_file: Records) -> None:
    charge = _order_of(on_file, "returned", True)
    on_file.noted_refund(charge, on_file.amount_minor, "succeeded")


def being_paid_back(on_file: Records) -> None:
    charge = _order_of(on_file, "canceled", True)
    on_file.noted_refund(charge, on_file.amount_minor, "processing")


def other_order_returned(on_file: Records) -> None:
    other = on_file.charge(reference=f"{on_file.reference}-Z")
    on_file.order(other, "returned", True)
    _order_of(on_file, "fulfilled", False)


def no_order_on_file(on_file: Records) -> None:
    on_file.ask(on_file.charge())


def order_asked_before(on_file: Records) -> None:
    charge = _order_of(on_file, "returned", True)
    on_file.noted_refund(charge, on_file.amount_minor, "requested")


def order_partly_asked(on_file: Records) -> None:
    charge = _order_of(on_file, "canceled", True)
    on_file.refund(charge, on_file.share(40), "requested")
    on_file.ask(charge, on_file.share(60))


def refund_failed(on_file: Records) -> None:
    charge = _order_of(on_file, "returned", True)
    on_file.noted_refund(charge, on_file.amount_minor, "failed")


def two_stories(on_file: Records) -> None:
    """Two records about one order that cannot both be true."""
    charge = _order_of(on_file, "returned", True)
    on_file.order(charge, "returned", True, on_file.share(30), hours=60)


# ---- Not recognised


def just_a_charge(on_file: Records) -> None:
    on_file.ask(on_file.charge())


def delivered_and_signed(on_file: Records) -> None:
    _order_of(on_file, "fulfilled", False)
