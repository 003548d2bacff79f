"""Holds on customers' credit: the gate that a program passes before each costly call."""

from bench.case import ServiceCase
from bench.figures import Sample, Tally
from bench.lists import many_payments
from bench.seed_credit import seed_credit, seed_tenants
from bench.server import number
from bench.service import Service
from bench.world import World
from bench.wrk import Reading

_CONNECTIONS = 64
_BATCH_CONNECTIONS = 8
_BATCH = 100
_CUSTOMERS = 1_000
_TENANTS, _CUSTOMERS_OF_EACH = 1_000, 10
_HOLDS = "select count(*) from paywarden.holds where principal_id is not null"
_CAPTURED = "select count(*) from paywarden.holds where principal_id is not null and status = 'posted'"


def gate(world: World) -> Service:
    """The service on a database with a thousand customers who have credit, and nothing else."""
    return world.service("gate", lambda service: seed_credit(service, _CUSTOMERS))


class Holds(ServiceCase):
    """``POST /v1/holds``, one hold a request, on the credit of a thousand customers."""

    def prepare(self, world: World) -> None:
        self.service = gate(world)

    def measure(self, seconds: int) -> Sample:
        before = self._held()
        reading = self.load(seconds)
        tally = Tally("holds", reading.acknowledged, self._held() - before, _CONNECTIONS)
        broken = tuple(filter(None, [tally.broken(), *reading.broken()]))
        return Sample(reading.rate, reading.p50_ms, reading.p99_ms, broken, self.memory())

    def load(self, seconds: int) -> Reading:
        """What the clients do."""
        return self.press("holds", seconds, _CONNECTIONS, {"BENCH_CUSTOMERS": str(_CUSTOMERS)})

    def _held(self) -> int:
        return number(self.service.superuser_url, _HOLDS)


class HoldsOfManyTenants(Holds):
    """The same by the gates of a thousand tenants, one after another, so that no two neighbours are of one."""

    def prepare(self, world: World) -> None:
        self.service = gate(world)
        self._keys = self.service.folder / "keys"
        self._keys.write_text("\n".join(seed_tenants(self.service, _TENANTS, _CUSTOMERS_OF_EACH)) + "\n")

    def load(self, seconds: int) -> Reading:
        told = {"BENCH_CUSTOMERS": str(_CUSTOMERS_OF_EACH), "BENCH_FILE": str(self._keys)}
        return self.press("holds", seconds, _CONNECTIONS, told)


class HoldsOnFull(Holds):
    """The same where a million payments are stored, with their holds, transfers and transitions."""

    def prepare(self, world: World) -> None:
        self.service = many_payments(world)


class HoldsCaptured(ServiceCase):
    """A hold and then its capture with what the call cost: two requests. The value counts pairs."""

    def prepare(self, world: World) -> None:
        self.service = gate(world)

    def measure(self, seconds: int) -> Sample:
        held, captured = self._count(_HOLDS), self._count(_CAPTURED)
        told = {"BENCH_CUSTOMERS": str(_CUSTOMERS), "BENCH_COUNTERS": "holds captures"}
        reading = self.press("holds_captured", seconds, _CONNECTIONS, told)
        counted = reading.counted
        broken = [
            Tally("holds", counted["holds"], self._count(_HOLDS) - held, _CONNECTIONS).broken(),
            Tally("captures", counted["captures"], self._count(_CAPTURED) - captured, _CONNECTIONS).broken(),
            *reading.broken(),
        ]
        rate = counted["captures"] / reading.seconds
        return Sample(rate, reading.p50_ms, reading.p99_ms, tuple(filter(None, broken)), self.memory())

    def _count(self, query: str) -> int:
        return number(self.service.superuser_url, query)


class HoldBatches(ServiceCase):
    """``POST /v1/holds:batch``, a hundred holds a request, for so many customers. The value counts holds."""

    customers = _CUSTOMERS

    def prepare(self, world: World) -> None:
        self.service = gate(world)

    def measure(self, seconds: int) -> Sample:
        before = number(self.service.superuser_url, _HOLDS)
        reading = self.press("holds_batch", seconds, _BATCH_CONNECTIONS, {"BENCH_CUSTOMERS": str(self.customers)})
        stored = number(self.service.superuser_url, _HOLDS) - before
        tally = Tally("holds", reading.acknowledged * _BATCH, stored, _BATCH_CONNECTIONS * _BATCH)
        broken = tuple(filter(None, [tally.broken(), *reading.broken()]))
        return Sample(reading.rate * _BATCH, reading.p50_ms, reading.p99_ms, broken, self.memory())


class HotHoldBatches(HoldBatches):
    """All of them for one customer, whose account every hold locks."""

    customers = 1
