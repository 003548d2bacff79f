"""This machine: ports, memory, and an environment in which nothing of the caller's is configured."""

import os
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

_OURS = ("DATABASE_URL", "PAYMENT_", "ANTHROPIC_", "VOYAGE_", "OPENAI_", "PAYWARDEN_", "PYTHONPATH")
_MIB = 1024 * 1024


class BenchError(Exception):
    """Nothing can be measured here; the text says why and what helps."""


def free_port() -> int:
    """A port on loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def neutral_environment() -> dict[str, str]:
    """The caller's environment without what would configure the service."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def family(pid: int) -> list[int]:
    """A process and all that descends from it."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors, 0 when it is gone."""
    try:
        used = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(used.user + used.system)


def pss_mib(pids: Iterable[int]) -> float:
    """The proportional set size of processes: shared pages count once, split among those who share them."""
    return sum(_pss_bytes(pid) for pid in pids) / _MIB


def _pss_bytes(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
