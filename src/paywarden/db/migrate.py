"""Bring a database to the last revision: ``python -m paywarden.db.migrate``, or ``paywarden migrate``.

Run it as a short-lived process: what alembic loads (about 48 MB) then does not stay with the service.
"""

from contextlib import closing
from importlib import resources
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import scalar_row

from paywarden.db.revisions import IS_VERSIONED, PRESENT_VERSION, revisions
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
        known = revisions()
        if _present(connection) == known[-1].number:
            return []
        from paywarden.db.missing_revisions import apply

        return apply(connection, known)


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


def _present(connection: psycopg.Connection[Any]) -> str | None:
    cursor = connection.cursor(row_factory=scalar_row)
    present: str | None = (
        cursor.execute(PRESENT_VERSION).fetchone() if cursor.execute(IS_VERSIONED).fetchone() else None
    )
    return present


def main() -> None:
    """Migrate what the environment names: PAYWARDEN_OWNER_DATABASE_URL, else DATABASE_URL."""
    settings = Settings.load()
    applied = migrate(settings.migration_url, settings.service_url)
    print(f"applied {', '.join(applied)}" if applied else "the database is at the last revision")


if __name__ == "__main__":
    main()
