"""The comparison of the provider's book with ours: every line of both sides ends matched or found, in minor units."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paywarden.reconciliation.matching import Comparison, OurPayment, ProviderLine, compare

ONE, TWO = UUID(int=1), UUID(int=2)


def line(provider_id: str = "p1", amount: int = 500, reference: str | None = "pay_1", **changes: str) -> ProviderLine:
    return ProviderLine(
        provider_id, changes.get("kind", "charge"), amount, changes.get("currency", "usd"), reference  # type: ignore[arg-type]
    )  # fmt: skip


def ours(
    identity: UUID = ONE,
    provider_id: str | None = "p1",
    *,
    amount: int = 500,
    booked: int | None = None,
    status: str = "succeeded",
    kind: str = "charge",
) -> OurPayment:
    sign = 1 if kind == "charge" else -1
    return OurPayment(
        identity, f"pay_{identity.int}", kind, status, amount, "usd", provider_id,  # type: ignore[arg-type]
        sign * amount if booked is None else booked,
    )  # fmt: skip


def kinds(compared: Comparison) -> list[str]:
    return [finding.kind for finding in compared.findings]


def test_equal_books_match_and_sum_up() -> None:
    compared = compare(
        [line(), line("r1", -200, "pay_2", kind="refund")], [ours(), ours(TWO, "r1", amount=200, kind="refund")]
    )
    assert (compared.matched, compared.findings) == (2, ())
    assert compared.ours_minor == compared.theirs_minor == {"usd": 300}


@pytest.mark.parametrize(
    ("lines", "payments", "kind"),
    [
        ([line()], [], "missing_here"),
        ([], [ours()], "booked_without_provider"),
        ([], [ours(booked=0)], "missing_at_provider"),
        ([line(amount=501)], [ours()], "amount_differs"),
        ([line(currency="eur")], [ours()], "amount_differs"),
        ([line()], [ours(booked=0, status="processing")], "not_booked"),
        ([line()], [ours(booked=0, status="failed")], "not_booked"),
        ([line()], [ours(booked=499)], "not_booked"),
        ([line(), line("p2")], [ours()], "doubled"),
        ([line(), line()], [ours()], "doubled"),
    ],
)
def test_each_difference_has_its_name(lines: list[ProviderLine], payments: list[OurPayment], kind: str) -> None:
    compared = compare(lines, payments)
    assert kinds(compared) == [kind]
    assert compared.matched == 0


@pytest.mark.parametrize("status", ["outcome_unknown", "submitting", "processing", "failed", "requires_action"])
def test_what_is_on_neither_side_is_no_finding(status: str) -> None:
    assert compare([], [ours(booked=0, status=status)]).findings == ()


def test_a_line_is_matched_by_the_providers_id_before_our_reference() -> None:
    compared = compare([line("p2", reference="pay_1")], [ours(booked=0, status="processing"), ours(TWO, "p2")])
    assert (compared.matched, kinds(compared)) == (1, [])


def test_a_line_without_a_known_id_is_matched_by_our_reference() -> None:
    assert compare([line("unknown to us")], [ours(provider_id=None)]).matched == 1


def test_a_refund_never_matches_a_charge() -> None:
    compared = compare([line(kind="refund", amount=-500)], [ours()])
    assert sorted(kinds(compared)) == ["booked_without_provider", "missing_here"]


def test_a_refund_with_the_wrong_sign_differs() -> None:
    compared = compare([line(amount=500, kind="refund")], [ours(kind="refund")])
    assert kinds(compared) == ["amount_differs"]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([100, 200]), st.sampled_from(["charge", "refund"]))),
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([100, 200]), st.sampled_from([0, 100, 200])), max_size=4),
)
def test_nothing_is_lost_whatever_the_books_say(theirs: list, known: list) -> None:
    lines = [line(f"p{number}", amount, f"pay_{number}", kind=kind) for number, amount, kind in theirs]
    unique = {number: (amount, booked) for number, amount, booked in known}
    payments = [
        ours(UUID(int=number), f"p{number}", amount=amount, booked=booked)
        for number, (amount, booked) in unique.items()
    ]
    compared = compare(lines, payments)
    strangers = [each for each in lines if each.kind == "refund" or int(each.provider_id[1:]) not in unique]
    assert kinds(compared).count("missing_here") == len(strangers)
    told = {finding.payment_id for finding in compared.findings if finding.payment_id}
    assert compared.matched + len(told) == len(payments)
    assert compared.theirs_minor.get("usd", 0) == sum(each.amount_minor for each in lines)
    assert compared.ours_minor.get("usd", 0) == sum(payment.booked_minor for payment in payments)
