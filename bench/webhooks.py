"""Events of a provider: signed, received, applied to the payments they are about."""

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.access import new_agent
from bench.case import ServiceCase
from bench.figures import Sample, Tally
from bench.seed_payments import Wanted, seed, tidy
from bench.server import Row, number, rows
from bench.service import WEBHOOK_SECRET
from bench.world import World

_CONNECTIONS = 64
# More than can be applied, so that the load lasts as long as it shall.
_EVENTS_A_SECOND = 4_000
_BACKLOG_SECONDS = 10
_GLANCE_SECONDS = 0.05
_WAITING = "select count(*) from paywarden.webhook_inbox where next_step_at is not null"
_APPLIED = """
    select count(*) as stored, count(*) filter (where status = 'applied') as applied,
        extract(epoch from max(applied_at) - min(received_at))::float8 as seconds
    from paywarden.webhook_inbox where received_at >= %(since)s"""
_SUCCEEDED = "select count(*) from paywarden.payments where agent_id = %(agent)s and status = 'succeeded'"


class AppliedWebhooks(ServiceCase):
    """Signed successes of payments that wait for them, one in ten sent twice, beside a worker; counted when applied."""

    def prepare(self, world: World) -> None:
        self.service = world.service("webhooks")
        self._agent = new_agent(self.service, "bench-webhooks")

    def measure(self, seconds: int) -> Sample:
        self.service.start_worker()
        file = self._events(seconds * _EVENTS_A_SECOND)
        succeeded, since = self._succeeded(), rows(self.service.superuser_url, "select now() as now")[0]["now"]
        told = {"BENCH_FILE": str(file), "BENCH_COUNTERS": "repeats"}
        reading = self.press("events", seconds, _CONNECTIONS, told, until_quiet=False)
        memory, backlog_seconds = self.memory(), self._await_backlog()
        self.service.await_quiet()
        self.service.stop_worker()
        done = self._done(since)
        fresh = reading.acknowledged - reading.counted["repeats"]
        broken = [
            Tally("events", fresh, done["stored"], 2 * _CONNECTIONS).broken(),
            Tally("events applied", done["stored"], done["applied"]).broken(),
            Tally("payments succeeded", done["applied"], self._succeeded() - succeeded).broken(),
            *reading.broken(),
        ]
        extra = {"backlog_seconds": backlog_seconds, "answers_per_second": reading.rate, **memory}
        rate = done["applied"] / done["seconds"]
        return Sample(rate, reading.p50_ms, reading.p99_ms, tuple(filter(None, broken)), extra)

    def _events(self, count: int) -> Path:
        """Payments that wait for their event, and the events."""
        seeded = seed(self.service, self._agent, Wanted(count, ["processing"]))
        tidy(self.service)
        file = self.service.folder / "events.tsv"
        file.write_text("".join(f"{signature}\t{body}\n" for signature, body in map(_event, seeded)))
        return file

    def _await_backlog(self) -> float:
        """Wait until every event is dealt with; how long that took after the last was received."""
        began = time.monotonic()
        while number(self.service.superuser_url, _WAITING) and time.monotonic() - began < _BACKLOG_SECONDS:
            time.sleep(_GLANCE_SECONDS)
        return time.monotonic() - began

    def _done(self, since: datetime) -> dict[str, Any]:
        return rows(self.service.superuser_url, _APPLIED, {"since": since})[0]

    def _succeeded(self) -> int:
        return number(self.service.superuser_url, _SUCCEEDED, {"agent": self._agent.name})


def _event(seeded: Row) -> Sequence[str]:
    said = {"id": seeded["name"], "amount": seeded["amount_minor"], "currency": "usd"}
    said["metadata"] = {"internal_payment_id": seeded["payment"]}
    body = json.dumps({"id": f"evt-{seeded['name']}", "type": "payment.succeeded", "data": said})
    return hmac.new(WEBHOOK_SECRET.encode(), body.encode(), hashlib.sha256).hexdigest(), body
