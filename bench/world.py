"""What one run works on: a server, and our service on databases of different sizes, each made when first needed."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.server import Server
from bench.service import Process, Service


class World:
    """The server of a run and the services on it. ``full``: with five million payments and a million notes."""

    def __init__(self, server: Server, *, full: bool = False) -> None:
        self.server, self.full = server, full
        self._services: dict[str, Service] = {}
        self._kept: list[Process] = []

    def service(self, name: str, seed: Callable[[Service], None] | None = None, **environment: str) -> Service:
        """The service on the database of this name, seeded when it is made, its API running."""
        if name not in self._services:
            with told(f"the database {name}"):
                made = Service(self.server, name, **environment)
                self._services[name] = made
                if seed is not None:
                    seed(made)
        self._services[name].start()
        return self._services[name]

    def keep(self, process: Process) -> None:
        """Let a process run until the end of the run."""
        self._kept.append(process)

    def close(self) -> None:
        """End every process of ours."""
        for process in self._kept:
            process.stop()
        for each in self._services.values():
            each.close()


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say on standard error how long something took that is not measured."""
    began = time.monotonic()
    print(f"  making {what} ...", end="", file=sys.stderr, flush=True)
    yield
    print(f" {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
