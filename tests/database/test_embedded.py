"""The embedded server: private folders stay private, one owner at a time, and no death leaves it broken or behind."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from paywarden.db import binaries
from paywarden.db.embedded import DATABASE, QUICKSTART, SERVICE, SUPERUSER, EmbeddedServer, buffers_mb
from paywarden.db.migrate import migrate
from paywarden.kit.errors import ConfigurationError

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server under another account")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that only we may enter (pytest's own are deep, so that sockets would not fit)."""
    made = Path(tempfile.mkdtemp(prefix="paywarden-test-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., EmbeddedServer]]:
    """Start servers that are stopped at the end whatever happens."""
    started: list[EmbeddedServer] = []

    def run(where: Path = folder, **options: object) -> EmbeddedServer:
        server = EmbeddedServer(where, **options)  # type: ignore[arg-type]
        started.append(server)
        server.start()
        return server

    yield run
    for server in reversed(started):
        server.stop()


def ask(server: EmbeddedServer, statement: str, role: str = SUPERUSER, database: str = "postgres") -> object:
    with psycopg.connect(server.connection_url(role, database), autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def wait_until(condition: Callable[[], bool], limit_seconds: float = 10) -> None:
    deadline = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("major", [18, 16])
def test_it_starts_keeps_its_data_and_its_logins(start: Callable[..., EmbeddedServer], major: int) -> None:
    server = start(major=major)
    server.bootstrap()
    server.bootstrap()
    migrate(server.connection_url(SUPERUSER), server.connection_url(SERVICE))
    assert str(ask(server, "show server_version")).startswith(str(major))
    assert ask(server, "select current_user", SERVICE, DATABASE) == SERVICE
    assert ask(server, "select current_user", QUICKSTART, DATABASE) == QUICKSTART
    assert ask(server, "show default_transaction_read_only", QUICKSTART, DATABASE) == "on"
    owner = f"select pg_get_userbyid(datdba) from pg_database where datname = '{DATABASE}'"
    assert ask(server, owner) == "paywarden_owner"
    ask(server, "create table kept (answer) as select 42")
    server.stop()
    server.start()
    assert ask(server, "select answer from kept") == 42


def test_commits_are_durable_and_nobody_listens_on_a_network(start: Callable[..., EmbeddedServer]) -> None:
    server = start()
    settings = {name: ask(server, f"show {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")}
    assert set(settings.values()) == {"on"}
    assert ask(server, "show data_checksums") == "on"
    assert ask(server, "show listen_addresses") == ""
    assert ask(server, "show timezone") == "UTC"


@pytest.mark.parametrize(
    ("memory_bytes", "megabytes"), [(2**29, 128), (2**31, 256), (2 * 10**9, 238), (2**33, 512), (2**38, 512)]
)
def test_an_eighth_of_the_memory_keeps_pages_within_bounds(memory_bytes: int, megabytes: int) -> None:
    assert buffers_mb(memory_bytes) == megabytes


def test_only_the_read_only_role_needs_no_password(start: Callable[..., EmbeddedServer]) -> None:
    server = start()
    server.bootstrap()
    for role in (SUPERUSER, SERVICE):
        url = server.connection_url(role)
        without = f"postgresql://{role}@{url.partition('@')[2]}"
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(without)


def test_no_permission_of_a_private_folder_is_widened(folder: Path, start: Callable[..., EmbeddedServer]) -> None:
    before = folder.stat()
    server = start()
    after = folder.stat()
    assert (
        (stat.S_IMODE(after.st_mode), after.st_uid)
        == (stat.S_IMODE(before.st_mode), before.st_uid)
        == (0o700, os.geteuid())
    )
    for secret in (folder / "postgres").glob("*.password"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    socket_folder = Path(psycopg.conninfo.conninfo_to_dict(server.connection_url(SUPERUSER))["host"])
    assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
    server.stop()
    assert not socket_folder.exists()


def test_secrets_of_our_environment_do_not_reach_the_server(
    start: Callable[..., EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMENT_API_KEY", "canary-in-the-environment")
    server = start()
    assert b"canary" not in Path(f"/proc/{server.pid}/environ").read_bytes()


def test_a_long_path_gets_a_short_socket(folder: Path, start: Callable[..., EmbeddedServer]) -> None:
    deep = folder.joinpath(*["a-rather-long-name"] * 8)
    server = start(deep)
    assert ask(server, "select 1") == 1


def test_other_files_in_the_folder_are_left_alone(folder: Path, start: Callable[..., EmbeddedServer]) -> None:
    (folder / "notes.txt").write_text("mine")
    start().stop()
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_second_start_on_the_same_folder_is_refused(folder: Path, start: Callable[..., EmbeddedServer]) -> None:
    first = start()
    with pytest.raises(ConfigurationError, match=f"another paywarden already runs on {folder}"):
        start()
    assert ask(first, "select 1") == 1
    first.stop()
    assert ask(start(), "select 1") == 1


def test_a_killed_server_is_started_again_with_what_was_committed(start: Callable[..., EmbeddedServer]) -> None:
    server = start()
    ask(server, "create table kept (answer) as select 42")
    busy = psycopg.connect(server.connection_url(SUPERUSER, "postgres"), autocommit=True)
    busy.execute("create table noise as select generate_series(1, 100000)")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: server.pid is None)
    server.restart()
    busy.close()
    assert ask(server, "select answer from kept") == 42


def test_a_stale_pid_file_that_names_a_stranger_is_not_believed(
    folder: Path, start: Callable[..., EmbeddedServer]
) -> None:
    server = start()
    server.stop()
    (folder / "postgres/data/postmaster.pid").write_text(f"{os.getpid()}\nx\n0\n5432\n/nowhere\n\n\nready\n")
    with pytest.raises(ConfigurationError, match="no PostgreSQL runs"):
        server.connection_url(SUPERUSER)


def test_an_interrupted_first_start_is_repeated(folder: Path, start: Callable[..., EmbeddedServer]) -> None:
    half = folder / "postgres" / "data.part"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    assert ask(start(), "select 1") == 1


def test_a_server_that_cannot_start_says_why(start: Callable[..., EmbeddedServer]) -> None:
    with pytest.raises(ConfigurationError, match='"fsync" requires a Boolean'):
        start(configuration={"fsync": "perhaps"})


OWNER = """
import sys, time
from pathlib import Path
from paywarden.db.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


def test_killing_the_owner_ends_the_server_and_the_next_start_waits_for_it(
    folder: Path, start: Callable[..., EmbeddedServer]
) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    try:
        postmaster = int(owner.stdout.readline())
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()
    assert ask(start(), "select 1") == 1
    assert not alive(postmaster)


@AS_ROOT
def test_root_runs_the_server_as_somebody_else(folder: Path, start: Callable[..., EmbeddedServer]) -> None:
    groups = os.getgroups()
    os.setgroups([0])
    try:
        server = start()
    finally:
        os.setgroups(groups)
    status = Path(f"/proc/{server.pid}/status").read_text()
    ids = {line.split(":")[0]: line.split()[1:] for line in status.splitlines() if line[:4] in ("Uid:", "Gid:", "Grou")}
    assert "0" not in ids["Uid"] + ids["Gid"] + ids["Groups"]
    assert (folder / "postgres" / "data").stat().st_uid == int(ids["Uid"][0])


@AS_ROOT
def test_binaries_that_the_server_cannot_reach_are_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "may_enter", lambda account, path: folder / "shared" in path.parents)
    account = binaries.server_account(folder / "absent")
    programs = binaries.programs(18, account, folder / "shared" / "cache")
    folder.chmod(0o711)
    ask_version = [programs / "initdb", "--version"]
    version = subprocess.check_output(ask_version, user=account.uid, group=account.gid, extra_groups=[], text=True)
    assert version.startswith("initdb (PostgreSQL) 18")
    assert binaries.programs(18, account, folder / "shared" / "cache") == programs
    assert [each.name for each in (folder / "shared" / "cache").iterdir()] == [programs.parents[2].name]


@AS_ROOT
def test_permission_bits_decide_who_may_enter(folder: Path) -> None:
    stranger = binaries.Account(65534, 65534)
    inner = folder / "inner"
    inner.mkdir(mode=0o755)
    assert not binaries.may_enter(stranger, inner)
    folder.chmod(0o711)
    assert binaries.may_enter(stranger, inner)
    os.chown(inner, 0, 65534)
    inner.chmod(0o705)
    assert not binaries.may_enter(stranger, inner)
