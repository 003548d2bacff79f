"""Migrations on real servers: twice is once, a kill in the middle harms nothing, the result is what was reviewed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from paywarden.db import migrate as machinery
from paywarden.db import revisions as files
from paywarden.db.migrate import migrate
from paywarden.db.revisions import Revision, is_current, revisions
from paywarden.kit.errors import ConfigurationError
from tests.conftest import Database, Server, create_empty_database
from tests.migration.catalogue import describe

SNAPSHOT = Path(__file__).with_name("schema.snapshot.txt")
LAST = revisions()[-1].number


@pytest.fixture
def empty(server: Server, database_numbers: Iterator[int]) -> Iterator[Database]:
    """A database without our schema, owned by a login that may create roles and is no superuser."""
    name = f"empty_{next(database_numbers)}"
    create_empty_database(server, name)
    yield Database(server, name)
    server.administer(f"drop database {name} with (force)")


def version(database: Database) -> str | None:
    with psycopg.connect(database.superuser_url) as connection:
        if connection.execute("select to_regclass('alembic.alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("select version_num from alembic.alembic_version").fetchone()
    return row[0] if row else None


def ask(database: Database, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.superuser_url) as connection:
        return connection.execute(query).fetchall()


def wait_until(condition: Callable[[], bool], limit_seconds: float = 10) -> None:
    deadline = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def migrating(database: Database) -> subprocess.Popen[str]:
    """``python -m paywarden.db.migrate`` as an operator runs it: the owner's login migrates, another serves."""
    environment = {
        **os.environ,
        "PAYWARDEN_OWNER_DATABASE_URL": database.migrator_url,
        "DATABASE_URL": database.service_url,
    }
    command = [sys.executable, "-m", "paywarden.db.migrate"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.both_versions
def test_the_schema_is_the_reviewed_one(database: Database) -> None:
    """A change of the schema shows as a change of ``schema.snapshot.txt``, the same on both versions. To accept one:

    UPDATE_SNAPSHOT=1 .venv/bin/python -m pytest -n0 tests/migration/test_migration.py -k reviewed
    """
    found = describe(database.superuser_url)
    if os.environ.get("UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(found)
    assert found.splitlines() == SNAPSHOT.read_text().splitlines()


def test_a_change_by_hand_is_seen(database: Database) -> None:
    before = describe(database.superuser_url)
    changes = (
        "alter table paywarden.payments no force row level security",
        "alter table paywarden.payments alter column status drop not null",
        "drop policy tenant_wall on paywarden.payments",
        "grant update on paywarden.accounts to paywarden_app",
        "grant select (fence) on paywarden.payments to quickstart",
        "create or replace function paywarden.clock() returns timestamptz language sql volatile return now()",
        "create index on paywarden.payments (created_at)",
        "alter schema quickstart owner to paywarden_app",
    )
    for change in changes:
        database.server.administer(change, database=database.name)
        after = describe(database.superuser_url)
        assert after != before, f"not seen: {change}"
        before = after


@pytest.mark.both_versions
def test_a_second_run_does_nothing(empty: Database) -> None:
    everything = [each.number for each in revisions()]
    assert migrate(empty.migrator_url, empty.service_url) == everything
    schema = describe(empty.superuser_url)
    assert migrate(empty.migrator_url, empty.service_url) == []
    assert describe(empty.superuser_url) == schema


HOLD_AT_ACCOUNTS = """
create function public.hold() returns event_trigger language plpgsql as $$
begin
    if exists (select from pg_event_trigger_ddl_commands() where object_identity = 'paywarden.accounts') then
        perform pg_advisory_xact_lock(42);
    end if;
end $$;
create event trigger hold on ddl_command_end when tag in ('CREATE TABLE') execute function public.hold();
"""


def waiting_migrations(database: Database) -> int:
    """How many migrations of this database wait for a lock."""
    return len(
        ask(
            database,
            "select from pg_stat_activity where application_name = 'paywarden migrate' and wait_event_type = 'Lock'"
            f" and datname = '{database.name}'",
        )
    )


def test_a_kill_in_the_middle_loses_only_the_unfinished_revision(empty: Database, database: Database) -> None:
    empty.server.administer(HOLD_AT_ACCOUNTS, database=empty.name)
    with psycopg.connect(empty.superuser_url, autocommit=True) as blocker:
        blocker.execute("select pg_advisory_lock(42)")
        run = migrating(empty)
        wait_until(lambda: waiting_migrations(empty) == 1)
        run.kill()
        run.communicate()
        ending = f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{empty.name}'"
        blocker.execute(ending + " and application_name = 'paywarden migrate'")
    reached = version(empty)
    assert reached is not None
    assert "0001" <= reached < LAST
    assert ask(empty, "select to_regclass('paywarden.accounts')") == [(None,)]
    empty.server.administer("drop event trigger hold", "drop function public.hold", database=empty.name)
    applied = migrate(empty.migrator_url, empty.service_url)
    assert applied == [each.number for each in revisions() if each.number > reached]
    assert describe(empty.superuser_url) == describe(database.superuser_url)


def test_two_runs_at_once_apply_everything_once(empty: Database) -> None:
    empty.server.administer(HOLD_AT_ACCOUNTS, database=empty.name)
    with psycopg.connect(empty.superuser_url, autocommit=True) as blocker:
        blocker.execute("select pg_advisory_lock(42)")
        runs = [migrating(empty), migrating(empty)]
        wait_until(lambda: waiting_migrations(empty) == 2)
    outputs = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    everything = f"applied {', '.join(each.number for each in revisions())}\n"
    assert sorted(output for output, _ in outputs) == sorted([everything, "the database is at the last revision\n"])


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Pretend that there is one more revision with this SQL."""

    def add(sql: str) -> None:
        extra = Revision(f"{int(LAST) + 1:04}", "extra", sql)
        monkeypatch.setattr(machinery, "revisions", lambda: [*files.revisions(), extra])

    return add


def test_a_revision_that_fails_leaves_nothing(database: Database, one_more: Callable[[str], None]) -> None:
    one_more("create table paywarden.half (id int); select 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(database.migrator_url, database.service_url)
    assert version(database) == LAST
    assert ask(database, "select to_regclass('paywarden.half')") == [(None,)]


def test_a_revision_runs_as_the_owner_and_waits_for_no_lock_for_long(
    database: Database, one_more: Callable[[str], None]
) -> None:
    one_more(
        "create table paywarden.seen as select current_user::text, session_user::text, current_setting('lock_timeout')"
    )
    assert migrate(database.migrator_url, database.service_url) == [f"{int(LAST) + 1:04}"]
    assert ask(database, "select * from paywarden.seen") == [("paywarden_owner", "migrator", "5s")]


def test_colons_percent_signs_and_json_are_left_alone(database: Database, one_more: Callable[[str], None]) -> None:
    one_more("""create table paywarden.seen as select '{"a":1, ":b": "100%s %(x)s"}'::jsonb::text as text""")
    migrate(database.migrator_url, database.service_url)
    assert ask(database, "select text from paywarden.seen") == [('{"a": 1, ":b": "100%s %(x)s"}',)]


def test_a_database_newer_than_the_program_is_refused(database: Database) -> None:
    database.server.administer("update alembic.alembic_version set version_num = '9999'", database=database.name)
    with pytest.raises(ConfigurationError, match="at revision 9999, newer than this program"):
        migrate(database.migrator_url, database.service_url)


async def test_ready_means_the_last_revision(database: Database, empty: Database) -> None:
    async with await psycopg.AsyncConnection.connect(empty.superuser_url) as connection:
        assert not await is_current(connection)
    async with await psycopg.AsyncConnection.connect(database.service_url) as connection:
        await connection.execute("select set_config('role', 'paywarden_system', true)")
        assert await is_current(connection)
        database.server.administer("update alembic.alembic_version set version_num = '0001'", database=database.name)
        assert not await is_current(connection)


@pytest.mark.parametrize("names", [["0001_a.sql", "0003_c.sql"], ["0001_a.sql", "0001_b.sql"], ["0002_b.sql"]])
def test_a_gap_or_a_repetition_in_the_numbers_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: list[str]
) -> None:
    folder = tmp_path / "migrations" / "versions"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("select 1")
    monkeypatch.setattr(files.resources, "files", lambda _: tmp_path)
    with pytest.raises(ValueError, match="without gap or repetition"):
        revisions()


@pytest.mark.both_versions
def test_no_role_of_ours_is_above_the_rules(database: Database) -> None:
    roles = ask(
        database,
        "select rolname from pg_roles where (rolsuper or rolbypassrls or rolcreatedb or rolreplication)"
        " and (rolname ~ '^paywarden' or rolname in ('quickstart', 'migrator'))",
    )
    assert roles == []
    logins = ask(database, "select rolname from pg_roles where rolcanlogin and rolname !~ '^(postgres|migrator)$'")
    assert set(logins) == {("paywarden_service",), ("quickstart",)}
    strangers = ask(
        database,
        "select relname, relowner::regrole from pg_class join pg_namespace as space on space.oid = relnamespace"
        " where nspname in ('paywarden', 'quickstart', 'alembic') and relowner <> 'paywarden_owner'::regrole",
    )
    assert strangers == []


def test_a_role_that_is_above_the_rules_stops_the_migration(database: Database) -> None:
    database.server.administer("alter role paywarden_app bypassrls")
    try:
        with pytest.raises(psycopg.errors.RaiseException, match="paywarden_app must be neither superuser nor exempt"):
            migrate(database.migrator_url, database.service_url)
    finally:
        database.server.administer("alter role paywarden_app nobypassrls")


def test_the_read_only_role_can_neither_write_nor_fill_the_disk(empty: Database) -> None:
    migrate(empty.migrator_url, empty.service_url)
    with psycopg.connect(empty.quickstart_url, autocommit=True) as connection:
        assert connection.execute("show search_path").fetchone() == ("quickstart",)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("create temporary table filler (id int)")
        connection.execute("set default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create temporary table filler (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create table public.filler (id int)")


def test_nothing_is_loaded_to_find_that_nothing_is_missing(database: Database) -> None:
    """Every start of ``paywarden up`` asks, and alembic takes as long to load as everything else that it does."""
    program = (
        "import sys; from paywarden.db.migrate import migrate\n"
        "assert migrate(*sys.argv[1:]) == []\n"
        "print([name for name in ('alembic', 'sqlalchemy') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, database.migrator_url, database.service_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
