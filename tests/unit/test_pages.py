"""Cursors: what we made comes back as it was, everything else is refused with the field named."""

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paywarden.api.pages import after, page
from paywarden.kit.errors import InvalidFieldError

Row = tuple[str, UUID]


@given(
    st.lists(st.tuples(st.integers(0, 2**63 - 1).map(str), st.uuids()), max_size=30),
    st.integers(min_value=1, max_value=10),
)
def test_pages_lead_through_the_whole_list_once(rows: list[Row], limit: int) -> None:
    seen: list[Row] = []
    rest, cursor = rows, None
    while True:
        shown = page(rest[: limit + 1], limit, lambda row: row, lambda row: row)
        seen += shown["data"]
        cursor = shown["next_cursor"]
        assert shown["has_more"] == (cursor is not None)
        if cursor is None:
            break
        position = after(cursor)
        assert position == shown["data"][-1]
        rest = rest[len(shown["data"]) :]
    assert seen == rows


def test_no_cursor_is_the_beginning() -> None:
    assert after(None) is None


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "!!!!", "=", "a" * 101, "żółć", "\ud800",
        *(
            base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
            for text in (":", "1:2", "-1:" + "0" * 32, "1:" + "g" * 32, "99999999999999999999:" + "0" * 32,
                         "1:" + "0" * 32 + "\n", "١:" + "0" * 32)
        ),
    ],
)  # fmt: skip
def test_a_cursor_that_we_did_not_make_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        after(cursor)
    assert refused.value.param == "cursor"
