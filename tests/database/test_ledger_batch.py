"""The write door: a batch answers and leaves what its intents do one by one, in order; and races lose nothing."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace
from psycopg.rows import dict_row

from paywarden.audit.invariants import all_invariants
from paywarden.db.pool import Pool
from paywarden.db.transaction import retrying, transaction
from paywarden.guardrails import mandate_store
from paywarden.guardrails.mandate_terms import MandateTerms
from paywarden.guardrails.mandates import Limit
from paywarden.identity import principals, tenants
from paywarden.kit import ids
from paywarden.ledger import chart, door
from paywarden.ledger.intents import Authority, Book, Intent, Line, Movement, Outcome, Post, Reserve, Void, WindowGrant
from tests.conftest import Database

CREDIT = chart.AccountRef("money", "USD/2", "customer_credit/cust_1", "credit", 0)
CLEARING = chart.provider_clearing("rest", "default", "usd")
REVENUE = chart.revenue("usd")
DAYS = ("day:2030-01-01", "day:2030-01-02")
BATCHES, LENGTH = 40, 24


class Tenant:
    """One tenant with a mandate of 100.00 a day, at the write door."""

    def __init__(self, pool: Pool, tenant_id: UUID) -> None:
        self.pool, self.id = pool, tenant_id

    async def open(self, principal_id: UUID, mandate_id: UUID | None = None) -> UUID:
        async with transaction(self.pool, self.id) as connection:
            terms = MandateTerms(principal_id, "m", ("charge",), (Limit("usd", "day", 10_000),), "UTC")
            created = await mandate_store.create(connection, terms)
            await tenants.count_authority_change(connection)
            tenant = await tenants.find(connection, self.id)
        assert tenant is not None
        self.principal_id, self.version = principal_id, tenant["authority_version"]
        self.mandate_id = created.id
        return created.id

    async def write(self, intents: Sequence[Intent]) -> list[Outcome]:
        async def once() -> list[Outcome]:
            async with transaction(self.pool, self.id) as connection:
                return await door.write(connection, intents)

        return await retrying(once)

    async def balances(self) -> dict[str, tuple[int, int, bool]]:
        own = ids.to_text("mdt", self.mandate_id)
        async with transaction(self.pool, self.id) as connection:
            return {
                row["code"].replace(own, "mandate"): (row["balance"], row["held"], row["blocked"])
                for row in await door.accounts(connection)
            }

    def mine(self, intent: Intent) -> Intent:
        """The same intent in this tenant's own mandate and principal."""
        if not isinstance(intent, Reserve):
            return intent
        day = intent.grants[0].window_key if intent.grants else None
        if day is None:
            return replace(intent, authority=Authority(self.principal_id, self.version))
        window = chart.authority_window(self.mandate_id, day, "usd")
        line = Line(window, chart.authority_spent(self.mandate_id, "usd"))
        grant = replace(intent.grants[0], mandate_id=self.mandate_id, window=window)
        return replace(
            intent,
            authority=Authority(self.principal_id, self.version + intent.authority.version, [self.mandate_id]),
            lines=[line, *intent.lines[1:]],
            grants=[grant],
        )


@pytest.fixture
async def two(pool: Pool) -> tuple[Tenant, Tenant]:
    """Two tenants that are alike."""
    made = []
    for name in ("batch", "one by one"):
        tenant = Tenant(pool, ids.new_uuid())
        async with transaction(pool, tenant.id) as connection:
            await tenants.create(connection, tenant.id, name, "test")
            principal = await principals.ensure(connection, "agent", "buyer", ["initiate"])
        await tenant.open(principal.id)
        made.append(tenant)
    return made[0], made[1]


