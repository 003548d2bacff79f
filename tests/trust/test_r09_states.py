"""R9: the state table holds under any interleaving of polls, webhooks, retries, cancels, refunds, reviews and faults.

Each sequence is a seeded random walk over one customer's payments at the real sandbox; a failing seed walks again by
itself with ``PAYWARDEN_R9_SEEDS=<seed>``. What is looked at in the end: every stored move is in the table written out
in ``tests/unit/test_states.py``, both books agree, every invariant holds, nothing is stuck.
"""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from paywarden.flow import access, advance, inquiry, provider_event, recovery, review, settle
from paywarden.flow.ask import Ask
from paywarden.flow.inquiry import GivenFact
from paywarden.flow.review import Given
from paywarden.kit.canonical import digest
from paywarden.kit.errors import PaywardenError
from paywarden.kit.states import Status
from paywarden.payments import rows
from paywarden.payments.idempotency import IdempotentRequest
from paywarden.payments.rows import Payment
from tests.flow.conftest import *  # noqa: F403  the stage's fixtures
from tests.flow.world import MOVING, World, event
from tests.unit.test_states import TABLES, moves

pytestmark = pytest.mark.shared_sandbox

SEQUENCES, STEPS, AT_ONCE = 60, 10, 6
SEEDS = [int(seed) for seed in os.environ.get("PAYWARDEN_R9_SEEDS", "").split(",") if seed]
LIMIT_SECONDS = 120
ALLOWED = {(cause, *move) for cause, table in TABLES.items() for move in moves(table)}
FAULTS = [
    "drop_before_charge", "error_500_before_charge", "rate_limit", "decline", "invalid", "fail_later", "not_found_for",
    "drop_after_charge", "error_500_after_charge", "half_body", "wrong_json",
]  # fmt: skip


