"""Every named statement is understood by the real schema, and somebody who serves may run it."""

import re

import psycopg
import pytest

from paywarden.db.sql import Statement, all_statements, parse
from tests.conftest import Database

_PARAMETER = re.compile(r"%\((\w+)\)[sb]|%%")


def as_prepared(sql: str) -> str:
    """psycopg's placeholders as PostgreSQL's: ``%(id)s`` becomes ``$1``, ``%%`` becomes ``%``."""
    names: list[str] = []

    def place(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "%"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PARAMETER.sub(place, sql)


def broken(connection: psycopg.Connection, statements: dict[str, Statement]) -> dict[str, str]:
    """What is wrong with each statement that PostgreSQL does not accept."""
    found = {}
    for name, statement in statements.items():
        try:
            with connection.transaction(force_rollback=True):
                connection.execute("prepare candidate as " + as_prepared(statement.sql), prepare=False)
                connection.execute("deallocate candidate")
        except psycopg.Error as error:
            found[name] = str(error)
    return found


def forbidden(connection: psycopg.Connection, statements: dict[str, Statement]) -> dict[str, str]:
    """The statements that neither the app's role nor the system's may run: a grant is missing."""
    found = {}
    for name, statement in statements.items():
        refusals = [_refusal(connection, role, statement) for role in ("paywarden_app", "paywarden_system")]
        if all(refusals):
            found[name] = str(refusals[0])
    return found


def _refusal(connection: psycopg.Connection, role: str, statement: Statement) -> str | None:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("select set_config('role', %s, true)", [role])
            connection.execute("select set_config('app.tenant', gen_random_uuid()::text, true)")
            connection.execute("explain (generic_plan) " + as_prepared(statement.sql), prepare=False)
    except psycopg.errors.InsufficientPrivilege as error:
        return str(error)
    return None


@pytest.mark.both_versions
def test_every_named_statement_prepares(database: Database) -> None:
    statements = all_statements()
    assert statements, "no named statement was found: the walk over the rooms is broken"
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        assert broken(connection, statements) == {}


@pytest.mark.both_versions
def test_every_named_statement_may_be_run_by_the_app_or_the_system(database: Database) -> None:
    with psycopg.connect(database.service_url, autocommit=True) as connection:
        assert forbidden(connection, all_statements()) == {}


def test_a_broken_statement_and_a_forbidden_one_are_found(database: Database) -> None:
    twin = parse(
        "-- name: wrong_column\n-- A typing error.\nselect idd from paywarden.payments where id = %(id)s;\n"
        "-- name: by_hand\n-- Past the write door.\nupdate paywarden.accounts set balance = %(balance)s;\n",
        "twin",
    )
    statements = {each.name: each for each in twin}
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        assert set(broken(connection, statements)) == {"wrong_column"}
    with psycopg.connect(database.service_url, autocommit=True) as connection:
        del statements["wrong_column"]
        assert set(forbidden(connection, statements)) == {"by_hand"}
