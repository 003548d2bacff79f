"""Our own processes on a database: the API, a worker, and the commands that prove what they left behind."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from signal import SIGKILL

import httpx

from bench.machine import BenchError, cpu_seconds, family, free_port, neutral_environment, pss_mib
from bench.server import Server, number
from paywarden.kit.children import ended_with_parent

_COMMAND = [sys.executable, "-P", "-m", "paywarden.app"]
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_QUIET_SECONDS = 60
_GLANCE_SECONDS = 0.25
# Of one core; a worker that finds nothing to do looks five times a second.
_RESTING_SHARE = 0.2
_RUNNING = """
    select count(*) from pg_stat_activity
    where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()
      and backend_type = 'client backend'"""
WEBHOOK_SECRET = "only-for-the-bench"  # noqa: S105 - of a database that lives as long as the run


class Process:
    """One process of ours, whose complaints go to a file. Start it from the main thread: it ends with us."""

    def __init__(self, command: list[str], environment: Mapping[str, str], complaints: Path) -> None:
        self._complaints = complaints
        with complaints.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                preexec_fn=ended_with_parent(SIGKILL),  # noqa: PLW1509 - one system call, and no import or lock
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def require_alive(self) -> None:
        """Raises BenchError with its last words when it has ended."""
        if self._process.poll() is not None:
            raise BenchError(f"a process of the service ended: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        return self._complaints.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Service:
    """One installation: a migrated database of the server, an administrator's key, an API, and a worker when asked."""

    def __init__(self, server: Server, database: str, **environment: str) -> None:
        self.server, self.database = server, database
        self.folder = server.folder / database
        self.folder.mkdir()
        server.create(database)
        self.port = free_port()
        self.superuser_url = server.superuser_url(database)
        self._environment = {**neutral_environment(), **self._told(), **environment}
        self._api: Process | None = None
        self._worker: Process | None = None
        self._command("prepare", str(self.folder / "admin.key"))
        self.admin_key = (self.folder / "admin.key").read_text().strip()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the API, once; return when it answers."""
        if self._api is None:
            self._api = self._process("api")
            self._await_answer(self._api)

    def start_worker(self) -> None:
        """Start a worker."""
        if self._worker is None:
            self._worker = self._process("worker")

    def stop_worker(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def close(self) -> None:
        """End what runs."""
        self.stop_worker()
        if self._api is not None:
            self._api.stop()
            self._api = None

    def client(self) -> httpx.Client:
        """The administrator, for what is no load."""
        bearer = {"Authorization": f"Bearer {self.admin_key}"}
        return httpx.Client(base_url=self.url, headers=bearer, timeout=60, trust_env=False)

    def pss_mib(self) -> float:
        """The memory of our own processes."""
        running = [each for each in (self._api, self._worker) if each is not None]
        return pss_mib(pid for each in running for pid in family(each.pid))

    def await_quiet(self, glances: int = 1) -> None:
        """Wait until what a generator left in flight is at its end: our processes rest, and no statement runs.

        So many times in a row, a quarter of a second apart: who waits for somebody else rests, too.
        """
        deadline = time.monotonic() + _QUIET_SECONDS
        before, quiet = self._cpu_seconds(), 0
        while time.monotonic() < deadline:
            time.sleep(_GLANCE_SECONDS)
            now = self._cpu_seconds()
            resting = now - before < _GLANCE_SECONDS * _RESTING_SHARE and not number(self.superuser_url, _RUNNING)
            quiet = quiet + 1 if resting else 0
            if quiet == glances:
                return
            before = now
        raise BenchError(f"the service was still busy {_QUIET_SECONDS} s after the load")

    def _cpu_seconds(self) -> float:
        running = [each for each in (self._api, self._worker) if each is not None]
        return sum(cpu_seconds(pid) for each in running for pid in family(each.pid))

    def broken_invariants(self) -> list[str]:
        """What ``paywarden invariants`` finds, a sentence for each broken rule."""
        told = json.loads(self._command("invariants", "--json", may_fail=True))
        return [f"invariant {each['name']}: {each['broken'][:3]}" for each in told if each["broken"]]

    def _told(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.server.service_url(self.database),
            "PAYWARDEN_OWNER_DATABASE_URL": self.superuser_url,
            "PAYWARDEN_PORT": str(self.port),
            "PAYWARDEN_DATA_DIR": str(self.folder),
            "PAYWARDEN_LOG_LEVEL": "warning",
            # Nobody listens there: a case that lets payments go out brings its own provider.
            "PAYMENT_API_URL": "http://127.0.0.1:9",
            "PAYMENT_API_KEY": "only-for-the-bench",
            "PAYMENT_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }

    def _process(self, name: str) -> Process:
        return Process([*_COMMAND, name], self._environment, self.folder / f"{name}.log")

    def _command(self, *arguments: str, may_fail: bool = False) -> str:
        done = subprocess.run(
            [*_COMMAND, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in ((0, 1) if may_fail else (0,)):
            raise BenchError(f"paywarden {arguments[0]} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def _await_answer(self, process: Process) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _is_ready(f"{self.url}/readyz"):
            process.require_alive()
            if time.monotonic() > deadline:
                raise BenchError(f"the API was not ready within {_START_SECONDS:g} seconds: {process.last_words()}")
            time.sleep(0.05)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False
