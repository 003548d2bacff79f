"""TPC-B by PostgreSQL's own pgbench: one small transaction that changes three rows and adds one, from C."""

import re

from bench.figures import Sample, percentile
from bench.machine import BenchError
from bench.world import World, told

_SCALE, _CLIENTS, _THREADS = 10, 8, 2
_LOGGED_SHARE = 0.1
_RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)


class TpcB:
    """Scale 10, eight clients on two threads, prepared statements."""

    unit = "1/s"
    rate = True
    database = "tpcb"

    def prepare(self, world: World) -> None:
        """Its tables, in a database of its own on the same server."""
        self._server = world.server
        with told("pgbench's tables"):
            self._server.create(self.database)
            self._pgbench("-i", "-q", "-s", str(_SCALE))

    def measure(self, seconds: int) -> Sample:
        """One round; a tenth of the transactions is logged for the percentiles."""
        options = ["-c", str(_CLIENTS), "-j", str(_THREADS), "-M", "prepared", "-T", str(seconds)]
        said = self._pgbench(*options, "-l", f"--sampling-rate={_LOGGED_SHARE}", "--log-prefix=tpcb")
        rate, failed = _RATE.search(said), _FAILED.search(said)
        if rate is None or failed is None:
            raise BenchError(f"pgbench said no rate: {said}")
        latencies = self._latencies_ms()
        broken = (f"{failed[1]} transactions failed",) if int(failed[1]) else ()
        return Sample(float(rate[1]), percentile(latencies, 0.5), percentile(latencies, 0.99), broken)

    def prove(self) -> list[str]:
        """Nothing of ours is stored there."""
        return []

    def _pgbench(self, *options: str) -> str:
        done = self._server.program("pgbench", options, self.database)
        if done.returncode != 0:
            raise BenchError(f"pgbench failed: {done.stderr[-2000:]}")
        return done.stdout

    def _latencies_ms(self) -> list[float]:
        found = []
        for file in self._server.folder.glob("tpcb.*"):
            # client, transaction, microseconds, ...
            found += [int(line.split()[2]) / 1000 for line in file.read_text().splitlines()]
            file.unlink()
        return found
