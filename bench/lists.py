"""Lists of payments, by each filter, among a million."""

from bench.access import new_agent
from bench.case import ServiceCase
from bench.figures import Sample
from bench.seed_credit import seed_credit
from bench.seed_payments import A_YEAR, Wanted, seed, tidy
from bench.service import Service
from bench.world import World

PAYMENTS, PAYMENTS_FULL = 1_000_000, 5_000_000
_CUSTOMERS = 1_000
_AT_ONCE = 100_000
_CONNECTIONS = 8
_PATHS = (
    "/v1/payments?limit=20",
    "/v1/payments?status=succeeded&limit=20",
    "/v1/payments?status=in_review&limit=20",
    "/v1/payments?status=processing&limit=20",
    "/v1/payments?customer=cust-77&limit=20",
    "/v1/payments?customer=cust-78&status=denied&limit=20",
)


def many_payments(world: World) -> Service:
    """The service on a million payments, or with FULL=1 on five million, and the customers with credit of ``gate``."""

    def fill(service: Service) -> None:
        service.start()
        agent = new_agent(service, "bench-year")
        for _ in range((PAYMENTS_FULL if world.full else PAYMENTS) // _AT_ONCE):
            seed(service, agent, Wanted(_AT_ONCE, A_YEAR))
        tidy(service)
        seed_credit(service, _CUSTOMERS)

    return world.service("year", fill)


class ListFilter(ServiceCase):
    """``GET /v1/payments``: all, by a frequent state, by rare states, by customer, by both, in turn."""

    def prepare(self, world: World) -> None:
        self.service = many_payments(world)

    def measure(self, seconds: int) -> Sample:
        reading = self.press("get", seconds, _CONNECTIONS, {"BENCH_PATHS": " ".join(_PATHS)})
        extra = {"p95_ms": reading.p95_ms, **self.memory()}
        return Sample(reading.rate, reading.p50_ms, reading.p99_ms, reading.broken(), extra)
