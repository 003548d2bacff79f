"""A trial: callers pay while processes are killed; afterwards three books must tell the same story.

The callers' notes, our database and the provider's own durable book are compared payment by payment.
"""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.stack import Stack
from tests.trust.traffic import Traffic, until


@dataclass
class Outcome:
    """What the three books say after a trial. Everything in ``problems`` must be empty."""

    problems: dict[str, Any] = field(default_factory=dict)
    succeeded: int = 0
    charged: int = 0

    def note(self, name: str, found: Any) -> None:
        """Keep what is wrong, at most some of it."""
        if found:
            self.problems[name] = found[:5] if isinstance(found, list) else found


class Chaos:
    """Kills children of a stack at random moments until told to stop; ``kills`` counts those that hit."""

    def __init__(self, stack: Stack, names: Callable[[], str], pause_seconds: tuple[float, float]) -> None:
        self._stack, self._names, self._pause_seconds = stack, names, pause_seconds
        self.kills: dict[str, int] = {}

    @property
    def count(self) -> int:
        return sum(self.kills.values())

    async def run(self, wanted: int) -> None:
        """Kill until ``wanted`` kills have hit."""
        while self.count < wanted:
            await asyncio.sleep(random.uniform(*self._pause_seconds))
            name = self._names()
            if self._stack.kill9(name) is not None:
                self.kills[name] = self.kills.get(name, 0) + 1


async def judge(stack: Stack, traffic: Traffic, settle_seconds: float) -> Outcome:
    """Wait until nothing moves any more, then compare what callers, we and the provider know."""
    await until(lambda: all(row["status"] == "succeeded" for row in _our_book(stack).values()), settle_seconds)
    control = stack.sandbox()
    try:
        return _compare(traffic, _our_book(stack), await control.book(), _broken_invariants(stack))
    finally:
        await control.close()


def _compare(traffic: Traffic, ours: dict[str, Any], book: dict[str, Any], broken: list[str]) -> Outcome:
    charges: dict[str, int] = book["charges"]
    theirs = {row["metadata"]["internal_payment_id"]: row["amount"] for row in book["payments"]}
    told = set(traffic.acknowledged.values())
    outcome = Outcome(succeeded=sum(row["status"] == "succeeded" for row in ours.values()), charged=len(charges))
    outcome.note("one key, two payments", traffic.contradicted)
    outcome.note("told to be declined", traffic.declined)
    outcome.note("neither an answer nor a request to retry", traffic.unexpected)
    outcome.note("acknowledged, but not in our book", sorted(told - set(ours)))
    outcome.note("in our book, but nobody's", sorted(set(ours) - told))
    outcome.note("not final", [f"{name} {row['status']}" for name, row in ours.items() if row["status"] != "succeeded"])
    outcome.note("charged twice", [name for name, count in charges.items() if count > 1])
    outcome.note("acknowledged, but never charged", sorted(told - set(charges)))
    outcome.note("charged, but not in our book", sorted(set(charges) - set(ours)))
    outcome.note(
        "amounts differ", [name for name in ours if name in theirs and theirs[name] != ours[name]["amount_cents"]]
    )
    outcome.note("broken invariants", broken)
    return outcome


def _our_book(stack: Stack) -> dict[str, Any]:
    """Payments by id, as somebody sees them who looks with SQL."""
    with psycopg.connect(stack.ready["database_url"], row_factory=psycopg.rows.dict_row) as connection:
        rows = connection.execute("select id, status, amount_cents from payments").fetchall()
    return {row["id"]: row for row in rows}


def _broken_invariants(stack: Stack) -> list[str]:
    done = stack.command("invariants", "--json", "--data", str(stack.data))
    assert done.returncode in (0, 1), done.stderr
    return [f"{finding['name']}: {finding['broken'][:2]}" for finding in json.loads(done.stdout) if finding["broken"]]
