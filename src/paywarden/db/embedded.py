"""PostgreSQL without installing one: a server of our own in DIR/postgres, reachable through a Unix socket only.

The server ends with the process that started it, however that ends, and whoever starts it next waits until it is gone.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import pq, sql

from paywarden.db import binaries
from paywarden.kit.children import ended_with_parent
from paywarden.kit.errors import ConfigurationError

DATABASE = "paywarden"
SUPERUSER = "postgres"
SERVICE = "paywarden_service"
QUICKSTART = "quickstart"

_LONGEST_SOCKET_PATH_BYTES = 107
_SOCKET_NAME = ".s.PGSQL.5432"
_HBA = "local all quickstart trust\nlocal all all scram-sha-256\n"
_LOCALE = {16: ("--no-locale",), 18: ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")}
_CONFIGURATION = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0777",  # the folder around the socket is what protects it
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    # A segment of the write-ahead log that was made once is used again: making one stops every commit for some 60 ms.
    "min_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # details quote rows, and rows hold what customers wrote
}
_LEAST_BUFFERS_MB, _MOST_BUFFERS_MB = 128, 512
_FORMER_SERVER_STILL_EXITS = ("is still in use", "already exists")


def buffers_mb(memory_bytes: int) -> int:
    """PostgreSQL's ``shared_buffers`` in MB: an eighth of the machine's memory, 128 to 512.

    With less, a search that reads a customer's whole history waits for pages that writers have left to be stored.
    """
    return max(_LEAST_BUFFERS_MB, min(_MOST_BUFFERS_MB, memory_bytes // 8 // 2**20))


class EmbeddedServer:
    """The server of one data folder. Start and stop it from the main thread: it dies with the thread that forked it."""

    def __init__(self, folder: Path, *, major: int = 18, configuration: Mapping[str, str] | None = None) -> None:
        self._folder = folder.absolute() / "postgres"
        self._data = self._folder / "data"
        self._major = major
        buffers = {"shared_buffers": f"{buffers_mb(psutil.virtual_memory().total)}MB"}
        self._configuration = {**_CONFIGURATION, **buffers, **(configuration or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the running server that this object started."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self, limit_seconds: float = 60) -> None:
        """Make the data folder if there is none, start the server, and return when it answers.

        Raises ConfigurationError when another process holds the folder or the server does not come up in time.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._folder / "lock")
        try:
            self._account = binaries.server_account(self._data)
            self._programs = binaries.programs(self._major, self._account)
            self._run = _socket_folder(self._folder, self._account)
            if not self._data.exists():
                self._initialise()
            self.restart(limit_seconds)
        except BaseException:
            self.stop()
            raise

    def restart(self, limit_seconds: float = 60) -> None:
        """Start the server again after it died; waits for the remains of the former one."""
        deadline = time.monotonic() + limit_seconds
        while not self._comes_up(deadline):
            time.sleep(0.05)
        with closing(psycopg.connect(self._url(SUPERUSER, "postgres", self._run), connect_timeout=10)):
            return

    def bootstrap(self) -> None:
        """Create the owner, the service's login and the database, as far as they are missing. May run every time."""
        with psycopg.connect(self._url(SUPERUSER, "postgres", self._run), autocommit=True) as connection:
            _ensure_role(connection, "paywarden_owner", sql.SQL("NOLOGIN"))
            password = sql.SQL("LOGIN PASSWORD {}").format(_password(self._folder / "service.password"))
            _ensure_role(connection, SERVICE, password)
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER paywarden_owner").format(sql.Identifier(DATABASE)))

    def stop(self, limit_seconds: float = 30) -> None:
        """End the server: sessions are cut, what was committed stays. Escalates when ``limit_seconds`` is over."""
        if self._process is not None:
            _end(self._process, limit_seconds)
            self._process = None
            shutil.rmtree(self._run)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def connection_url(self, role: str, database: str = DATABASE) -> str:
        """How ``role`` reaches ``database`` of the server that runs on this folder, whoever started it.

        ``role`` is SUPERUSER, SERVICE or QUICKSTART. Raises ConfigurationError when no server runs.
        """
        facts = self._postmaster()
        if facts is None:
            raise ConfigurationError(f"no PostgreSQL runs on {self._folder}; start it with: paywarden up")
        return self._url(role, database, Path(facts[1]))

    def _url(self, role: str, database: str, run: Path) -> str:
        file = {SUPERUSER: "superuser.password", SERVICE: "service.password"}.get(role)
        login = role if file is None else f"{role}:{_password(self._folder / file)}"
        return f"postgresql://{login}@/{database}?host={quote(str(run), safe='')}&port=5432"

    def _initialise(self) -> None:
        """Run initdb beside the final place and rename, so that an interrupted first start is simply repeated."""
        part = self._folder / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        os.chown(part, self._account.uid, self._account.gid)
        secret = self._run / "password"
        secret.touch(mode=0o600)
        secret.write_text(_password(self._folder / "superuser.password"))
        os.chown(secret, self._account.uid, self._account.gid)
        try:
            self._initdb(part, secret)
        finally:
            secret.unlink()
        (part / "pg_hba.conf").write_text(_HBA)
        part.rename(self._data)

    def _initdb(self, folder: Path, secret: Path) -> None:
        options = ["-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "utf8", "--data-checksums"]
        with self._named(folder) as name, self._child_of("initdb", ["-D", name, *options, *_LOCALE[self._major]]) as it:
            _, complaint = it.communicate()
        if it.returncode != 0:
            raise ConfigurationError(f"initdb failed: {complaint.decode(errors='replace').strip()}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = {**self._configuration, "unix_socket_directories": str(self._run)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._named(self._data) as name, (self._folder / "server.log").open("ab") as log:
            return self._child_of("postgres", ["-D", name, *options], log=log.fileno())

    def _child_of(self, program: str, arguments: list[str], log: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        """A child under the server's account that does not inherit our environment, which holds secrets."""
        other = os.geteuid() != self._account.uid
        return subprocess.Popen(
            [self._programs / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log if log != subprocess.PIPE else subprocess.DEVNULL,
            stderr=log,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            user=self._account.uid if other else None,
            group=self._account.gid if other else None,
            extra_groups=[] if other else None,
            start_new_session=True,
            pass_fds=self._inherited,
            preexec_fn=ended_with_parent(signal.SIGINT),  # noqa: PLW1509 - one system call, and no import or lock
        )

    @contextmanager
    def _named(self, folder: Path) -> Iterator[str]:
        """The name under which the server's account can open ``folder``.

        In a folder that only root may enter this is a descriptor of ours; nobody's permissions are widened for it.
        """
        self._inherited: tuple[int, ...] = ()
        if binaries.may_enter(self._account, folder):
            yield str(folder)
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._inherited = (descriptor,)
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)

    def _comes_up(self, deadline: float) -> bool:
        """Start the server once; False when it gave way to the remains of a former one."""
        log = self._folder / "server.log"
        log_start = log.stat().st_size if log.exists() else 0
        self._process = self._spawn()
        while self._process.poll() is None:
            facts = self._postmaster()
            if facts is not None and facts[0] == self._process.pid and _answers(self._run):
                return True
            if time.monotonic() > deadline:
                _end(self._process, 5)
                raise ConfigurationError(f"PostgreSQL does not answer; see {log}")
            time.sleep(0.01)
        reason = log.read_bytes()[log_start:].decode(errors="replace")
        if time.monotonic() > deadline or not any(words in reason for words in _FORMER_SERVER_STILL_EXITS):
            raise ConfigurationError(f"PostgreSQL does not start: {reason[-2000:].strip()}")
        return False

    def _postmaster(self) -> tuple[int, str] | None:
        """Process id and socket folder from postmaster.pid, if that process is a postgres that works in this folder.

        After a crash or a restart of the machine the file may name a process that is somebody else's.
        """
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            process = Path("/proc") / lines[0]
            named = (process / "comm").read_text().strip() == "postgres"
            if named and os.path.samefile(process / "cwd", self._data):
                return int(lines[0]), lines[4]
        except (FileNotFoundError, ProcessLookupError, PermissionError, IndexError):
            pass
        return None


def _answers(run: Path) -> bool:
    return pq.PGconn.ping(f"host='{run}' port=5432 dbname=postgres".encode()) == pq.Ping.OK


def _end(process: subprocess.Popen[bytes], limit_seconds: float) -> None:
    for demand, patience_seconds in ((signal.SIGINT, limit_seconds), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
        process.send_signal(demand)
        try:
            process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            continue
        return


def _locked(file: Path) -> int:
    """Hold ``file`` until the descriptor closes; the kernel lets go when we die."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigurationError(f"another paywarden already runs on {file.parent.parent}") from None
    return descriptor


def _password(file: Path) -> str:
    """The secret kept in ``file``, made on first use."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text()
    with os.fdopen(descriptor, "w") as writer:
        secret = secrets.token_urlsafe(24)
        writer.write(secret)
    return secret


def _socket_folder(folder: Path, account: binaries.Account) -> Path:
    """A private folder for the socket: in the data folder if the server can get there and the path is short enough."""
    short = f"paywarden-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    for run in (folder / "run", Path(tempfile.gettempdir()) / short, Path("/run") / short):
        fits = len(os.fsencode(run / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH_BYTES
        if fits and binaries.may_enter(account, run.parent):
            _make_private(run, account)
            return run
    raise ConfigurationError("no folder for PostgreSQL's socket: set TMPDIR to a short path that others may enter")


def _make_private(run: Path, account: binaries.Account) -> None:
    run.mkdir(mode=0o700, exist_ok=True)
    facts = run.lstat()
    if facts.st_uid not in (os.geteuid(), account.uid) or facts.st_mode != 0o40700:
        raise ConfigurationError(f"{run} is not a private folder of ours; remove it")
    os.chown(run, account.uid, account.gid, follow_symlinks=False)


def _ensure_role(connection: psycopg.Connection[tuple[object, ...]], name: str, options: sql.Composable) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    verb = sql.SQL("ALTER ROLE" if known else "CREATE ROLE")
    connection.execute(sql.SQL("{} {} {}").format(verb, sql.Identifier(name), options))
