"""Keeps the processes of ``paywarden up`` running, and ends them together.

A child that dies is started again. When this process dies, even by ``kill -9``, the kernel ends the children: nothing
is left that could hold the port or the data. Everything happens in the main thread, to which the kernel ties this.
"""

import errno
import logging
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import NoReturn, Protocol

from paywarden.kit.children import ended_with_parent
from paywarden.kit.errors import ConfigurationError

_LOG = logging.getLogger(__name__)
_GLANCE_SECONDS = 0.05
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0


class Child(Protocol):
    """What can be kept running: a ``Program``, or the embedded PostgreSQL."""

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""

    def start(self) -> None:
        """Start it, so far that the next child may start. Raises ConfigurationError when it cannot."""

    def await_ready(self) -> None:
        """Return when it does its work. Raises ConfigurationError when that does not come true in time."""

    def restart(self) -> None:
        """Start it again after it died."""

    def stop(self) -> None:
        """End it, in the end by force."""


class Program:
    """A program in a session of its own. It is told secrets by ``environment``, never by ``command``.

    Its log goes to our standard error. Our standard output belongs to the ready line: what it prints there is dropped.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        ready: Callable[[], bool],
        ready_limit_seconds: float = 30,
        stop_limit_seconds: float = 15,
    ) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._ready = ready
        self._ready_limit_seconds = ready_limit_seconds
        self._stop_limit_seconds = stop_limit_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_until = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> None:
        """Start it, without waiting."""
        self._ready_until = time.monotonic() + self._ready_limit_seconds
        self.restart()

    def await_ready(self) -> None:
        """Wait until ``ready`` says so."""
        while not self._ready():
            if self.pid is None:
                raise ConfigurationError("it ended before it was ready")
            if time.monotonic() > self._ready_until:
                raise ConfigurationError(f"it was not ready within {self._ready_limit_seconds:g} seconds")
            time.sleep(_GLANCE_SECONDS)

    def restart(self) -> None:
        """Start it, without waiting: what it needs may itself be about to be started again."""
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=ended_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one system call, and no import or lock
        )

    def stop(self) -> None:
        """Ask it to end; kill it when it takes longer than its limit."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(self._stop_limit_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _StopRequested(BaseException):
    """SIGTERM or SIGINT arrived. No ordinary handler of errors may take it for one."""


class Supervisor:
    """Children by name, in the order in which they start; they stop in the opposite order.

    A child that lived for ``settled_seconds`` is started again at once, one that keeps dying earlier ever more slowly.
    """

    def __init__(self, children: Mapping[str, Child], *, settled_seconds: float = 30) -> None:
        self._children = dict(children)
        self._pauses = {name: _Pause(settled_seconds) for name in children}

    def run(self, when_ready: Callable[[], None]) -> None:
        """Start all, call ``when_ready``, keep them running, and return when SIGTERM or SIGINT has ended them all.

        Raises ConfigurationError, with everything stopped again, when a child does not become ready.
        """
        _on_stop_signals(_request_stop)
        started: list[str] = []
        try:
            for name, child in self._children.items():
                started.append(name)
                _named(name, child.start)
                _LOG.info("%s started, pid %s", name, child.pid)
            for name, child in self._children.items():
                _named(name, child.await_ready)
            _LOG.info("ready: %s", ", ".join(self._children))
            when_ready()
            while True:
                self._revive()
                time.sleep(_GLANCE_SECONDS)
        except _StopRequested:
            _LOG.info("stopping")
        finally:
            _on_stop_signals(_keep_stopping)
            for name in reversed(started):
                self._children[name].stop()
                _LOG.info("%s ended", name)

    def _revive(self) -> None:
        for name, child in self._children.items():
            if self._pauses[name].is_over(alive=child.pid is not None):
                _LOG.warning("%s died; starting it again", name)
                try:
                    child.restart()
                except (ConfigurationError, OSError) as error:
                    _LOG.error("%s does not start: %s", name, error)


def _named(name: str, step: Callable[[], None]) -> None:
    try:
        step()
    except ConfigurationError as error:
        raise ConfigurationError(f"{name} does not start: {error.detail}") from error


class _Pause:
    """How long to wait before the next start of one child: doubles while it keeps dying."""

    def __init__(self, settled_seconds: float) -> None:
        self._settled_seconds = settled_seconds
        self._seconds = _FIRST_PAUSE_SECONDS
        self._until: float | None = None
        self._alive_since = time.monotonic()

    def is_over(self, *, alive: bool) -> bool:
        """Whether the child is dead and has waited long enough."""
        now = time.monotonic()
        if alive:
            return False
        if self._until is None:
            settled = now - self._alive_since > self._settled_seconds
            self._seconds = _FIRST_PAUSE_SECONDS if settled else min(self._seconds * 2, _LONGEST_PAUSE_SECONDS)
            self._until = now + self._seconds
        if now < self._until:
            return False
        self._until, self._alive_since = None, now
        return True


def refuse_taken_port(host: str, port: int, patience_seconds: float = 3) -> None:
    """Raise ConfigurationError when somebody listens on the port, after giving a former run the time to go.

    Servers that share a port by SO_REUSEPORT would otherwise each answer a part of the traffic.
    """
    deadline = time.monotonic() + patience_seconds
    while not _can_listen(host, port):
        if time.monotonic() > deadline:
            raise ConfigurationError(f"port {port} on {host} is taken by another program; choose one with --port")
        time.sleep(_GLANCE_SECONDS)


def _can_listen(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as candidate:
        # Allows the remains of closed connections, not a second listener.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
            candidate.listen(1)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(f"cannot listen on {host} port {port}: {error.strerror}") from error
            return False
    return True


def _on_stop_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)


def _request_stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    _on_stop_signals(_keep_stopping)
    raise _StopRequested


def _keep_stopping(_signal: int, _frame: FrameType | None) -> None:
    """A second request changes nothing: the stop is under way and limited in time."""
