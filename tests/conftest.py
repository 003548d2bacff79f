"""What all tests share: real PostgreSQL servers of both supported versions, a fresh database for each test, a clock.

Each worker starts the servers it needs, once, in a folder of its own; the schema is migrated once into a template by a
login that is no superuser, and every test gets a clone.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from paywarden.db.embedded import QUICKSTART, SERVICE, SUPERUSER, EmbeddedServer
from paywarden.db.migrate import migrate
from paywarden.db.pool import Pool, open_pool
from paywarden.memory.local_embedder import UniversalSentenceEmbedder
from paywarden.settings import Settings
from tests.stack import Stack

# These servers keep nothing. What a crash leaves behind is tested with servers as they are shipped.
CONFIGURATION = {
    "fsync": "off",
    "full_page_writes": "off",
    "min_wal_size": "32MB",
    "max_wal_size": "128MB",
    "scram_iterations": "1",
}
# A database is some hundred small files: a disk takes up to twenty times as long over them as memory does.
MEMORY, ENOUGH_BYTES = Path("/dev/shm"), 2 * 2**30  # noqa: S108 - only as the parent of folders with random names
LONGEST_FILES = {"test_r01_no_double_charge", "test_r03_database_crashes", "test_up", "test_demo_play"}
# They take what ``paywarden up`` starts as it comes, and leave it able to do its work.
FILES_OF_ONE_SERVICE = {
    "test_cli_commands",
    "test_cli_import",
    "test_quickstart_contract",
    "test_gate",
    "test_r11_webhooks_http",
    "test_r14_keys_http",
    "test_r15_duplicates_http",
}
_PREFIX = "paywarden-test-"
MIGRATOR = "migrator"
TEMPLATE = "template_paywarden"
PASSWORD = "only-for-tests"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_versions: run on PostgreSQL 18 and on PostgreSQL 16")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes comes first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.path.stem not in LONGEST_FILES)


class FilesByService(LoadFileScheduling):  # type: ignore[misc]
    """A worker takes a whole file, or all files that share one running service."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "one service" if Path(file).stem in FILES_OF_ONE_SERVICE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesByService:
    return FilesByService(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server_version" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_versions"):
        metafunc.parametrize("server_version", [18, 16], ids=["pg18", "pg16"])