@dataclass
class Walk:
    """One customer's payments, and what is done to them at random."""

    world: World
    reviewer: Any
    seed: int
    payments: list[Payment] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.customer = f"walker-{self.seed}"

    async def go(self) -> None:
        await self.charge()
        for _ in range(STEPS):
            steps = self.chance.choices(STEPS_AND_WEIGHTS[0], STEPS_AND_WEIGHTS[1], k=self.chance.choice([1, 1, 2, 3]))
            self.done.append("+".join(step.__name__ for step in steps))
            answers = await asyncio.gather(*(step(self) for step in steps), return_exceptions=True)
            for answer in answers:
                if isinstance(answer, BaseException) and not isinstance(answer, PaywardenError):
                    raise AssertionError(f"seed {self.seed} after {self.done}") from answer

    def any(self) -> Payment:
        return self.chance.choice(self.payments)

    async def take(self, wanted: Ask, key: str | None) -> None:
        payment = (await self.world.stage.ask(wanted, key)).payment
        if payment.id not in {known.id for known in self.payments}:
            self.payments.append(payment)

    # ---- Requests

    async def charge(self) -> None:
        await self.take(Ask("charge", 600, "usd", customer_id=self.customer), f"{self.seed}-{self.chance.randrange(3)}")

    async def charge_without_key(self) -> None:
        await self.take(Ask("charge", 600, "usd", customer_id=self.customer, reference="same"), None)

    async def create(self) -> None:
        wanted = Ask("charge", 600, "usd", customer_id=self.customer, confirm=False, origin="create")
        await self.take(wanted, f"{self.seed}-create-{self.chance.randrange(2)}")

    async def confirm(self) -> None:
        await settle.confirm(self.world.stage.desk, self.world.stage.agent, self.any().id)

    async def reserve(self) -> None:
        wanted = Ask("charge", 600, "usd", origin="reserve", agent_id=self.customer, bare=True)
        await self.take(wanted, f"{self.seed}-bare-{self.chance.randrange(2)}")

    async def mark_paid(self) -> None:
        await settle.mark_paid(self.world.stage.desk, self.world.stage.agent, self.customer, None, None)

    async def cancel(self) -> None:
        await settle.cancel(self.world.stage.desk, self.world.stage.agent, self.any().id)

    async def refund(self) -> None:
        original, amount = self.any(), self.chance.choice([200, 400, 600])
        text = self.chance.choice(["I was charged twice", "Why was I charged a fee?"])
        wanted = Ask("refund", amount, "usd", original_payment_id=original.id, request_text=text)
        asker = self.chance.choice([self.world.stage.agent, self.world.stage.admin])
        payment = (await self.world.stage.ask(wanted, f"{original.id}-{amount}-{text[:3]}", asker)).payment
        if payment.id not in {known.id for known in self.payments}:
            self.payments.append(payment)

    async def give_facts(self) -> None:
        """The customer's word, as often as it is asked for; the rules rest nothing on it."""
        for row in self.world.sql(
            "select id from paywarden.payments where status = 'needs_facts' and customer_id = %s", self.customer
        ):
            request = IdempotentRequest(f"{self.seed}-facts-{self.chance.randrange(5)}", digest(str(row["id"])))
            desk, giver = self.world.stage.desk, self.chance.choice([self.world.stage.agent, self.world.stage.admin])
            await inquiry.give_facts(desk, giver, row["id"], [GivenFact("The fee was wrong.")], request)

    async def give_verdict(self) -> None:
        for row in self.world.sql(
            "select id from paywarden.reviews where status = 'open' and payment_id = any(%s)",
            [payment.id for payment in self.payments],
        ):
            verdict = self.chance.choice(["approve", "approve", "reject"])
            await review.give_verdict(self.world.stage.desk, self.reviewer, row["id"], Given(verdict, "x"))  # type: ignore[arg-type]

    # ---- Facts

    async def poll(self) -> None:
        payment = self.any()
        await advance.step(self.world.stage.desk, payment.tenant_id, payment.id)

    async def work(self) -> None:
        await recovery.run_once(self.world.stage.desk)

    async def webhooks(self) -> None:
        """The provider's own truth about one payment, in copies; only what it really booked."""
        payment = await self.world.stage.find(self.any().id)
        entries = await self.world.book()
        kind = "refund" if payment.kind == "refund" else "payment"
        for entry in entries[f"{kind}s"]:
            if entry["metadata"].get("internal_payment_id") == payment.public_id and entry["status"] in {
                "succeeded",
                "failed",
            }:
                known = {"amount": entry["amount"], "currency": entry["currency"], "reference": payment.public_id}
                body = event(f"{kind}.{entry['status']}", entry["id"], **known)
                await asyncio.gather(*(self.world.tell(body) for _ in range(self.chance.randint(1, 3))))

    async def false_webhook(self) -> None:
        """Signed, and not true of this payment: another amount, or a failure of what is not its own object."""
        payment = await self.world.stage.find(self.any().id)
        if payment.provider_payment_id:
            kind = "refund" if payment.kind == "refund" else "payment"
            await self.world.tell(
                event(f"{kind}.succeeded", payment.provider_payment_id, amount=payment.amount_minor + 1)
            )

    # ---- The world

    async def fault(self) -> None:
        kind = self.chance.choice(FAULTS)
        operation = self.chance.choice(["submit", "refund", "confirm"])
        seconds = 10 if kind == "not_found_for" else None
        await self.world.stage.sandbox.arm(
            kind, times=1, operation=operation, customer=self.customer, seconds=seconds  # type: ignore[arg-type]
        )  # fmt: skip

    async def lost_fetch(self) -> None:
        await self.world.stage.sandbox.arm("error_500_before_charge", times=1, operation="fetch")

    async def time_passes(self) -> None:
        await self.world.advance(self.chance.choice([0.5, 2, 5, 40]))

    async def switch(self) -> None:
        """The kill switch, on and off again."""
        for status in ("suspended", "active"):
            await access.set_tenant_status(self.world.stage.desk, self.world.stage.admin, status)  # type: ignore[arg-type]


