"""R19, ids: TypeIDs go there and back, and nothing that merely looks like one is taken."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paywarden.kit import ids
from paywarden.kit.errors import InvalidFieldError

KNOWN = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def test_the_text_is_the_one_of_the_typeid_specification() -> None:
    assert ids.to_text("pay", KNOWN) == "pay_01h455vb4pex5vsknk084sn02q"
    assert ids.parse("pay", "pay_01h455vb4pex5vsknk084sn02q") == KNOWN


@given(st.uuids(), st.sampled_from(ids.PREFIXES))
def test_every_id_goes_there_and_back(value: UUID, prefix: ids.Prefix) -> None:
    text = ids.to_text(prefix, value)
    assert ids.parse(prefix, text) == value
    assert text.isascii()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pay",
        "pay_",
        "01h455vb4pex5vsknk084sn02q",
        "agt_01h455vb4pex5vsknk084sn02q",
        "pay_01H455VB4PEX5VSKNK084SN02Q",
        "pay_01h455vb4pex5vsknk084sn02",
        "pay_01h455vb4pex5vsknk084sn02qq",
        "pay_81h455vb4pex5vsknk084sn02q",
        "pay_zzzzzzzzzzzzzzzzzzzzzzzzzz",
        "pay_01h455vb4pex5vsknk084sn0lq",
        "pay_01h455vb4pex5vsknk084sn0 q",
        " pay_01h455vb4pex5vsknk084sn02q",
        "pay_01h455vb4pex5vsknk084sn02q\n",
        "pay_pay_01h455vb4pex5vsknk084sn02q",
        "pay_\uff10\uff11h455vb4pex5vsknk084sn02",
        "pay_01h455vb4pex5vsknk084sn02\u0000",
        str(KNOWN),
        "pay_" + "0" * 10_000,
        "' or 1=1 --",
    ],
    ids=repr,
)
def test_what_is_no_id_of_this_kind_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        ids.parse("pay", text, "payment")
    assert refused.value.param == "payment"
    assert len(text) < 6 or text not in refused.value.detail


@given(st.text(max_size=60))
def test_no_text_crashes_and_only_the_one_spelling_is_taken(text: str) -> None:
    try:
        value = ids.parse("pay", text)
    except InvalidFieldError:
        return
    assert ids.to_text("pay", value) == text


@given(st.text(alphabet="0123456789abcdefghjkmnpqrstvwxyz", min_size=26, max_size=26))
def test_no_two_texts_are_one_id(suffix: str) -> None:
    try:
        value = ids.parse("pay", f"pay_{suffix}")
    except InvalidFieldError:
        assert suffix[0] > "7"
        return
    assert ids.to_text("pay", value) == f"pay_{suffix}"


def test_new_ids_are_all_different_and_sort_by_time() -> None:
    made = [ids.new_uuid() for _ in range(5_000)]
    assert len(set(made)) == len(made)
    milliseconds = [value.int >> 80 for value in made]
    assert milliseconds == sorted(milliseconds)
    assert {value.version for value in made} == {7}
