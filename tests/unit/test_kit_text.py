"""R19 and R29, text: what may enter an id or a sentence, and that no card number does, however it is spelled."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paywarden.kit.errors import InvalidFieldError
from paywarden.kit.text import MAX_ID_CHARACTERS, MAX_TEXT_CHARACTERS, clean_id, clean_text, contains_card_number

# The schemes' own test numbers: Visa (13, 16, 19), Mastercard (both ranges), Amex, Discover, Diners, JCB, UnionPay,
# Maestro.
CARDS = [
    "4222222222222", "4242424242424242", "4000000000000000006", "5555555555554444", "2223003122003222",
    "378282246310005", "6011111111111117", "30569309025904", "3530111333300000", "6200000000000005", "6759649826438453",
]  # fmt: skip


def grouped(card: str, separator: str) -> str:
    return separator.join(card[start : start + 4] for start in range(0, len(card), 4))


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("separator", ["", " ", "-"])
@pytest.mark.parametrize("around", ["{}", "card {} please", "n={};", "({})", "a{}b", "\u20ac{}"])
def test_a_card_number_is_refused_wherever_it_stands(card: str, separator: str, around: str) -> None:
    text = around.format(grouped(card, separator))
    assert contains_card_number(text)
    for check in (clean_id, clean_text):
        with pytest.raises(InvalidFieldError) as refused:
            check(text, "reference")
        assert card not in refused.value.detail


@pytest.mark.parametrize(
    "separator",
    ["  ", ".", "/", "\t", "\n", "\u00a0", "\u2011", "\u2013", "\u2009", "_", ",", "--", " - "],
    ids=ascii,
)
def test_a_card_number_is_refused_with_any_one_separator(separator: str) -> None:
    assert contains_card_number(grouped("4242424242424242", separator))


@pytest.mark.parametrize("zero", [0xFF10, 0x0660, 0x0966, 0x1D7CE], ids=hex)
def test_a_card_number_is_refused_in_any_script(zero: int) -> None:
    assert contains_card_number("".join(chr(zero + int(digit)) for digit in "4242424242424242"))


@pytest.mark.parametrize(
    "text", ["order 12 4242 4242 4242 4242", "4242 4242 4242 4242 12/29 123", "4242-4242-4242-4242 203"]
)
def test_a_card_number_is_found_beside_other_digits(text: str) -> None:
    assert contains_card_number(text)


@pytest.mark.parametrize("card", CARDS)
def test_one_wrong_digit_is_no_card_number(card: str) -> None:
    wrong = card[:-1] + str((int(card[-1]) + 1) % 10)
    assert not contains_card_number(wrong)


@pytest.mark.parametrize(
    "text",
    ["", "0000000000000000", "1234567812345670", "2026-01-31 12:00:00", "tel 0049 30 1234567", "9" * 16, "7" * 12],
)
def test_ordinary_numbers_are_no_cards(text: str) -> None:
    assert not contains_card_number(text)


def test_no_id_of_ours_is_mistaken_for_a_card() -> None:
    letters = random.Random(7)
    for _ in range(2_000):
        assert not contains_card_number("pay_" + "".join(letters.choices("abcdefghjkmnpqrstvwxyz0123", k=26)))


@pytest.mark.parametrize(
    "value",
    ["", " ", "\t", "\u3000", "a\x00b", "a\x1bb", "a\x7fb", "a\x85b", "\ud800", "a\udfffb", "x" * 256, "a\nb"],
    ids=ascii,
)
def test_what_is_no_id_is_refused_by_name(value: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        clean_id(value, "customer")
    assert refused.value.param == "customer"


@pytest.mark.parametrize("value", [" a", "a ", "\u00a0a", "a\u2003"], ids=ascii)
def test_an_id_has_no_blank_edges(value: str) -> None:
    with pytest.raises(InvalidFieldError):
        clean_id(value, "customer")


@pytest.mark.parametrize(
    "value", ["a", "x" * MAX_ID_CHARACTERS, "Zoë", "日本", "a b", "☃", "' or 1=1 --", "../x", "%00"]
)
def test_ordinary_ids_pass_unchanged(value: str) -> None:
    assert clean_id(value, "customer") == value


def test_a_sentence_may_have_lines_and_has_a_limit() -> None:
    assert clean_text("two\r\n\tlines", "request") == "two\r\n\tlines"
    assert len(clean_text("x" * MAX_TEXT_CHARACTERS, "request")) == MAX_TEXT_CHARACTERS
    with pytest.raises(InvalidFieldError):
        clean_text("x" * (MAX_TEXT_CHARACTERS + 1), "request")


@given(st.text(max_size=300))
def test_no_text_crashes_and_what_passes_can_be_stored(value: str) -> None:
    for check in (clean_id, clean_text):
        try:
            passed = check(value, "field")
        except InvalidFieldError:
            continue
        assert passed == value
        assert "\x00" not in passed
        passed.encode("utf-8")
