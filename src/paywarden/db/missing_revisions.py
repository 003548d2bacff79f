"""Revisions that are missing, applied through alembic. Loaded only when there are any: alembic takes half a second."""

from types import ModuleType
from typing import Any, cast

import psycopg
from alembic import op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import Script
from alembic.script.revision import RevisionMap
from sqlalchemy import Connection, StaticPool, create_engine

from paywarden.db.revisions import VERSION_SCHEMA, Revision
from paywarden.kit.errors import ConfigurationError


def apply(connection: psycopg.Connection[Any], known: list[Revision]) -> list[str]:
    """Apply what is missing, each revision in one transaction; the numbers that were applied.

    Raises ConfigurationError when the database is newer than this program.
    """
    connection.autocommit = False
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as outer:
        return _apply(outer, known)


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
