"""``paywarden up`` as somebody outside runs it: started, killed in part or whole, started again on its data, stopped.

Start it from the main thread: the kernel ends it with the thread that forked it, so nothing outlives a test run.
"""

import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psutil

from paywarden.kit.children import ended_with_parent
from paywarden.kit.tls import trusted_for
from paywarden.sandbox.control import SandboxControl

# Leases of at most five seconds, and answers of the provider that come soon.
SHORT_WAITS = {
    "PAYWARDEN_PROVIDER_TIMEOUT_SECONDS": "2",
    "PAYWARDEN_LEASE_SECONDS": "4",
    "PAYWARDEN_IDEMPOTENCY_LEASE_SECONDS": "5",
    "PAYWARDEN_FETCH_FIRST_SECONDS": "0.5",
    "PAYWARDEN_FETCH_BACKOFF_MAX_SECONDS": "2",
    "PAYWARDEN_ANSWER_TIMEOUT_SECONDS": "5",
    "PAYWARDEN_SANDBOX_WEBHOOK_DELAY_SECONDS": "0.3",
    "PAYWARDEN_LOG_LEVEL": "warning",
    # Most of these services are never asked for a text's meaning; what is shipped, `test_up` starts.
    "PAYWARDEN_EMBEDDER_PRELOAD": "false",
    # However many cores there are: the tests name the children.
    "PAYWARDEN_API_PROCESSES": "1",
}
PROGRAM = Path(sys.executable).with_name("paywarden")
CHILDREN = ("postgresql", "sandbox", "api", "worker")
_START_SECONDS = 90.0
# More than the limits of all children together (15 s each, PostgreSQL 40 s): a slow disk is no failure.
_STOP_SECONDS = 120.0
_OURS = ("DATABASE_URL", "PAYMENT_", "ANTHROPIC_", "VOYAGE_", "OPENAI_", "PAYWARDEN_", "PYTHONPATH")


