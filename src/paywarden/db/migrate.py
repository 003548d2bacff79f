"""Bring a database to the last revision: ``python -m paywarden.db.migrate``, or ``paywarden migrate``.

Run it as a short-lived process: what alembic loads (about 48 MB) then does not stay with the service.
"""

from contextlib import closing
from importlib import resources
from types import ModuleType
from typing import Any, cast

import psycopg
from alembic import op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import Script
from alembic.script.revision import RevisionMap
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, StaticPool, create_engine

from paywarden.db.revisions import VERSION_SCHEMA, Revision, revisions
from paywarden.kit.errors import ConfigurationError
from paywarden.settings import Settings

_ONE_AT_A_TIME = 0x7061_7977  # "payw"


def migrate(owner_url: str, service_url: str) -> list[str]:
    """Apply what is missing, each revision in one transaction, and return the numbers that were applied.

    ``owner_url`` logs in as somebody who may create roles and owns the database (or is superuser); ``service_url``
    names who serves later. Concurrent runs wait for each other. Raises ConfigurationError when the database is newer
    than this program.
    """
    service_login = conninfo_to_dict(service_url).get("user")
    if not service_login:
        raise ConfigurationError("DATABASE_URL must name the user")
    connection = psycopg.connect(owner_url, autocommit=True, application_name="paywarden migrate")
    with closing(connection):
        _prepare(connection, service_login)
        connection.autocommit = False
        engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
        with engine.connect() as outer:
            return _apply(outer, revisions())


def _prepare(connection: psycopg.Connection[Any], service_login: object) -> None:
    """Wait for our turn, see that roles and the version's schema exist, and become the owner of what is created."""
    connection.execute("set lock_timeout = '60s'")
    connection.execute("select pg_advisory_lock(%s)", [_ONE_AT_A_TIME])
    connection.execute("set lock_timeout = '5s'")
    connection.execute("select set_config('paywarden.service_login', %s, false)", [service_login])
    connection.execute(resources.files("paywarden.db").joinpath("roles.sql").read_bytes())
    # As the login, not as the owner: only a superuser or a managed server's administrator may create it.
    connection.execute("create extension if not exists vector with schema public")
    connection.execute("set role paywarden_owner")
    connection.execute("create schema if not exists alembic")
    connection.execute("grant usage on schema alembic to paywarden_app, paywarden_system")
    connection.execute(
        "alter default privileges in schema alembic grant select on tables to paywarden_app, paywarden_system"
    )


def _apply(connection: Connection, known: list[Revision]) -> list[str]:
    applied: list[str] = []

    def missing(heads: tuple[str, ...], _: MigrationContext) -> list[RevisionStep]:
        present = heads[0] if heads else ""
        if present > known[-1].number:
            raise ConfigurationError(f"the database is at revision {present}, newer than this program: upgrade it")
        applied.extend(each.number for each in known if each.number > present)
        return _steps(known, present)

    options = {"version_table_schema": VERSION_SCHEMA, "transaction_per_migration": True, "fn": missing}
    context = MigrationContext.configure(connection=connection, opts=options)
    with Operations.context(context):
        context.run_migrations()
    connection.commit()
    return applied


def _steps(known: list[Revision], present: str) -> list[RevisionStep]:
    scripts = [_script(each, before) for each, before in zip(known, [None, *known], strict=False)]
    chain = RevisionMap(lambda: scripts)
    missing = reversed(list(chain.iterate_revisions("head", present or "base")))
    return [MigrationStep.upgrade_from_script(chain, cast(Script, each)) for each in missing]


def _script(revision: Revision, before: Revision | None) -> Script:
    """The form in which alembic expects a revision: a module with an ``upgrade``. Here all it does is run the SQL."""
    module = ModuleType(f"revision_{revision.number}", revision.title)

    def upgrade() -> None:
        # Not through sqlalchemy.text, which takes ":" in SQL and JSON for parameters.
        op.get_bind().connection.driver_connection.execute(revision.sql.encode())  # type: ignore[union-attr]

    module.__dict__.update(down_revision=before.number if before else None, upgrade=upgrade)
    return Script(module, revision.number, f"{revision.number}_{revision.title}.sql")


def main() -> None:
    """Migrate what the environment names: PAYWARDEN_OWNER_DATABASE_URL, else DATABASE_URL."""
    settings = Settings.load()
    applied = migrate(settings.migration_url, settings.service_url)
    print(f"applied {', '.join(applied)}" if applied else "the database is at the last revision")


if __name__ == "__main__":
    main()
