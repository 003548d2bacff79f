"""R19, money: exponents 0, 2 and 3, bounds, display, and every hostile amount refused without a crash."""

from decimal import Decimal

import pytest
from babel.numbers import format_currency
from hypothesis import assume, given
from hypothesis import strategies as st
from iso4217 import Currency

from paywarden.kit.errors import InvalidFieldError
from paywarden.kit.money import MAX_AMOUNT_MINOR, Money, asset, check_amount_minor, display, exponent

HOSTILE_AMOUNTS = [
    0, -1, -(2**63), MAX_AMOUNT_MINOR + 1, 2**63, 10**400, True, False, 0.001, 1.0, 25.5, float("nan"), float("inf"),
    1e999, "25", "\uff12\uff15", "1_000", "1e3", "", None, [], {}, Decimal(25), b"25", 25j,
]  # fmt: skip
HOSTILE_CURRENCIES = [
    "USD", "Usd", "us", "usdd", "", " usd", "usd ", "us\u00df", "\uff55\uff53\uff44", "u$d", "xxx", "xau", "xts", "zzz",
    "abc", "clf", "uyw", "usd\x00", "u\nd", "123",
]  # fmt: skip


@pytest.mark.parametrize(
    ("currency", "digits", "name", "shown"),
    [
        ("jpy", 0, "JPY/0", "¥1,234"),
        ("krw", 0, "KRW/0", "₩1,234"),
        ("usd", 2, "USD/2", "$12.34"),
        ("eur", 2, "EUR/2", "€12.34"),
        ("kwd", 3, "KWD/3", "KWD1.234"),
        ("tnd", 3, "TND/3", "TND1.234"),
    ],
)
def test_minor_units_follow_iso_4217(currency: str, digits: int, name: str, shown: str) -> None:
    assert exponent(currency) == digits
    assert asset(currency) == name
    assert Money(1_234, currency).display == shown


@pytest.mark.parametrize("amount", [1, 2, MAX_AMOUNT_MINOR - 1, MAX_AMOUNT_MINOR])
def test_amounts_within_the_bounds_stay_what_they_are(amount: int) -> None:
    assert check_amount_minor(amount) == amount
    assert Money(amount, "usd").amount_minor == amount


@pytest.mark.parametrize("amount", HOSTILE_AMOUNTS, ids=repr)
def test_a_hostile_amount_is_refused_by_name(amount: object) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        Money(amount, "usd")  # type: ignore[arg-type]
    assert (refused.value.param, refused.value.status) == ("amount_minor", 400)


@pytest.mark.parametrize("currency", HOSTILE_CURRENCIES, ids=repr)
def test_a_hostile_currency_is_refused_by_name(currency: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        Money(100, currency)
    assert refused.value.param == "currency"


CURRENCIES = sorted(code for code in (each.code.lower() for each in Currency) if code not in HOSTILE_CURRENCIES)


@given(st.integers(-(10**18), 10**18), st.sampled_from(CURRENCIES))
def test_an_amount_is_displayed_as_the_locale_writes_it(amount: int, currency: str) -> None:
    try:
        digits = exponent(currency)
    except InvalidFieldError:
        assume(False)
    value = Decimal(amount).scaleb(-digits)
    assert display(amount, currency) == format_currency(value, currency.upper(), locale="en_US")


@given(st.integers(-(10**18), 10**18), st.sampled_from(["jpy", "usd", "kwd"]))
def test_what_is_displayed_is_the_amount_to_the_last_minor_unit(amount: int, currency: str) -> None:
    shown = display(amount, currency)
    digits = "".join(character for character in shown if character.isdigit() or character in "-.")
    assert Decimal(digits) == Decimal(amount).scaleb(-exponent(currency))


@given(st.one_of(st.floats(), st.text(), st.booleans(), st.none(), st.decimals(), st.binary()))
def test_nothing_but_an_int_is_an_amount(amount: object) -> None:
    with pytest.raises(InvalidFieldError):
        check_amount_minor(amount)  # type: ignore[arg-type]


@given(st.text(max_size=4))
def test_any_text_is_a_currency_or_refused(currency: str) -> None:
    try:
        digits = exponent(currency)
    except InvalidFieldError:
        return
    assert digits in {0, 2, 3}
    assert currency.isascii()
    assert currency == currency.lower()
