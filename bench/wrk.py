"""Load from wrk, a compiled generator: bounded by time and connections, on loopback only.

It tells its own count of answers and of refusals, so nothing is added to what it does for each answer.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.machine import BenchError

_SCRIPTS = Path(__file__).parent / "load"
_MARK = "BENCH "
# wrk counts an answer that takes longer as an error; nothing of ours may take so long.
_PATIENCE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: a script of ``load/``, what it reads from its environment, and how hard to press."""

    script: str
    told: Mapping[str, str]
    connections: int = 64
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """What came back. ``refused`` are answers of 400 and above; ``failed`` requests had no answer at all."""

    acknowledged: int
    refused: int
    failed: int
    seconds: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    counted: Mapping[str, int]

    @property
    def rate(self) -> float:
        """Acknowledgements a second."""
        return self.acknowledged / self.seconds

    def broken(self) -> tuple[str, ...]:
        """A sentence when the load met anything but acknowledgements."""
        if not self.refused and not self.failed:
            return ()
        return (f"{self.refused} requests were refused and {self.failed} got no answer",)


def press(url: str, load: Load, seconds: int) -> Reading:
    """Load ``url`` for so many seconds."""
    require_wrk()
    command = ["wrk", f"-t{load.threads}", f"-c{load.connections}", f"-d{seconds}s"]
    command += [f"--timeout={_PATIENCE_SECONDS}s", "-s", f"{load.script}.lua", url]
    environment = {"PATH": os.environ.get("PATH", os.defpath), **load.told}
    done = subprocess.run(
        command,
        env=environment,
        cwd=_SCRIPTS,
        capture_output=True,
        text=True,
        timeout=seconds + 2 * _PATIENCE_SECONDS,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.startswith(_MARK):
            return reading(json.loads(line.removeprefix(_MARK)))
    raise BenchError(f"wrk said nothing of use: {done.stdout[-1000:]} {done.stderr[-1000:]}")


def reading(told: Mapping[str, float]) -> Reading:
    """A reading from what ``load/common.lua`` prints at the end."""
    return Reading(
        acknowledged=int(told["answers"] - told["refused"]),
        refused=int(told["refused"]),
        failed=int(told["failed"]),
        seconds=told["seconds"],
        p50_ms=told["p50_ms"],
        p95_ms=told["p95_ms"],
        p99_ms=told["p99_ms"],
        counted={name.removeprefix("n_"): int(value) for name, value in told.items() if name.startswith("n_")},
    )


def require_wrk() -> None:
    """See that wrk is there; root may install it. Raises BenchError that says how."""
    if shutil.which("wrk") is not None:
        return
    if os.geteuid() == 0 and shutil.which("apt-get") is not None:
        subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], stdout=subprocess.DEVNULL, check=False)  # noqa: S607
    if shutil.which("wrk") is None:
        raise BenchError("make bench needs the load generator wrk: apt-get install wrk (or your system's package)")
