"""The loader of named statements: the form of the files, and that code and files name the same things."""

import ast
from importlib import resources
from pathlib import Path

import pytest

from paywarden.db.sql import FILE, all_statements, load, parse

GOOD = "-- name: one\n-- The number one.\nselect 1;\n\n-- name: two\n-- The number two,\n-- in two lines.\nselect 2\n"


def test_a_statement_has_a_name_a_purpose_and_its_text() -> None:
    one, two = parse(GOOD, "here")
    assert (one.name, one.purpose, one.sql) == ("one", "The number one.", "select 1")
    assert (two.name, two.purpose, two.sql) == ("two", "The number two, in two lines.", "select 2")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("select 1;\n" + GOOD, "before the first"),
        (GOOD + GOOD, r"repeated \['one', 'two'\]"),
        ("-- name: one\nselect 1;", "what for"),
        ("-- name: one\n--\nselect 1;", "what for"),
        ("-- name: one\n-- The number one.\n", "exactly one statement"),
        ("-- name: one\n-- Two of them.\nselect 1; select 2;", "exactly one statement"),
        ("-- name: One Two\n-- No name.\nselect 1;", "no name"),
    ],
)
def test_a_file_that_breaks_the_form_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(text, "here")


def test_an_unknown_name_is_an_error_that_names_the_file() -> None:
    queries = load("paywarden.ledger")
    assert queries["write"] == queries.write
    with pytest.raises(AttributeError, match=r"paywarden\.ledger/queries\.sql has no statement 'wriet'"):
        _ = queries.wriet


def names_used(room: Path) -> set[str]:
    """Every ``name`` of ``SQL.name`` and ``SQL["name"]`` in the Python files of a room."""
    found = set()
    for file in room.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Attribute(value=ast.Name(id="SQL"), attr=name):
                    found.add(name)
                case ast.Subscript(value=ast.Name(id="SQL"), slice=ast.Constant(value=str(name))):
                    found.add(name)
    return found


def test_code_and_files_name_the_same_statements() -> None:
    used = {
        f"{room.name}.{name}"
        for room in Path(str(resources.files("paywarden"))).iterdir()
        if (room / FILE).is_file()
        for name in names_used(room)
    }
    assert used == set(all_statements())
