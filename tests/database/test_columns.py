"""Columns as texts of arrays: PostgreSQL reads what was written."""

from typing import Any
from uuid import UUID

import psycopg
import pytest

from paywarden.db import columns
from tests.conftest import Database

HOSTILE = ["", "NULL", "null", '"', "\\", '\\"', "{a,b}", "a b", " ", "\n\t", "ä€\U0001f600", None, '{"k": "\\u0041"}']


def read(database: Database, text: str, array: str) -> Any:
    with psycopg.connect(database.superuser_url) as connection:
        return connection.execute(f"select %s::{array}", [text]).fetchone()[0]


def test_any_text_is_read_as_it_was_written(database: Database) -> None:
    assert read(database, columns.texts(HOSTILE), "text[]") == HOSTILE


def test_arrays_in_arrays(database: Database) -> None:
    inner = [columns.texts(["a", '"', "\\"]), columns.texts([])]
    assert [read(database, each, "text[]") for each in read(database, columns.texts(inner), "text[]")] == [
        ["a", '"', "\\"],
        [],
    ]


@pytest.mark.parametrize(
    ("text", "array", "values"),
    [
        (columns.uuids([UUID(int=7), None]), "uuid[]", [UUID(int=7), None]),
        (columns.plain([1, 10**15, -3]), "bigint[]", [1, 10**15, -3]),
        (columns.plain([True, False]), "boolean[]", [True, False]),
        (columns.plain([0, 0.5, 30.0]), "float8[]", [0.0, 0.5, 30.0]),
        (columns.plain(["charge", "payment.asked"]), "text[]", ["charge", "payment.asked"]),
        (columns.hexadecimal([b"", bytes(range(256))]), "bytea[]", [b"", bytes(range(256))]),
        (columns.texts([]), "text[]", []),
    ],
)
def test_other_values_are_read_as_they_were_written(
    database: Database, text: str, array: str, values: list[Any]
) -> None:
    assert read(database, text, array) == values
