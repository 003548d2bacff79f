"""Files of notes: every line is a note or a named refusal, in bounded memory, whatever the file holds."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paywarden.cli import note_files
from paywarden.cli.note_files import Layout, Lines, NoteLine, Refusal, count_lines, layout_of, opened, read_notes
from paywarden.kit.errors import InvalidFieldError

CARD = "4111 1111 1111 1111"


def read(path: Path, content: bytes, layout: Layout) -> list[NoteLine | Refusal]:
    path.write_bytes(content)
    with opened(path) as text:
        return list(read_notes(Lines(text), layout))


def shown(found: list[NoteLine | Refusal]) -> list[tuple[int, Any]]:
    """Line numbers with the content of notes, and with the field of refusals."""
    return [(each.number, each.note["content"] if isinstance(each, NoteLine) else (each.field,)) for each in found]


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    content = (
        "\ufeffcustomer,content,trust,facts,hobby,valid_until\r\n"
        'c1,"two\r\nlines, and a comma",,,chess,\r\n'
        "\r\n"
        'c2,Zürich 😀,record,"{""type"":""x""}",,2030-01-01T00:00:00Z\r\n'
        "c3,last"
    ).encode()
    found = read(tmp_path / "a.csv", content, Layout("csv", trust="staff"))
    assert found == [
        NoteLine(2, {"trust": "staff", "customer": "c1", "content": "two\r\nlines, and a comma"}),
        NoteLine(
            5,
            {"trust": "record", "customer": "c2", "content": "Zürich 😀", "facts": {"type": "x"},
             "valid_until": "2030-01-01T00:00:00Z"},
        ),
        Refusal(6, None, "has 2 columns where the heading has 6"),
    ]  # fmt: skip
    assert count_lines(tmp_path / "a.csv") == 6


def test_columns_go_by_the_names_that_the_file_gives_them(tmp_path: Path) -> None:
    layout = Layout("csv", customer="user id", content="text")
    assert shown(read(tmp_path / "a.csv", b"text,user id,content\nhello,u1,x\n", layout)) == [(2, "hello")]
    layout = Layout("jsonl", customer="u", content="text")
    assert shown(read(tmp_path / "a", b'{"text": "hello", "u": "u1", "z": [1]}', layout)) == [(1, "hello")]


def test_every_wrong_line_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"customer": ""}, "customer"), ({"customer": "a\nb"}, "customer"), ({"customer": 5}, "customer"),
        ({"customer": " a"}, "customer"), ({"customer": None}, "customer"), ({"content": " "}, "content"),
        ({"content": "x" * 20_001}, "content"), ({"content": "\x00"}, "content"), ({"content": "\ud800"}, "content"),
        ({"content": CARD}, "content"), ({"content": ["x"]}, "content"), ({"trust": "gospel"}, "trust"),
        ({"source": "x" * 256}, "source"), ({"invoice": True}, "invoice"), ({"case": {}}, "case"),
        ({"facts": []}, "facts"), ({"facts": "{"}, "facts"), ({"facts": {"a": "\ud800"}}, "facts"),
        ({"facts": {"a": 2**60}}, "facts"), ({"valid_until": 5}, "valid_until"),
        ({"valid_until": "\ud800"}, "valid_until"),
    ]  # fmt: skip
    lines = [json.dumps({"customer": "c", "content": "fine"} | change) for change, _ in wrong]
    found = read(tmp_path / "a.jsonl", "\n".join([*lines, lines[0].replace('""', '"c"')]).encode(), Layout("jsonl"))
    assert shown(found)[:-1] == [(number, (field,)) for number, (_, field) in enumerate(wrong, 1)]
    assert shown(found)[-1] == (len(wrong) + 1, "fine")
    assert not any(CARD in str(refusal) for refusal in found)


def test_what_is_no_json_object_is_named(tmp_path: Path) -> None:
    bad = [b"{", b"[]", b"1", b"NaN", b'{"a":1,"a":2}', b'{"customer":"c","content":"\xff"}', b"\x00", b"[" * 9_000]
    found = read(tmp_path / "a", b"\n\n".join(bad), Layout("jsonl"))
    assert shown(found) == [(number * 2 + 1, (None,)) for number in range(len(bad))]


def test_bytes_that_are_no_utf8_are_refused_by_field(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", b"customer,content\nc,caf\xe9\nc\xe9,x\nc,fine\n", Layout("csv"))
    assert shown(found) == [(2, ("content",)), (3, ("customer",)), (4, "fine")]


def test_an_open_quote_or_an_endless_line_costs_neither_memory_nor_the_rest(tmp_path: Path) -> None:
    filler = b"c,filler line\n" * 12_000
    found = read(tmp_path / "a.csv", b'customer,content\nc,"open\n' + filler + b"c,last\n", Layout("csv"))
    first, *rest = found
    assert isinstance(first, Refusal)
    assert (first.number, "is a quote left open?" in first.problem) == (2, True)
    assert shown(rest)[-1] == (12_003, "last")
    last = int(first.problem.split("line ")[1].split(":")[0])
    assert [each.number for each in rest] == list(range(last + 1, 12_004))
    for form in ("csv", "jsonl"):
        good = b"c,fine\n" if form == "csv" else b'{"customer":"c","content":"fine"}\n'
        heading = b"customer,content\n" if form == "csv" else good
        found = read(tmp_path / "b", heading + b"x" * 1_000_000 + b"\n" + good, Layout(form))  # type: ignore[arg-type]
        assert shown(found)[-2:] == [(2, (None,)), (3, "fine")]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"a,b\n", b"customer\n", b"customer,customer,content\n", b"customer,content,trust,trust\n",
     b'"', b"x" * 300_000],
)  # fmt: skip
def test_a_file_without_the_needed_columns_is_refused_at_once(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read(tmp_path / "a.csv", content, Layout("csv"))
    assert caught.value.param == "FILE"


def test_the_form_is_that_of_the_name_unless_it_is_said(tmp_path: Path) -> None:
    assert layout_of(Path("A.CSV"), None, "c", "t", "staff") == Layout("csv", "c", "t", "staff")
    assert layout_of(Path("a.csv"), "jsonl", "c", "t", "staff").form == "jsonl"
    for path, form, trust in (("a.txt", None, "staff"), ("a.csv", "xml", "staff"), ("a.csv", None, "gospel")):
        with pytest.raises(InvalidFieldError):
            layout_of(Path(path), form, "c", "t", trust)
    with pytest.raises(InvalidFieldError, match="cannot be read"):
        opened(tmp_path / "absent.csv")


@given(content=st.binary(max_size=300) | st.text("customer,content\n\r\"'{}:\\x", max_size=200).map(str.encode))
def test_no_file_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "a"
    for found in (
        read(path, content, Layout("jsonl")),
        read(path, b"customer,content\n" + content, Layout("csv")),
    ):
        numbers = [each.number for each in found]
        assert numbers == sorted(set(numbers))
        assert all(1 <= number <= count_lines(path) for number in numbers)


def test_lines_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(note_files, "MAX_LINE_CHARACTERS", 40)
    long = json.dumps({"customer": "c", "content": "x" * 50})
    short = json.dumps({"customer": "c", "content": "y"})
    found = read(tmp_path / "a", f"{long}\n{short}\n{long}".encode(), Layout("jsonl"))
    assert shown(found) == [(1, (None,)), (2, "y"), (3, (None,))]
