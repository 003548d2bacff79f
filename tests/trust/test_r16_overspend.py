"""R16: budgets under races. 16 at a time on one payment limit and one day's budget, from two pools."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from paywarden.db.pool import Pool, open_pool
from paywarden.decisions.rules import RulesAdviser
from paywarden.flow import access, ask, invariants
from paywarden.flow.ask import Ask
from paywarden.flow.desk import Actor, Desk
from paywarden.guardrails.cedar import shipped
from paywarden.guardrails.mandate_terms import MandateTerms
from paywarden.guardrails.mandates import Limit
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit.canonical import digest
from paywarden.kit.states import Status
from paywarden.memory.local_embedder import UniversalSentenceEmbedder
from paywarden.payments.idempotency import IdempotentRequest
from paywarden.settings import Settings
from tests.conftest import Database
from tests.trust.unlocked_ledger import forget_locks

AT_ONCE = 16
ATTEMPTS = 1_000
DAY_MINOR = 100_000
PAYMENT_MINOR = 1_000


@dataclass
class Desks:
    """Two processes' worth of desks on one database; bare reservations need no provider."""

    desks: list[Desk]
    spender: Actor

    async def reserve(self, number: int, amount_minor: int) -> tuple[Status, str | None]:
        wanted = Ask("charge", amount_minor, "usd", origin="reserve", agent_id="racer", bare=True)
        request = IdempotentRequest(f"race-{number}", digest(number))
        asked = await ask.ask(self.desks[number % 2], self.spender, wanted, request)
        reason = asked.payment.reason
        return asked.payment.status, reason and reason.partition(":")[0]

    async def race(self, attempts: int) -> Counter[tuple[Status, str | None]]:
        """Amounts of 1 to 1,200 cents (a sixth above the payment's limit), ``AT_ONCE`` at a time."""
        numbers = iter(range(attempts))
        outcomes: Counter[tuple[Status, str | None]] = Counter()

        async def racer() -> None:
            for number in numbers:
                outcomes[await self.reserve(number, 1 + number * 7919 % 1_200)] += 1

        await asyncio.gather(*(racer() for _ in range(AT_ONCE)))
        return outcomes


@pytest.fixture
async def desks(database: Database, pool: Pool, settings: Settings) -> AsyncIterator[Desks]:
    async with open_pool(settings.service_url, settings) as second:
        common: tuple[Any, ...] = ({}, shipped(), RulesAdviser(), UniversalSentenceEmbedder())
        made = [Desk(settings, each, *common) for each in (pool, second)]
        key = await access.create_admin_key(pool, QUICKSTART_TENANT_ID)
        admin = Actor(await access.authenticate(pool, key))
        spender = Actor(await access.create_agent(made[0], admin, "agent", "spender", ["initiate"]))
        limits = (Limit("usd", "payment", PAYMENT_MINOR), Limit("usd", "day", DAY_MINOR))
        terms = MandateTerms(spender.principal.id, "race", ("charge",), limits, "UTC")
        await access.create_mandate(made[0], admin, terms)
        yield Desks(made, replace(spender))


def spent(database: Database) -> list[int]:
    """What was reserved of each day's window, in cents. A race around midnight has two."""
    with psycopg.connect(database.superuser_url) as connection:
        rows = connection.execute(
            "select sum(hold.amount_minor)::bigint from paywarden.holds as hold join paywarden.hold_lines as line"
            " on line.hold_id = hold.id where hold.status = 'pending' group by line.held_account_id"
        ).fetchall()
    return [row[0] for row in rows]


async def overspent(desks: Desks, database: Database, attempts: int) -> bool:
    """Race, and whether more was reserved than a day's budget or by any rule's account of it."""
    await desks.race(attempts)
    findings = await invariants.check(desks.desks[0].pool)
    broken = {finding.invariant.name for finding in findings if finding.broken}
    return max(spent(database)) > DAY_MINOR or bool(broken)


async def test_no_limit_is_overspent_and_nobody_sees_a_serialization_error(desks: Desks, database: Database) -> None:
    outcomes = await desks.race(ATTEMPTS)
    assert sum(outcomes.values()) == ATTEMPTS
    assert set(outcomes) == {
        (Status.RESERVED, None),
        (Status.DENIED, "mandate_payment_limit"),
        (Status.DENIED, "insufficient"),
    }
    assert all(DAY_MINOR - PAYMENT_MINOR < total <= DAY_MINOR for total in spent(database))
    assert [finding for finding in await invariants.check(desks.desks[0].pool) if finding.broken] == []


async def test_broken_twin_a_budget_that_is_read_without_its_lock_is_overspent(
    desks: Desks, database: Database
) -> None:
    forget_locks(database)
    assert await overspent(desks, database, 600)
