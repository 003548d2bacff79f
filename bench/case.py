"""What a case is: something prepared once, measured every round, and proven at the end."""

import secrets
from collections.abc import Mapping
from typing import Protocol

from bench.figures import Sample
from bench.service import Service
from bench.world import World
from bench.wrk import Load, Reading, press


class Case(Protocol):
    """``rate``: the value is so much a second, so that it has a ratio to TPC-B."""

    unit: str
    rate: bool

    @property
    def database(self) -> str | None:
        """Where on the run's server it writes, if it does."""

    def prepare(self, world: World) -> None:
        """Make what the case needs, once; nothing of it is measured."""

    def measure(self, seconds: int) -> Sample:
        """One round."""

    def prove(self) -> list[str]:
        """After the last round: what is broken, a sentence each."""


class ServiceCase:
    """A case against our service: at its end the invariants of the database are asked."""

    unit = "1/s"
    rate = True
    service: Service

    @property
    def database(self) -> str:
        """That of the service."""
        return self.service.database

    def press(
        self,
        script: str,
        seconds: int,
        connections: int = 64,
        told: Mapping[str, str] | None = None,
        *,
        until_quiet: bool = True,
    ) -> Reading:
        """Load the service with a script of ``load/``; ``until_quiet``: also what was in flight at its end is done."""
        reading = press(self.service.url, Load(script, {**self.told(), **(told or {})}, connections), seconds)
        if until_quiet:
            self.service.await_quiet()
        return reading

    def told(self) -> dict[str, str]:
        """What every script is told: the administrator's key, and a prefix that nobody used."""
        return {"BENCH_KEY": self.service.admin_key, "BENCH_RUN": secrets.token_hex(8)}

    def memory(self) -> dict[str, float]:
        """What our processes and the database server take, in MiB (proportional set size)."""
        return {"service_pss_mib": self.service.pss_mib(), "postgres_pss_mib": self.service.server.pss_mib()}

    def prove(self) -> list[str]:
        """The invariants that do not hold."""
        return self.service.broken_invariants()
