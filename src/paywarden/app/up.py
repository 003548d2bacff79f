"""``paywarden up``: everything on one machine, under one supervisor, in one data folder."""

import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psycopg

from paywarden.app.folder import DataFolder
from paywarden.app.prepare import write_secret
from paywarden.db.embedded import QUICKSTART, SERVICE, SUPERUSER, EmbeddedServer
from paywarden.kit.children import ended_with_parent
from paywarden.kit.errors import ConfigurationError
from paywarden.logs import Scrubber
from paywarden.settings import Settings
from paywarden.supervisor import Program, Supervisor, refuse_taken_port

_LOOPBACK = "127.0.0.1"
_SANDBOX_PATIENCE_SECONDS = 0.5
# Safe path: a file of the folder in which somebody stands must not be taken for a module of ours.
_MODULE = [sys.executable, "-P", "-m"]
_COMMAND = [*_MODULE, "paywarden.app"]
_DATABASE_VARIABLES = ("DATABASE_URL", "PAYWARDEN_OWNER_DATABASE_URL")
_LOG = logging.getLogger(__name__)
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller of ``up`` wants."""

    settings: Settings
    as_json: bool
    demo: bool


class Database:
    """PostgreSQL as a child of the supervisor; ready means migrated, with a working administrator's key."""

    def __init__(self, server: EmbeddedServer, environment: Mapping[str, str], key_file: Path) -> None:
        self._server, self._environment, self._key_file = server, environment, key_file

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._server.pid

    def start(self) -> None:
        """Start, create what is missing, migrate."""
        self._server.start()
        self._server.bootstrap()
        owner_url, service_url = self._server.connection_url(SUPERUSER), self._server.connection_url(SERVICE)
        urls = {"PAYWARDEN_OWNER_DATABASE_URL": owner_url, "DATABASE_URL": service_url}
        run_prepare({**self._environment, **urls}, self._key_file)

    def await_ready(self) -> None:
        """``start`` has waited: the others need it."""

    def restart(self) -> None:
        """Start again after it died. Raises ConfigurationError when it does not, or dies at once."""
        try:
            self._server.restart()
        except psycopg.OperationalError as error:
            raise ConfigurationError(f"it does not answer: {error}") from error

    def stop(self) -> None:
        """End it; what was committed stays."""
        self._server.stop()


