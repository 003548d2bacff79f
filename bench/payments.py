"""Payments over HTTP, as far as they are decided; then a worker sends what was decided to a provider, all of it."""

import json
import secrets
import sys
import time
from urllib.request import urlopen

from bench.access import new_agent
from bench.case import ServiceCase
from bench.figures import Sample, Tally
from bench.machine import free_port, neutral_environment
from bench.server import number
from bench.service import Process
from bench.world import World

_CONNECTIONS = 64
_GLANCE_SECONDS = 0.1
_LONGEST_DRAIN_SECONDS = 120
_COUNT = "select count(*) from paywarden.payments where agent_id = %(agent)s and status = any(%(status)s)"
_ANY = ["reserved", "submitting", "succeeded"]


class AutonomousPayments(ServiceCase):
    """``POST /v1/payments``, kind charge, decided by policy and budget alone, answered when it is reserved."""

    def prepare(self, world: World) -> None:
        port = free_port()
        self._provider = f"http://127.0.0.1:{port}"
        self.service = world.service("payments", PAYMENT_API_URL=self._provider)
        command = [sys.executable, "-m", "bench.provider", str(port)]
        world.keep(Process(command, neutral_environment(), self.service.folder / "provider.log"))
        self._agent = new_agent(self.service, "bench-payments")

    def told(self) -> dict[str, str]:
        return {"BENCH_KEY": self._agent.key, "BENCH_RUN": secrets.token_hex(8)}

    def measure(self, seconds: int) -> Sample:
        before = self._count(*_ANY)
        reading = self.press("payments", seconds, _CONNECTIONS)
        tally = Tally("payments", reading.acknowledged, self._count(*_ANY) - before, _CONNECTIONS)
        memory, (rate, unfinished) = self.memory(), self._drain()
        broken = [tally.broken(), *reading.broken()]
        if unfinished:
            broken.append(f"{unfinished} payments were not at their end {_LONGEST_DRAIN_SECONDS} s later")
        extra = {"drained_per_second": rate, **memory}
        return Sample(reading.rate, reading.p50_ms, reading.p99_ms, tuple(filter(None, broken)), extra)

    def prove(self) -> list[str]:
        """The invariants, and that the provider charged exactly once for each payment."""
        with urlopen(f"{self._provider}/count", timeout=10) as answer:  # noqa: S310 - our own address
            charged = json.load(answer)["charges"]
        tally = Tally("charges at the provider", self._count("succeeded"), charged).broken()
        return [*super().prove(), *([tally] if tally else [])]

    def _drain(self) -> tuple[float, int]:
        """Let a worker send everything that was decided; how many a second, and how many were left."""
        waiting = self._count("reserved", "submitting")
        began = time.monotonic()
        self.service.start_worker()
        while (left := self._count("reserved", "submitting")) and time.monotonic() - began < _LONGEST_DRAIN_SECONDS:
            time.sleep(_GLANCE_SECONDS)
        rate = (waiting - left) / (time.monotonic() - began)
        self.service.stop_worker()
        return rate, left

    def _count(self, *status: str) -> int:
        values = {"agent": self._agent.name, "status": list(status)}
        return number(self.service.superuser_url, _COUNT, values)