Step = Callable[[Walk], Awaitable[None]]
WEIGHTS: dict[Step, int] = {
    Walk.charge: 5, Walk.charge_without_key: 3, Walk.create: 4, Walk.confirm: 6, Walk.reserve: 2, Walk.mark_paid: 2,
    Walk.cancel: 4, Walk.refund: 7, Walk.give_facts: 4, Walk.give_verdict: 5, Walk.poll: 6, Walk.work: 6,
    Walk.webhooks: 7, Walk.false_webhook: 2, Walk.fault: 8, Walk.lost_fetch: 2, Walk.time_passes: 8, Walk.switch: 1,
}  # fmt: skip
STEPS_AND_WEIGHTS = (list(WEIGHTS), list(WEIGHTS.values()))


async def walk(world: World, seeds: list[int]) -> list[Walk]:
    reviewer = await world.reviewer()
    walks = [Walk(world, reviewer, seed) for seed in seeds]
    queue = iter(walks)

    async def walker() -> None:
        for one in queue:
            with contextlib.suppress(PaywardenError):
                await one.go()

    await asyncio.gather(*(walker() for _ in range(AT_ONCE)))
    return walks


async def come_to_rest(world: World) -> list[Payment]:
    """Faults end, time passes, the worker works: all that moves comes to an end or waits for somebody."""
    await world.stage.sandbox.disarm()
    for _ in range(40):
        await world.work(60)
        moving = [status.value for status in MOVING]
        if not world.one(
            "select count(*) from paywarden.payments where status = any(%s) and not bare and next_step_at is not null",
            moving,
        ):
            break
        await world.advance(31)
    rows_left = world.sql("select id from paywarden.payments")
    return [await world.stage.find(row["id"]) for row in rows_left]


async def violations(world: World) -> list[Any]:
    """Everything that must not be, with the payment it is about."""
    payments = await come_to_rest(world)
    told = world.sql("select payment_id, cause, from_status, to_status from paywarden.payment_transitions")
    found: list[Any] = [
        row for row in told
        if row["from_status"] and (row["cause"], row["from_status"], row["to_status"]) not in ALLOWED
    ]  # fmt: skip
    found += [f"{payment.public_id} is stuck in {payment.status}" for payment in payments if stuck(payment)]
    return found + await world.lies([payment for payment in payments if not payment.bare])


def stuck(payment: Payment) -> bool:
    return payment.status in MOVING and not (payment.bare and payment.status is Status.RESERVED)


@pytest.mark.timeout(LIMIT_SECONDS)
async def test_the_state_table_holds_whatever_happens(world: World) -> None:
    world.stage = world.stage.with_settings(answer_timeout_seconds=0.3)
    began = time.monotonic()
    walks = await walk(world, SEEDS or list(range(SEQUENCES)))
    seeds = {payment.id: one.seed for one in walks for payment in one.payments}
    found = await violations(world)
    assert found == [], (seeds, [one.done for one in walks if len(walks) == 1])
    reached = {row["to_status"] for row in world.sql("select distinct to_status from paywarden.payment_transitions")}
    if not SEEDS:
        assert reached >= set(Status) - {Status.AUTHORIZED, Status.EXPIRED}
    assert time.monotonic() - began < LIMIT_SECONDS


async def test_broken_twin_a_move_from_anywhere_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "allowed_from", lambda *_: frozenset(Status))
    payment = (await world.settle(await world.stage.charge(600)))[0]
    await world.tell(event("payment.failed", payment.provider_payment_id or ""))
    assert await violations(world) != []


async def test_broken_twin_an_event_that_is_not_compared_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def agrees(*_: Any) -> bool:
        return True

    payment = await world.stage.charge(600, confirm=False, origin="create")
    monkeypatch.setattr(provider_event.facts, "_agrees", agrees)
    await world.tell(event("payment.succeeded", payment.provider_payment_id or "", amount=payment.amount_minor + 1))
    assert await violations(world) != []
