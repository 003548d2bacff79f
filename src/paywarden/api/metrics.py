"""Counters and latencies by route template, never by path: a caller cannot make up new labels."""

import time
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from paywarden.flow.health import Figure

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
UNKNOWN_ROUTE = "unknown"
_DENIALS = ("denied", "insufficient")


class Metrics:
    """What this process has answered."""

    def __init__(self, process: str | None = None) -> None:
        self._registry = CollectorRegistry()
        self._shown: Collector = self._registry if process is None else _OfProcess(self._registry, process)
        # What was looked up once, by method, route and status as they come; a method that was made up is not kept.
        self._counted: dict[tuple[str, str | None, int], tuple[Counter, Histogram]] = {}
        self._present = _Present()
        self._registry.register(self._present)
        self._requests = Counter(
            "paywarden_http_requests",
            "Requests answered by this process. Worry about a rising share of status 5xx.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._denials = Counter(
            "paywarden_denials",
            "Requests for money that this process refused while they were asked, by code (denied: a rule or mandate;"
            " insufficient: authority or funds). Worry about a jump: an agent is out of hand, or a rule is wrong.",
            ("code",),
            registry=self._registry,
        )
        for code in _DENIALS:
            self._denials.labels(code)
        self._seconds = Histogram(
            "paywarden_http_request_seconds",
            "Seconds until the answer was sent. Worry when the 99th percentile leaves its usual place.",
            ("method", "route"),
            buckets=_BUCKETS_SECONDS,
            registry=self._registry,
        )
        started = Gauge("paywarden_started_seconds", "When this process started, Unix time.", registry=self._registry)
        started.set(time.time())

    def observe(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count one answer."""
        counted = self._counted.get((method, route, status))
        if counted is None:
            known_method, template = self.known_method(method), route or UNKNOWN_ROUTE
            counted = (
                self._requests.labels(known_method, template, str(status)),
                self._seconds.labels(known_method, template),
            )
            if method == known_method:
                self._counted[method, route, status] = counted
        answers, latencies = counted
        answers.inc()
        latencies.observe(seconds)

    def observe_code(self, code: str | None) -> None:
        """Count the code of a refusal if it is a denial."""
        if code in _DENIALS:
            self._denials.labels(code).inc()

    @staticmethod
    def known_method(method: str) -> str:
        """The method, or ``other`` for one that a caller made up."""
        return method if method in _METHODS else "other"

    def text(self, figures: Mapping[str, Figure]) -> bytes:
        """Everything in Prometheus' text format, with present values from the flow; none of former ones is kept."""
        self._present.figures = figures
        return generate_latest(self._shown)


class _OfProcess(Collector):
    """The same with the process in a label: whoever scrapes a shared port meets now one of them and now another."""

    def __init__(self, registry: CollectorRegistry, process: str) -> None:
        self._registry = registry
        self._process = process

    def collect(self) -> Iterator[Metric]:
        """Every family with its samples labelled."""
        for family in self._registry.collect():
            family.samples = [
                sample._replace(labels={**sample.labels, "process": self._process}) for sample in family.samples
            ]
            yield family


class _Present(Collector):
    """What the flow says of this moment, as gauges."""

    def __init__(self) -> None:
        self.figures: Mapping[str, Figure] = {}

    def collect(self) -> Iterator[Metric]:
        """One family for each figure."""
        for name, figure in self.figures.items():
            if figure.label is None:
                yield GaugeMetricFamily(name, figure.says, value=figure.value)
                continue
            family = GaugeMetricFamily(name, figure.says, labels=[figure.label])
            for word, value in figure.by_label.items():
                family.add_metric([word], value)
            yield family
