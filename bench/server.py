"""The database server of one run: the embedded one as it is shipped, in a temporary folder, with several databases."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from bench.machine import family, pss_mib
from paywarden.db import binaries
from paywarden.db.embedded import SERVICE, SUPERUSER, EmbeddedServer

Row = dict[str, Any]
_VACUUM_SECONDS = 20
_GLANCE_SECONDS = 0.25
# Of 16 MB each: what ``min_wal_size`` allows.
_SEGMENTS = 60
_VACUUMING = "select count(*) from pg_stat_activity where backend_type = 'autovacuum worker'"


class Server:
    """A running server. ``close`` ends it and removes everything."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="paywarden-bench-"))
        self._embedded = EmbeddedServer(self.folder)
        try:
            self._embedded.start()
            self._embedded.bootstrap()
            self._keep_segments()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the server; what it stored goes with it."""
        self._embedded.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, name: str) -> None:
        """A database of its own."""
        with psycopg.connect(self._embedded.connection_url(SUPERUSER, "postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("create database {} owner paywarden_owner").format(sql.Identifier(name)))

    def superuser_url(self, database: str) -> str:
        """Who seeds and counts."""
        return self._embedded.connection_url(SUPERUSER, database)

    def service_url(self, database: str) -> str:
        """Who serves."""
        return self._embedded.connection_url(SERVICE, database)

    def tidy(self, database: str) -> None:
        """Vacuum what a round has written: else the server's own vacuum falls on whatever is measured after it."""
        with psycopg.connect(self.superuser_url(database), autocommit=True) as connection:
            connection.execute("vacuum (analyze)")
        deadline = time.monotonic() + _VACUUM_SECONDS
        while time.monotonic() < deadline and number(self.superuser_url(database), _VACUUMING):
            time.sleep(_GLANCE_SECONDS)

    def _keep_segments(self) -> None:
        """Make the used segments of the log that a server keeps once it has been at work (``min_wal_size``).

        Else what is measured first, TPC-B too, makes them: that stops every commit for some 60 ms each time.
        """
        with psycopg.connect(self.superuser_url("postgres"), autocommit=True) as connection:
            for _ in range(_SEGMENTS):
                connection.execute("select pg_logical_emit_message(false, 'bench', ''), pg_switch_wal()")
            connection.execute("checkpoint")

    def pss_mib(self) -> float:
        """The memory of the server with all its backends."""
        return 0.0 if self._embedded.pid is None else pss_mib(family(self._embedded.pid))

    def program(self, name: str, arguments: Sequence[str], database: str) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's own programs to its end, as the superuser of a database."""
        whole = conninfo_to_dict(self.superuser_url(database))
        environment: Mapping[str, str] = {
            "PATH": os.defpath,
            **{f"PG{key.upper()}": str(whole[key]) for key in ("host", "port", "user", "password")},
            "PGDATABASE": database,
        }
        account = binaries.server_account(self.folder / "postgres" / "data")
        command = [str(binaries.programs(18, account) / name), *arguments]
        return subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False)


def rows(url: str, query: str, values: Mapping[str, Any] | None = None) -> list[Row]:
    """What a query finds, asked as the superuser: no wall, no cursor, the plain truth."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        return connection.execute(query.encode(), values).fetchall()


def number(url: str, query: str, values: Mapping[str, Any] | None = None) -> int:
    """The only number that a query finds."""
    found = rows(url, query, values)
    return int(next(iter(found[0].values())) or 0)
