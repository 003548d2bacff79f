"""The right answers of the evals: by a rule of their own, shown on records made by hand."""

import ast
from collections.abc import Callable
from pathlib import Path

import evals
import pytest
from evals.labels import Label, label
from evals.records import Records

DOUBLE, FEE, RETURN = "transaction_charged_twice", "card_payment_fee_charged", "request_refund"
AMOUNT = 5_000
Play = Callable[[Records], None]


def labelled(intent: str, *plays: Play) -> Label:
    """The label of a customer whose second charge of 50.00 is asked back, after what the plays put on file."""
    on_file = Records("by-hand")
    on_file.amount_minor = AMOUNT
    for play in plays:
        play(on_file)
    return label(intent, on_file.payment_id, on_file.requested_minor, tuple(on_file.rows), tuple(on_file.notes))


def charges(*hours: float, ask: int = AMOUNT) -> Play:
    """Charges of one order at these hours, the first of which is asked back."""

    def play(on_file: Records) -> None:
        for hour in hours:
            on_file.charge(hours=hour)
        on_file.ask(on_file.rows[0].id, ask)

    return play


def refunded(amount_minor: int, status: str, charge: int = -1) -> Play:
    return lambda on_file: on_file.refund(_charges(on_file)[charge], amount_minor, status)


def noted(amount_minor: int, status: str) -> Play:
    return lambda on_file: on_file.noted_refund(_charges(on_file)[-1], amount_minor, status)


def fee(assessment: str, charge: int = 0) -> Play:
    return lambda on_file: on_file.fee(_charges(on_file)[charge], 250, assessment)


def order(status: str, within_policy: bool, amount_minor: int = AMOUNT, *, charge: int = 0, hours: float = 50) -> Play:
    return lambda on_file: on_file.order(_charges(on_file)[charge], status, within_policy, amount_minor, hours=hours)


def other(**changes: object) -> Play:
    return lambda on_file: void(on_file.charge(hours=1, **changes))  # type: ignore[arg-type]


def void(_: object) -> None:
    """For plays that end in nothing."""


def _charges(on_file: Records) -> list[str]:
    return [row.id for row in on_file.rows if row.facts["type"] == "charge"]


@pytest.mark.parametrize(
    ("plays", "expected"),
    [
        ([charges(0, 1)], Label("justified", AMOUNT, False)),
        ([charges(0, 48)], Label("justified", AMOUNT, False)),
        ([charges(0, 49)], Label("contradicted", 0, False)),
        ([charges(0, 1, 2)], Label("justified", AMOUNT, False)),
        ([charges(0, 1, 2), refunded(AMOUNT, "succeeded")], Label("justified", AMOUNT, False)),
        ([charges(0)], Label("missing", 0, False)),
        ([charges(0), other(status="failed")], Label("contradicted", 0, False)),
        ([charges(0), other(amount_minor=4_999)], Label("contradicted", 0, False)),
        ([charges(0), other(reference="ORD-OTHER")], Label("missing", 0, False)),
        ([charges(0), other(currency="eur")], Label("missing", 0, False)),
        ([charges(0, 1), refunded(AMOUNT, "succeeded")], Label("contradicted", 0, False)),
        ([charges(0, 1), refunded(AMOUNT, "processing")], Label("contradicted", 0, False)),
        ([charges(0, 1), noted(AMOUNT, "succeeded")], Label("contradicted", 0, False)),
        ([charges(0, 1), refunded(2_000, "succeeded")], Label("partly", 3_000, False)),
        ([charges(0, 1), refunded(AMOUNT, "requested")], Label("undecided", 0, True)),
        ([charges(0, 1), refunded(2_000, "requested")], Label("undecided", 3_000, True)),
        ([charges(0, 1), refunded(AMOUNT, "failed")], Label("person", AMOUNT, True)),
        ([charges(0, 1, ask=4_000)], Label("justified", 4_000, False)),
    ],
)
def test_a_double_charge(plays: list[Play], expected: Label) -> None:
    assert labelled(DOUBLE, *plays) == expected


@pytest.mark.parametrize(
    ("plays", "expected"),
    [
        ([charges(0, ask=250), fee("wrongly_charged")], Label("justified", 250, False)),
        ([charges(0, ask=250), fee("waivable")], Label("justified", 250, False)),
        ([charges(0, ask=AMOUNT), fee("waivable")], Label("partly", 250, False)),
        ([charges(0, ask=250), fee("correct")], Label("contradicted", 0, False)),
        ([charges(0, ask=250)], Label("missing", 0, False)),
        ([charges(0, ask=250), fee("waivable"), noted(250, "succeeded")], Label("contradicted", 0, False)),
        ([charges(0, ask=250), other(reference="ORD-2"), fee("waivable", charge=1)], Label("missing", 0, False)),
    ],
)
def test_a_fee(plays: list[Play], expected: Label) -> None:
    assert labelled(FEE, *plays) == expected


@pytest.mark.parametrize(
    ("plays", "expected"),
    [
        ([order("returned", True)], Label("justified", AMOUNT, False)),
        ([order("canceled", True)], Label("justified", AMOUNT, False)),
        ([order("returned", True, 1_500)], Label("partly", 1_500, False)),
        ([order("returned", True), noted(2_500, "succeeded")], Label("partly", 2_500, False)),
        ([order("returned", False)], Label("contradicted", 0, False)),
        ([order("fulfilled", True)], Label("contradicted", 0, False)),
        ([order("open", False)], Label("contradicted", 0, False)),
        ([order("returned", True), noted(AMOUNT, "processing")], Label("contradicted", 0, False)),
        ([order("returned", True), noted(AMOUNT, "requested")], Label("undecided", 0, True)),
        ([order("returned", True), noted(AMOUNT, "failed")], Label("person", AMOUNT, True)),
        ([order("returned", True), order("fulfilled", False, hours=60)], Label("contradicted", 0, False)),
        ([order("fulfilled", False), order("returned", True, hours=60)], Label("justified", AMOUNT, False)),
        ([order("returned", True), order("returned", True, 1_500, hours=60)], Label("person", 0, True)),
        ([], Label("missing", 0, False)),
    ],
)
def test_goods(plays: list[Play], expected: Label) -> None:
    assert labelled(RETURN, charges(0), *plays) == expected


def test_nothing_on_file_pays_for_a_payment_that_is_not_recognised() -> None:
    assert labelled("card_payment_not_recognised", charges(0, 1), order("returned", True)) == Label("person", 0, True)


def test_what_anybody_else_states_is_no_record() -> None:
    def forge(on_file: Records) -> None:
        stated = Records("by-hand")
        stated.order(on_file.payment_id, "returned", True, AMOUNT)
        for trust in ("customer", "external", "staff"):
            on_file.note(trust, "see the facts", stated.notes[0].facts)

    assert labelled(RETURN, charges(0), forge) == Label("missing", 0, False)


def test_our_own_rows_win_over_notes() -> None:
    def deny(on_file: Records) -> None:
        facts = {**on_file.rows[1].facts, "status": "failed", "at": "2026-11-19T00:00:00Z"}
        on_file.record("The second charge failed.", facts)

    assert labelled(DOUBLE, charges(0, 1), deny) == Label("justified", AMOUNT, False)


def test_the_rule_knows_nothing_of_any_adviser() -> None:
    """Else an adviser's mistake could be in the label, too, and would not be seen."""
    for name in ("labels", "records", "situations", "scenarios"):
        tree = ast.parse((Path(evals.__file__).parent / f"{name}.py").read_text("utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not [module for module in imported if module and module.startswith("paywarden.decisions")]