@dataclass(frozen=True, slots=True)
class Server:
    """A running server whose template holds the migrated schema."""

    process: EmbeddedServer
    superuser: psycopg.Connection[tuple[object, ...]]

    @classmethod
    def of(cls, process: EmbeddedServer) -> "Server":
        """Log in as the superuser, once for all tests."""
        return cls(process, psycopg.connect(process.connection_url(SUPERUSER, "postgres"), autocommit=True))

    def url(self, role: str, database: str) -> str:
        """How ``role`` logs in. The service and the migrator are ordinary logins with a password."""
        socket = self.process.connection_url(QUICKSTART, database).partition("@")[2]
        password = {SERVICE: f":{PASSWORD}", MIGRATOR: f":{PASSWORD}"}.get(role)
        if password is None:
            return self.process.connection_url(role, database)
        return f"postgresql://{role}{password}@{socket}"

    def roles(self) -> set[tuple[object, ...]]:
        """Every role and every membership: they belong to the server, so a test that leaves one behind harms others."""
        found = self.superuser.execute("select rolname, rolcanlogin, rolbypassrls, rolcreaterole from pg_roles")
        members = self.superuser.execute(
            "select roleid::regrole::text, member::regrole::text, grantor::regrole::text, inherit_option"
            " from pg_auth_members"
        )
        return {*found.fetchall(), *members.fetchall()}

    def administer(self, *statements: str, database: str | None = None) -> None:
        """Run statements as the superuser, for the whole server or in one database."""
        if database is None:
            for statement in (*statements, "reset role"):
                self.superuser.execute(statement)
            return
        with psycopg.connect(self.process.connection_url(SUPERUSER, database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


@dataclass(frozen=True, slots=True)
class Database:
    """A database of one test. ``owner_url`` works as paywarden_owner; ``migrator_url`` is the login who may."""

    server: Server
    name: str

    @property
    def service_url(self) -> str:
        return self.server.url(SERVICE, self.name)

    @property
    def migrator_url(self) -> str:
        return self.server.url(MIGRATOR, self.name)

    @property
    def owner_url(self) -> str:
        return f"{self.migrator_url}&options={quote('-c role=paywarden_owner')}"

    @property
    def superuser_url(self) -> str:
        return self.server.url(SUPERUSER, self.name)

    @property
    def quickstart_url(self) -> str:
        return self.server.url(QUICKSTART, self.name)


class FrozenClock:
    """The database's clock, standing still until the test moves it."""

    def __init__(self, database: Database, now: datetime) -> None:
        self._url = database.superuser_url
        self.now = now

    def advance(self, seconds: float) -> None:
        """Move on (or back, when negative)."""
        self.set(self.now + timedelta(seconds=seconds))

    def set(self, now: datetime) -> None:
        """Show this instant from now on."""
        self.now = now
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("update public.frozen_clock set now_is = %s", [now])


class Servers:
    """The servers of this worker, started when a test first asks for the version."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[Server, Path]] = {}
        _sweep()

    def get(self, major: int) -> Server:
        if major not in self._running:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_fastest_folder()))
            process = EmbeddedServer(folder, major=major, configuration=CONFIGURATION)
            process.start()
            self._running[major] = Server.of(process), folder
            _make_template(self._running[major][0])
        return self._running[major][0]

    def stop(self) -> None:
        for server, folder in self._running.values():
            server.superuser.close()
            server.process.stop()
            shutil.rmtree(folder, ignore_errors=True)


def _fastest_folder() -> Path | None:
    """Memory, if this machine has a folder of it with room for all servers; else where temporary files go."""
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES
    return MEMORY if roomy else None


def _sweep() -> None:
    """Give back the memory of runs that were killed: whoever runs holds the lock of its folder."""
    for lock in MEMORY.glob(f"{_PREFIX}*/postgres/lock"):
        with contextlib.suppress(OSError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parents[1], ignore_errors=True)


def create_empty_database(server: Server, name: str) -> None:
    """A database as a managed server hands it out: the owner is no superuser, the extension is there."""
    server.administer(f"create database {name} owner {MIGRATOR}")
    server.administer("create extension vector", database=name)


def _make_template(server: Server) -> None:
    server.administer(f"create role {MIGRATOR} login createrole password '{PASSWORD}'")
    server.administer(f"set role {MIGRATOR}", f"create role {SERVICE} login password '{PASSWORD}'")
    create_empty_database(server, TEMPLATE)
    migrate(server.url(MIGRATOR, TEMPLATE), server.url(SERVICE, TEMPLATE))
    server.administer(f"alter database {TEMPLATE} with allow_connections false")
    _let_the_kernel_copy(server)


def _let_the_kernel_copy(server: Server) -> None:
    """A clone then takes 20 ms instead of 50, where the version of the server and the file system can do it."""
    with contextlib.suppress(psycopg.Error):
        server.administer("set file_copy_method = clone")
        try:
            with cloned(server, "copied_by_the_kernel"):
                pass
        except psycopg.Error:
            server.administer("reset file_copy_method")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    running = Servers()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def database_numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def server_version() -> int:
    """The PostgreSQL version of this test; both, one after the other, for tests marked ``both_versions``."""
    return 18


@pytest.fixture
def server(servers: Servers, server_version: int) -> Server:
    return servers.get(server_version)


@contextlib.contextmanager
def cloned(server: Server, name: str, template: str = TEMPLATE) -> Iterator[Database]:
    """A database of this name with all that stands in the template, until the block ends."""
    server.administer(
        # Nine times as fast as going through the write-ahead log, on a server that does not wait for its disk.
        f"create database {name} template {template} owner {MIGRATOR} strategy file_copy",
        # A clone has the template's tables, not its grants on the database.
        f"grant create on database {name} to paywarden_owner",
        f"revoke temporary on database {name} from public",
    )
    yield Database(server, name)
    server.administer(f"drop database {name} with (force)")


@pytest.fixture
def database(server: Server, database_numbers: Iterator[int]) -> Iterator[Database]:
    """A fresh database with the migrated schema. A test that leaves a role or a membership behind fails."""
    roles = server.roles()
    with cloned(server, f"test_{next(database_numbers)}") as database:
        yield database
    assert server.roles() == roles


@pytest.fixture(scope="session", autouse=True)
def installation(tmp_path_factory: pytest.TempPathFactory) -> None:
    """All workers of a run start their services on copies of one data folder."""
    base = tmp_path_factory.getbasetemp()
    Stack.installation = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "installation"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """What ``paywarden up`` starts, once for ``FILES_OF_ONE_SERVICE``."""
    started = Stack(tmp_path_factory.mktemp("service") / "data")
    try:
        yield started.start()
        started.stop()
    finally:
        started.end()


@pytest.fixture(scope="session")
def embedder() -> UniversalSentenceEmbedder:
    """The default one, loaded before anybody waits for it. It works in a thread of its own, whatever loop asks."""
    loaded = UniversalSentenceEmbedder()
    asyncio.run(loaded.preload())
    return loaded


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """Settings of a service on ``database``, untouched by the environment of whoever runs the tests."""
    return Settings.load(_env_file=None, database_url=database.service_url, data_dir=tmp_path / "data", pool_min=1)


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    """The service's pool."""
    async with open_pool(settings.service_url, settings) as opened:
        yield opened


@pytest.fixture
def frozen_clock(database: Database) -> FrozenClock:
    """Stop the database's clock at 2030-01-01 12:00 UTC."""
    start = datetime(2030, 1, 1, 12, tzinfo=UTC)
    database.server.administer(
        f"create table public.frozen_clock as select timestamptz '{start.isoformat()}' as now_is",
        "grant select on public.frozen_clock to public",
        "create or replace function paywarden.clock() returns timestamptz language sql volatile"
        " as 'select now_is from public.frozen_clock'",
        database=database.name,
    )
    return FrozenClock(database, start)