class Intents:
    """Random intents that know one another's holds and operations: repeats, conflicts, strangers, refusals."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.holds: list[UUID] = []
        self.operations: list[str] = []

    def __iter__(self) -> Iterator[Intent]:
        for _ in range(LENGTH):
            yield self.chance.choice(
                [self.reserve, self.reserve, self.gate, self.post, self.post, self.void, self.book]
            )()

    def amount(self) -> int:
        return self.chance.choice([1, 100, 900, 2_500, 5_000, 9_000, 10_001])

    def hold(self) -> UUID:
        if not self.holds or self.chance.random() < 0.4:
            self.holds.append(ids.new_uuid())
        return self.chance.choice(self.holds[-4:])

    def operation(self) -> str:
        if not self.operations or self.chance.random() < 0.6:
            self.operations.append(str(ids.new_uuid()))
        return self.chance.choice(self.operations[-3:])

    def reserve(self) -> Reserve:
        day = self.chance.choice(DAYS)
        window = chart.authority_window(UUID(int=1), day, "usd")
        limit = self.chance.choice([10_000, 10_000, 10_000, 6_000])
        grant = WindowGrant(UUID(int=1), day, "usd", limit, window, chart.authority_source("usd"))
        lines = [Line(window, chart.authority_spent(UUID(int=1), "usd"))]
        if self.chance.random() < 0.3:
            lines.append(Line(CREDIT, REVENUE))
        stale = self.chance.choice([0, 0, 0, 0, 0, 0, 0, -1])
        return Reserve(self.hold(), None, Authority(UUID(int=2), stale), self.amount(), lines, [grant])

    def gate(self) -> Reserve:
        return Reserve(self.hold(), None, Authority(UUID(int=2), 0), self.amount(), [Line(CREDIT, REVENUE)])

    def post(self) -> Post:
        known = self.chance.random() < 0.9
        return Post(
            self.hold() if known else None,
            None,
            self.operation(),
            "succeeded",
            self.amount(),
            fact=self.chance.random() < 0.6 or not known,
            final=self.chance.random() < 0.7,
            movements=[Movement(CLEARING, REVENUE, self.amount())] if self.chance.random() < 0.5 else [],
        )

    def void(self) -> Void:
        return Void(self.hold(), None, self.chance.choice(["voided", "expired"]))

    def book(self) -> Book:
        pair = self.chance.choice([(CLEARING, CREDIT), (CREDIT, REVENUE), (REVENUE, CLEARING)])
        movements = [Movement(*pair, self.amount()) for _ in range(self.chance.choice([1, 1, 2]))]
        return Book(self.operation(), "booked", movements, fact=self.chance.random() < 0.5)


def told(outcomes: Sequence[Outcome], tenant: Tenant) -> list[tuple[Any, ...]]:
    own = ids.to_text("mdt", tenant.mandate_id)
    return [
        (
            outcome.result,
            (outcome.accounts or "").replace(own, "mandate"),
            outcome.late,
            (outcome.below_floor or "").replace(own, "mandate"),
        )
        for outcome in outcomes
    ]


async def test_a_batch_is_its_intents_one_by_one(two: tuple[Tenant, Tenant], database: Database) -> None:
    batch, single = two
    seen = set()
    for seed in range(BATCHES):
        intents = list(Intents(seed))
        at_once = told(await batch.write([batch.mine(intent) for intent in intents]), batch)
        in_turn = told([(await single.write([single.mine(intent)]))[0] for intent in intents], single)
        assert at_once == in_turn, seed
        assert await batch.balances() == await single.balances(), seed
        seen |= {outcome[0] for outcome in at_once}
    assert seen == {"ok", "insufficient", "replayed", "conflict", "invalid", "stale"}
    assert broken(database) == []


@pytest.mark.parametrize("stale", [0, -1])
async def test_all_or_nothing_writes_every_intent_or_none(two: tuple[Tenant, Tenant], stale: int) -> None:
    """So that a pipeline may commit without looking at an outcome."""
    tenant, _ = two

    def holding(amount: int, version: int = 0) -> Reserve:
        window = chart.authority_window(UUID(int=1), DAYS[0], "usd")
        grant = WindowGrant(UUID(int=1), DAYS[0], "usd", 10_000, window, chart.authority_source("usd"))
        line = Line(window, chart.authority_spent(UUID(int=1), "usd"))
        wanted = Reserve(ids.new_uuid(), None, Authority(UUID(int=2), version), amount, [line], [grant])
        return tenant.mine(wanted)  # type: ignore[return-value]

    async def write(*intents: Reserve) -> None:
        async with transaction(tenant.pool, tenant.id) as connection, connection.pipeline():
            await door.write_all(connection, intents)
            await connection.commit()

    too_much = holding(1 if stale else 9_000, stale)
    with pytest.raises(psycopg.Error) as refusal:
        await write(holding(5_000), too_much, holding(100))
    assert door.refused(refusal.value) == ["ok", "stale" if stale else "insufficient", "ok"]
    assert await tenant.balances() == {}
    await write(holding(5_000), holding(100))
    assert sum(held for _, held, _ in (await tenant.balances()).values()) == 5_100
    assert door.refused(psycopg.errors.UniqueViolation()) is None


def broken(database: Database) -> list[str]:
    """The rules about books and holds that do not hold."""
    rules = {"balances_match_transfers", "books_balance", "held_matches_holds"}
    with psycopg.connect(database.superuser_url, row_factory=dict_row) as connection:
        return [
            rule.name for rule in all_invariants() if rule.name in rules and connection.execute(rule.query).fetchall()
        ]


async def test_many_batches_at_once_lose_nothing_and_nobody_sees_a_deadlock(
    two: tuple[Tenant, Tenant], database: Database
) -> None:
    """Overlapping holds, accounts and windows, opened for the first time by all of them at the same moment."""
    tenant, _ = two
    shared = Intents(7)
    holds = [ids.new_uuid() for _ in range(12)]

    async def writer(seed: int) -> list[Outcome]:
        mine = Intents(seed)
        mine.holds, mine.operations = holds, shared.operations
        outcomes = []
        for _ in range(6):
            intents = list(mine)
            outcomes += await tenant.write([tenant.mine(intent) for intent in intents])
        return outcomes

    written = await asyncio.gather(*(writer(seed) for seed in range(8)))
    assert sum(len(outcomes) for outcomes in written) == 8 * 6 * LENGTH
    assert broken(database) == []
    assert all(held >= 0 for _, held, _ in (await tenant.balances()).values())