class Stack:
    """One service: a data folder, a port, and what runs on it. ``package`` is searched before our own code.

    A folder that does not exist yet is a copy of ``installation``, where the tests name one: that spares a third of a
    first start. With ``fresh`` it is empty.
    """

    installation: ClassVar[Path | None] = None

    def __init__(self, data: Path, *, package: Path | None = None, fresh: bool = False, **environment: str) -> None:
        self.data, self.port, self._fresh = data, free_port(), fresh
        self.ready: dict[str, Any] = {}
        self.seconds_to_ready = 0.0
        self._environment = {**_neutral_environment(), **SHORT_WAITS, **environment}
        if package is not None:
            self._environment["PYTHONPATH"] = str(package)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, port: int | None = None) -> "Stack":
        """Start, and return when the ready line is there."""
        self.port = port or self.port
        if self.installation is not None and not self._fresh and not self.data.exists():
            _install(self.installation)
            subprocess.run(["cp", "--archive", "--reflink=auto", self.installation, self.data], check=True)  # noqa: S607
        began = time.monotonic()
        self._process = self.spawn("up", "--json", "--no-demo", "--port", str(self.port), "--data", str(self.data))
        assert self._process.stdout is not None
        line = _first_line(self._process.stdout, _START_SECONDS)
        self.seconds_to_ready = time.monotonic() - began
        assert line, f"no ready line: {self.complaints()[-3000:]}"
        self.ready = json.loads(line)
        return self

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The command ``paywarden``, from a folder that is not the project's. Its complaints go to a file."""
        with self.complaints_file.open("ab") as complaints:
            return subprocess.Popen(
                [PROGRAM, *arguments],
                env=self._environment,
                cwd=self.data.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,
                preexec_fn=ended_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one system call, and no import or lock
            )

    def command(self, *arguments: str, limit_seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run ``paywarden`` to its end beside the service."""
        return subprocess.run(
            [PROGRAM, *arguments],
            env=self._environment,
            cwd=self.data.parent,
            capture_output=True,
            text=True,
            timeout=limit_seconds,
            check=False,
        )

    @property
    def complaints_file(self) -> Path:
        return self.data.with_suffix(".stderr")

    def complaints(self) -> str:
        """What it wrote to standard error since the first start."""
        return self.complaints_file.read_text(errors="replace")

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def children(self) -> dict[str, int]:
        """The pids of the children that run, by name."""
        named = {_child_name(process): process.pid for process in psutil.Process(self.pid).children()}
        return {name: pid for name, pid in named.items() if name in CHILDREN}

    def pids(self, name: str) -> set[int]:
        """Every child of this name: of the API there may be several."""
        return {process.pid for process in psutil.Process(self.pid).children() if _child_name(process) == name}

    def everything(self) -> list[psutil.Process]:
        """The supervisor and all that descends from it."""
        supervisor = psutil.Process(self.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def processes(self) -> dict[str, psutil.Process]:
        """The supervisor and its children by name, without what PostgreSQL starts itself."""
        return {name: psutil.Process(pid) for name, pid in ({"supervisor": self.pid} | self.children()).items()}

    def kill9(self, name: str) -> int | None:
        """SIGKILL to one child; its pid, or None when it does not run just now."""
        pid = self.children().get(name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return pid

    def kill9_everything(self) -> None:
        """SIGKILL to the supervisor's whole process group; returns when not one process is left of it."""
        before = self.everything()
        os.killpg(self.pid, signal.SIGKILL)
        self._reap()
        _, left = psutil.wait_procs(before, timeout=10)
        assert not left, f"outlived the group: {left}"

    def await_answer(self, limit_seconds: float = 30) -> float:
        """Wait until the API can do its work; the seconds it took."""
        began = time.monotonic()
        wait_until(lambda: answers(f"{self.url}/readyz"), limit_seconds)
        return time.monotonic() - began

    def await_child(self, name: str, other_than: int | None, limit_seconds: float = 30) -> None:
        """Wait until a child of this name runs that is not ``other_than``."""
        wait_until(lambda: self.children().get(name, other_than) != other_than, limit_seconds)

    def signal(self, number: signal.Signals) -> None:
        """Tell the supervisor to stop, without waiting."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit status; whoever descended from it must be gone by then."""
        family = self.everything()
        status = self._reap()
        _, left = psutil.wait_procs(family, timeout=2)
        assert not left, f"outlived a clean stop: {left}"
        return status

    def stop(self) -> None:
        """SIGTERM, and a clean exit. Nothing to do when it does not run."""
        if self._process is not None:
            self.signal(signal.SIGTERM)
            assert self.wait() == 0, self.complaints()[-3000:]

    def end(self) -> None:
        """Whatever happened: nothing of it runs any more."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def client(self, **options: Any) -> httpx.Client:
        """A program on this machine without a key."""
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, verify=trusted_for(self.url), **options)

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """The same for asynchronous tests."""
        return httpx.AsyncClient(
            base_url=self.url, timeout=60, trust_env=False, verify=trusted_for(self.url), **options
        )

    def administrator(self) -> httpx.Client:
        """The holder of the administrator's key."""
        return self.client(headers={"Authorization": f"Bearer {self.ready['admin_key']}"})

    def sandbox(self) -> SandboxControl:
        """The provider's control routes, for asynchronous tests; the caller closes it."""
        return SandboxControl(self.ready["sandbox_url"], self.provider_key())

    def provider_key(self) -> str:
        """What was generated for the built-in provider."""
        return (self.data / "payment_api.key").read_text().strip()

    def webhook_secret(self) -> str:
        """What its events are signed with."""
        return (self.data / "webhook.secret").read_text().strip()

    def superuser_url(self) -> str:
        """How the database's superuser logs in, from the files of the data folder."""
        password = (self.data / "postgres" / "superuser.password").read_text()
        return str(self.ready["database_url"]).replace("quickstart@", f"postgres:{password}@", 1)

    def _reap(self) -> int:
        assert self._process is not None, "it does not run"
        process, self._process = self._process, None
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()


def _install(folder: Path) -> None:
    """Start the service on ``folder`` and stop it, unless that was done; whoever comes meanwhile waits."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            first = Stack(folder.with_suffix(".part"), fresh=True)
            try:
                first.start()
                first.stop()
            finally:
                first.end()
            first.data.rename(folder)


def proportional_bytes(processes: list[psutil.Process]) -> int:
    """The proportional set size of processes: shared pages count once, split among those who share them."""
    return sum(_pss(process.pid) for process in processes)


def wait_until(condition: Callable[[], bool], limit_seconds: float = 30, what: str = "the condition") -> None:
    """Look again and again, at most this long."""
    deadline = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {limit_seconds:g} seconds"
        time.sleep(0.02)


def answers(url: str) -> bool:
    """Whether a GET is answered with 200 just now."""
    try:
        return httpx.get(url, timeout=3, trust_env=False, verify=trusted_for(url)).status_code == 200
    except httpx.HTTPError:
        return False


def free_port() -> int:
    """A port on loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _neutral_environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def _child_name(process: psutil.Process) -> str:
    try:
        words = process.cmdline()
    except psutil.Error:
        return ""
    if words and Path(words[0]).name == "postgres":
        return "postgresql"
    if "paywarden.sandbox" in words:
        return "sandbox"
    return words[-1] if words else ""


def _pss(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def _first_line(stream: Any, limit_seconds: float) -> bytes:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        line: bytes = stream.readline() if selector.select(limit_seconds) else b""
        return line
