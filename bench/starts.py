"""From ``paywarden up --no-demo`` to its ready line: on a fresh data folder, and on one that was used."""

import shutil
import signal
import subprocess
import sys
import time

from bench.figures import Sample
from bench.machine import BenchError, family, free_port, neutral_environment, pss_mib
from bench.world import World
from paywarden.kit.children import ended_with_parent

_COMMAND = [sys.executable, "-P", "-m", "paywarden.app", "up", "--no-demo", "--json"]
_STOP_SECONDS = 120


class WarmStart:
    """The data folder has been used before."""

    unit = "s"
    rate = False
    database = None

    def prepare(self, world: World) -> None:
        self._folder = world.server.folder / type(self).__name__
        self._folder.mkdir()
        self.before()

    def before(self) -> None:
        """Use the data folder once."""
        self._started()

    def measure(self, seconds: int) -> Sample:
        return self._started()

    def prove(self) -> list[str]:
        """A start leaves nothing but its data."""
        return []

    def _started(self) -> Sample:
        began = time.monotonic()
        process = self._spawn()
        try:
            ready = process.stdout is not None and process.stdout.readline().startswith("{")
            took = time.monotonic() - began
            memory = pss_mib(family(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_STOP_SECONDS)
        if not ready:
            raise BenchError(f"paywarden up was never ready: {(self._folder / 'up.log').read_text()[-2000:]}")
        return Sample(took, extra={"memory_mib": memory})

    def _spawn(self) -> subprocess.Popen[str]:
        with (self._folder / "up.log").open("ab") as log:
            return subprocess.Popen(
                [*_COMMAND, "--port", str(free_port()), "--data", str(self._folder / "data")],
                env=neutral_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=ended_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one system call, and no import or lock
            )


class ColdStart(WarmStart):
    """There is no data folder yet."""

    def before(self) -> None:
        """Nothing to prepare."""

    def measure(self, seconds: int) -> Sample:
        shutil.rmtree(self._folder / "data", ignore_errors=True)
        return self._started()