def run_prepare(environment: Mapping[str, str], key_file: Path) -> None:
    """Migrate and write the key in a process of its own. Raises ConfigurationError with what it said."""
    done = subprocess.run(
        [*_COMMAND, "prepare", str(key_file)], env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        held = [environment[name] for name in _DATABASE_VARIABLES if environment.get(name)]
        # Whatever a library says there, no password of a database gets out.
        raise ConfigurationError(Scrubber(held).scrub(last.removeprefix("paywarden: ")))


class Stack:
    """The processes of one ``up`` and what they are told. Secrets go by environment, never by argument.

    Raises ConfigurationError when the data folder or the port is not to be had.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.settings = wanted.settings
        self._held = DataFolder(self.settings.data_dir)
        self.folder = self._held.path
        self.key_file = self.folder / "admin.key"
        self.url = f"http://{_in_url(self.settings.host)}:{self.settings.port}"
        self._held.claim(self.url)
        refuse_taken_port(self.settings.host, self.settings.port)
        self.embedded = None if self.settings.database_url else EmbeddedServer(self.folder)
        self.sandbox_port = None if self.settings.payment_api_url else _sandbox_port(self.settings.port + 1)

    def supervisor(self) -> Supervisor:
        """All children in the order in which they start."""
        children: dict[str, Program | Database] = {}
        if self.sandbox_port is not None:
            children["sandbox"] = self._sandbox()
        if self.embedded is not None:
            children["postgresql"] = Database(self.embedded, self._base_environment(), self.key_file)
        for number in range(1, self.settings.api_processes + 1):
            told = {"PAYWARDEN_API_PROCESS": str(number)} if self.settings.api_processes > 1 else {}
            children[_api_name(number)] = LateProgram(self, "api", self.url + "/readyz", **told)
        children["worker"] = LateProgram(self, "worker", None)
        return Supervisor(children, settled_seconds=self.settings.settled_seconds)

    def environment(self) -> dict[str, str]:
        """What the API and the worker are told."""
        told = self._base_environment()
        if self.embedded is not None:
            told["DATABASE_URL"] = self.embedded.connection_url(SERVICE)
            # The gate itself looks at the provider's address and at each request.
            keyless = self.settings.host in _LOOPBACK_HOSTS and self.settings.environment == "test"
            told["PAYWARDEN_KEYLESS_QUICKSTART"] = "true" if keyless else "false"
        return told

    def _base_environment(self) -> dict[str, str]:
        settings = self.settings
        told = {
            **os.environ,
            "PAYWARDEN_HOST": settings.host,
            "PAYWARDEN_PORT": str(settings.port),
            "PAYWARDEN_DATA_DIR": str(self.folder),
            "PAYWARDEN_LOG_LEVEL": settings.log_level,
            "PAYWARDEN_API_PROCESSES": str(settings.api_processes),
            "PAYMENT_API_KEY": _secret_of(settings.payment_api_key, self.folder / "payment_api.key"),
            "PAYMENT_WEBHOOK_SECRET": _secret_of(settings.payment_webhook_secret, self.folder / "webhook.secret"),
        }
        if self.sandbox_port is not None:
            told["PAYMENT_API_URL"] = self.sandbox_url or ""
            told["PAYMENT_API_PAYOUTS"] = "true"
        return told

    @property
    def sandbox_url(self) -> str | None:
        """Where the built-in provider listens, None when another one is configured."""
        return None if self.sandbox_port is None else f"http://{_LOOPBACK}:{self.sandbox_port}"

    def _sandbox(self) -> Program:
        command = [*_MODULE, "paywarden.sandbox", "--port", str(self.sandbox_port)]
        command += ["--data", str(self.folder / "sandbox"), "--webhook-url", f"{self.url}/webhooks/payments"]
        command += ["--webhook-delay", str(self.settings.sandbox_webhook_delay_seconds)]
        return Program(command, self._base_environment(), ready=lambda: _listens(self.sandbox_port or 0))

    def ready_line(self) -> dict[str, str | None]:
        """What the outside relies on."""
        return {
            "url": self.url,
            "console_url": None,
            "admin_key": self.key_file.read_text().strip(),
            "database_url": None if self.embedded is None else self.embedded.connection_url(QUICKSTART),
            "sandbox_url": self.sandbox_url,
        }


class LateProgram(Program):
    """A program whose environment is known only when the database runs."""

    def __init__(self, stack: Stack, name: str, ready_url: str | None, **told: str) -> None:
        super().__init__([*_COMMAND, name], {}, ready=lambda: ready_url is None or _answers(ready_url))
        self._stack, self._told = stack, told

    def restart(self) -> None:
        """Start with the environment of this moment."""
        self._environment = {**self._stack.environment(), **self._told}
        super().restart()


def up(wanted: Wanted) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigurationError, with everything stopped, when something cannot start."""
    stack = Stack(wanted)
    _LOG.info("paywarden %s starts: pid %d, data in %s", version("paywarden"), os.getpid(), stack.folder)
    if stack.embedded is None:
        run_prepare(stack.environment(), stack.key_file)
    stack.supervisor().run(lambda: _announce(stack))
    if not wanted.as_json:
        print(f"\nPaywarden has stopped. The next start carries on with the data in {stack.folder}", flush=True)


def _announce(stack: Stack) -> None:
    line = stack.ready_line()
    public = {name: value for name, value in line.items() if name != "admin_key"}
    (stack.folder / "ready.json").write_text(json.dumps(public) + "\n")
    if stack.wanted.as_json:
        print(json.dumps(line), flush=True)
    else:
        _greet(line, stack)
    if stack.wanted.demo and not (stack.folder / "demo.done").exists():
        _start_demo(stack)


def _greet(line: Mapping[str, str | None], stack: Stack) -> None:
    print(
        f"Paywarden is ready at {line['url']} (OpenAPI: {line['url']}/openapi.json)\n"
        f"  administrator's key   {stack.key_file}\n"
        f"  read-only SQL         psql '{line['database_url']}'\n"
        f"  sandbox provider      {line['sandbox_url']}\n"
        "Stop it with Ctrl-C. In another terminal: .venv/bin/paywarden --help",
        flush=True,
    )


def _start_demo(stack: Stack) -> None:
    """In a process of its own, so that the supervisor goes on; it ends with us."""
    subprocess.Popen(
        [*_COMMAND, "demo", "--data", str(stack.folder), "--mark-done", str(stack.folder / "demo.done")],
        env=stack.environment(),
        stdin=subprocess.DEVNULL,
        stdout=2 if stack.wanted.as_json else None,
        preexec_fn=ended_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one system call, and no import or lock
    )


def _secret_of(given: object, file: Path) -> str:
    """The configured secret, else one that is made once and kept in the data folder."""
    from pydantic import SecretStr

    if isinstance(given, SecretStr):
        return given.get_secret_value()
    if not file.exists():
        write_secret(file, secrets.token_urlsafe(32))
    return file.read_text().strip()


def _sandbox_port(wanted: int) -> int:
    """The wanted port if it is free, else any other; then the log says so, because addresses were noted down."""
    if _is_free(wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    _LOG.warning("port %d is taken by another program: the sandbox provider listens on %d this time", wanted, port)
    return port


def _is_free(port: int) -> bool:
    try:
        refuse_taken_port(_LOOPBACK, port, patience_seconds=_SANDBOX_PATIENCE_SECONDS)
    except (ConfigurationError, OverflowError):
        return False
    return True


def _api_name(number: int) -> str:
    """The processes share the port, which nobody else held when the first of them came (``refuse_taken_port``)."""
    return "api" if number == 1 else f"api {number}"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((_LOOPBACK, port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False
