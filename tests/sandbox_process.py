"""The sandbox as a child process: started, killed, restarted on its port, stopped; it dies with its test run."""

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from paywarden.sandbox.control import SandboxControl

API_KEY = "sandbox-test-key"
WEBHOOK_SECRET = "sandbox-test-secret"
_PR_SET_PDEATHSIG = 1
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_prctl = ctypes.CDLL(None, use_errno=True).prctl


class SandboxProcess:
    """One sandbox over one folder. The folder is its book: a restart carries on with it, on the same port."""

    def __init__(
        self,
        data_dir: Path,
        *,
        webhook_url: str | None = None,
        port: int = 0,
        webhook_delay_seconds: float | None = None,
        api_key: str = API_KEY,
        webhook_secret: str = WEBHOOK_SECRET,
    ) -> None:
        self.data_dir, self.port = data_dir, port
        self.webhook_url, self.webhook_delay_seconds = webhook_url, webhook_delay_seconds
        self.api_key, self.webhook_secret = api_key, webhook_secret
        self._child: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, data_dir: Path, webhook_url: str | None = None, port: int = 0, **options: Any) -> "SandboxProcess":
        """A sandbox that answers."""
        process = cls(data_dir, webhook_url=webhook_url, port=port, **options)
        process.restart()
        return process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def runs(self) -> bool:
        """Whether it was started and not ended since."""
        return self._child is not None

    @property
    def pid(self) -> int:
        assert self._child is not None, "the sandbox does not run"
        return self._child.pid

    def control(self) -> SandboxControl:
        """A client of its control routes; the caller closes it."""
        return SandboxControl(self.url, self.api_key)

    def restart(self) -> None:
        """Start it (again); returns when it answers. It dies with the thread that calls this, not only the process."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PAYMENT_API_KEY": self.api_key, "PAYMENT_WEBHOOK_SECRET": self.webhook_secret}
        with (self.data_dir / "stderr.log").open("ab") as log:
            self._child = subprocess.Popen(
                self._command(),
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, loaded before the fork
            )
        assert self._child.stdout is not None
        line = _first_line(self._child.stdout)
        assert line, f"the sandbox did not start: {self.stderr()}"
        self.port = int(json.loads(line)["url"].rpartition(":")[2])

    def kill9(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit status. Nothing to do when it does not run."""
        return self._end(signal.SIGTERM) if self._child else 0

    def stderr(self) -> str:
        return (self.data_dir / "stderr.log").read_text("utf-8", "replace")

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "paywarden.sandbox", "--port", str(self.port), "--data", str(self.data_dir)]
        if self.webhook_url is not None:
            command += ["--webhook-url", self.webhook_url]
        if self.webhook_delay_seconds is not None:
            command += ["--webhook-delay", str(self.webhook_delay_seconds)]
        return command

    def _end(self, number: signal.Signals) -> int:
        assert self._child is not None, "the sandbox does not run"
        child, self._child = self._child, None
        child.send_signal(number)
        try:
            return child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise
        finally:
            if child.stdout:
                child.stdout.close()


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _first_line(stream: IO[bytes]) -> bytes:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        return stream.readline() if selector.select(_START_SECONDS) else b""
