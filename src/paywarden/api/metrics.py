"""Counters and latencies by route template, never by path: a caller cannot make up new labels."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
UNKNOWN_ROUTE = "unknown"


class Metrics:
    """What this process has answered."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        self._requests = Counter(
            "paywarden_http_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "paywarden_http_request_seconds",
            "Seconds until the answer was sent.",
            ("method", "route"),
            buckets=_BUCKETS_SECONDS,
            registry=self._registry,
        )
        started = Gauge("paywarden_started_seconds", "When this process started, Unix time.", registry=self._registry)
        started.set(time.time())

    def observe(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count one answer."""
        known_method = method if method in _METHODS else "other"
        template = route or UNKNOWN_ROUTE
        self._requests.labels(known_method, template, str(status)).inc()
        self._seconds.labels(known_method, template).observe(seconds)

    def text(self, gauges: Mapping[str, float]) -> bytes:
        """Everything in Prometheus' text format, with present values from the flow."""
        for name, value in gauges.items():
            if name not in self._gauges:
                words = name.replace("_", " ")
                self._gauges[name] = Gauge(name, f"Present value of {words}.", registry=self._registry)
            self._gauges[name].set(value)
        return generate_latest(self._registry)
