"""Payments over HTTP: decided by policy and budget alone, or on the advice of a model."""

import json
import sys
import time
from secrets import token_hex
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
# A worker sends fewer a second than are decided: a round waits so long for it, the end of the run for the rest.
_DRAIN_SECONDS, _LAST_DRAIN_SECONDS = 15, 240
_LONGEST_LOAD_SECONDS = 3
_COUNT = "select count(*) from paywarden.payments where agent_id = %(agent)s and status = any(%(status)s)"
_ADVISED = "select count(*) from paywarden.payments where oversight = 'advised' and status = 'succeeded'"
# More than can be decided, so that the load lasts as long as it shall.
_INVOICES_A_SECOND = 100
_IMPORTED_AT_ONCE = 200
_ADVISED_CONNECTIONS = 16
# A second of rest: while the first call loads the SDK from a slow disk no statement runs, which was taken for the end.
_GLANCES_AT_A_MODEL = 4
_ANY = ["reserved", "submitting", "succeeded"]


def _stub(world: World, name: str) -> str:
    """Where one of ``bench.stubs`` listens, for the rest of the run."""
    port = free_port()
    command = [sys.executable, "-m", "bench.stubs", name, str(port)]
    world.keep(Process(command, neutral_environment(), world.server.folder / f"{name}-{port}.log"))
    return f"http://127.0.0.1:{port}"


class AutonomousPayments(ServiceCase):
    """``POST /v1/payments``, kind charge, decided by policy and budget alone, answered when it is reserved."""

    def prepare(self, world: World) -> None:
        self._provider = _stub(world, "provider")
        self.service = world.service("payments", PAYMENT_API_URL=self._provider)
        self._agent = new_agent(self.service, "bench-payments")

    def told(self) -> dict[str, str]:
        return {"BENCH_KEY": self._agent.key, "BENCH_RUN": token_hex(8)}

    def measure(self, seconds: int) -> Sample:
        before = self._count(*_ANY)
        reading = self.press("payments", min(seconds, _LONGEST_LOAD_SECONDS), _CONNECTIONS)
        tally = Tally("payments", reading.acknowledged, self._count(*_ANY) - before, _CONNECTIONS)
        memory, (rate, _) = self.memory(), self._drain(_DRAIN_SECONDS)
        broken = tuple(filter(None, [tally.broken(), *reading.broken()]))
        extra = {"drained_per_second": rate, **memory}
        return Sample(reading.rate, reading.p50_ms, reading.p99_ms, broken, extra)

    def prove(self) -> list[str]:
        """That every payment comes to its end, the provider charged exactly once for each, and the invariants."""
        _, left = self._drain(_LAST_DRAIN_SECONDS)
        with urlopen(f"{self._provider}/count", timeout=10) as answer:  # noqa: S310 - our own address
            charged = json.load(answer)["charges"]
        found = [
            Tally("payments brought to their end", self._count(*_ANY), self._count(*_ANY) - left).broken(),
            Tally("charges at the provider", self._count("succeeded"), charged).broken(),
        ]
        return [*super().prove(), *filter(None, found)]

    def _drain(self, limit_seconds: float) -> tuple[float, int]:
        """Let a worker send what was decided; how many a second, and how many are left."""
        waiting = self._count("reserved", "submitting")
        began = time.monotonic()
        self.service.start_worker()
        while (left := self._count("reserved", "submitting")) and time.monotonic() - began < limit_seconds:
            time.sleep(_GLANCE_SECONDS)
        rate = (waiting - left) / (time.monotonic() - began)
        self.service.stop_worker()
        return rate, left

    def _count(self, *status: str) -> int:
        values = {"agent": self._agent.name, "status": list(status)}
        return number(self.service.superuser_url, _COUNT, values)


class AdvisedPayments(ServiceCase):
    """Overdue invoices, each collected on the advice of a model and on record, and paid at once by the provider."""

    def prepare(self, world: World) -> None:
        self.service = world.service(
            "advised",
            PAYMENT_API_URL=_stub(world, "provider"),
            ANTHROPIC_BASE_URL=_stub(world, "model"),
            ANTHROPIC_API_KEY="only-for-the-bench",
            PAYWARDEN_ADVISER_BUDGET_USD="1000000",
        )
        self._agent = new_agent(self.service, "bench-advised")

    def told(self) -> dict[str, str]:
        return {"BENCH_KEY": self._agent.key}

    def measure(self, seconds: int) -> Sample:
        run, count = token_hex(4), seconds * _INVOICES_A_SECOND
        self._write_invoices(run, count)
        before = number(self.service.superuser_url, _ADVISED)
        told = {"BENCH_INVOICES": run, "BENCH_COUNT": str(count)}
        reading = self.press("invoices", seconds, _ADVISED_CONNECTIONS, told, until_quiet=False)
        self.service.await_quiet(_GLANCES_AT_A_MODEL)
        paid = number(self.service.superuser_url, _ADVISED) - before
        tally = Tally("advised payments", min(reading.acknowledged, count), paid, _ADVISED_CONNECTIONS)
        broken = tuple(filter(None, [tally.broken(), *reading.broken()]))
        return Sample(reading.rate, reading.p50_ms, reading.p99_ms, broken, self.memory())

    def _write_invoices(self, run: str, count: int) -> None:
        """An open invoice on record for each of so many customers."""
        notes = [_invoice_note(f"{run}-{place}") for place in range(1, count + 1)]
        with self.service.client() as client:
            for start in range(0, count, _IMPORTED_AT_ONCE):
                body = {"notes": notes[start : start + _IMPORTED_AT_ONCE]}
                client.post("/v1/notes:import", json=body).raise_for_status()


def _invoice_note(name: str) -> dict[str, object]:
    facts = {
        "type": "invoice",
        "invoice_id": f"inv-{name}",
        "amount_minor": 1200,
        "currency": "usd",
        "due_on": "2026-01-31",
        "status": "open",
        "at": "2026-01-01T00:00:00Z",
    }
    content = f"Invoice inv-{name} of 12.00 USD, due on 2026-01-31, is open."
    return {"customer": f"cust-{name}", "content": content, "trust": "record", "facts": facts}
