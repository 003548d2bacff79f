"""Groups of several tenants answer and leave what their intents do one by one: keys, gates, budgets, errors."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from paywarden.audit.invariants import all_invariants
from paywarden.db.pool import Pool
from paywarden.db.transaction import transaction
from paywarden.flow.ledger_group import write
from paywarden.guardrails import mandate_store
from paywarden.guardrails.mandate_terms import MandateTerms
from paywarden.guardrails.mandates import Limit
from paywarden.identity import principals, tenants
from paywarden.kit import ids
from paywarden.kit.errors import OverloadedError
from paywarden.ledger import chart, door
from paywarden.ledger.intents import (
    Authority,
    Book,
    Extend,
    Gate,
    Intent,
    Key,
    Line,
    Movement,
    Outcome,
    Post,
    Reserve,
    Void,
    WindowGrant,
)
from tests.conftest import Database

CLEARING, REVENUE, BANK = (
    chart.provider_clearing("rest", "default", "usd"),
    chart.revenue("usd"),
    chart.bank("b", "usd"),
)
CUSTOMERS, DAYS = ("ann", 'b"o\\b', "nobody"), ("day:2030-01-01", "day:2030-01-02")
CALM_CUSTOMER, CALM_DAY = "cara", "day:2030-01-03"
GROUPS, TENANTS, LENGTH = 64, 3, 12
LAPSED = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Desk:
    """A tenant with one agent, a mandate of 100.00 a day, and three customers who have prepaid 1000.00."""

    pool: Pool
    id: UUID = field(default_factory=ids.new_uuid)

    async def open(self) -> "Desk":
        async with transaction(self.pool, self.id) as connection:
            await tenants.create(connection, self.id, str(self.id), "test")
            self.agent_id = (await principals.ensure(connection, "agent", "gate", ["initiate"])).id
            terms = MandateTerms(self.agent_id, "m", ("charge",), (Limit("usd", "day", 10_000),), "UTC")
            self.mandate_id = (await mandate_store.create(connection, terms)).id
            await tenants.count_authority_change(connection)
            tenant = await tenants.find(connection, self.id)
            assert tenant is not None
            self.version = tenant["authority_version"]
            for name in (*CUSTOMERS[:2], CALM_CUSTOMER):
                paid = [Movement(BANK, chart.customer_credit(name, "usd"), 100_000)]
                await door.write(connection, [Book(f"top_up:{name}", "top_up", paid, fact=True)])
        return self

    async def left(self) -> tuple[dict[str, tuple[int, int, bool]], int]:
        """Every account's balance, held and block, and how many keys are stored."""
        own = ids.to_text("mdt", self.mandate_id)
        async with transaction(self.pool, self.id) as connection:
            found = {
                row["code"].replace(own, "mandate"): (row["balance"], row["held"], row["blocked"])
                for row in await door.accounts(connection)
            }
            keys = (await connection.execute("select from paywarden.idempotency_keys")).rowcount
        return found, keys


class Wishes:
    """Random wishes of one tenant that know one another's holds, keys and operations; the same for any desk."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.holds = [UUID(int=chance.getrandbits(128))]

    def next(self, desk: Desk) -> Intent:
        """The next wish, spoken at ``desk``: the same seed wishes the same at every desk."""
        kind = self.chance.choices(
            [self.gate, self.capture, self.change, self.budget, self.book, self.fact], [8, 6, 4, 3, 1, 2]
        )[0]
        return kind(desk)

    def amount(self) -> int:
        return self.chance.choice([1, 100, 900, 2_500, 5_000, 9_000, 10_001])

    def hold(self) -> UUID:
        if self.chance.random() < 0.5:
            self.holds.append(UUID(int=self.chance.getrandbits(128)))
            return self.holds[-1]
        return self.chance.choice(self.holds[-5:])

    def operation(self, kind: str) -> str:
        return f"{kind}:{self.chance.choice(['a', 'b', *(str(self.chance.random()) for _ in range(4))])}"

    def authority(self, desk: Desk, mandates: Sequence[UUID] = ()) -> Authority:
        version, until = self.chance.choices([(0, None), (-1, None), (0, LAPSED)], [20, 1, 1])[0]
        return Authority(desk.agent_id, desk.version + version, mandates, until)

    def key(self, desk: Desk) -> Key:
        body = self.chance.choice([b"a", b"a", b"a", b"b"])
        text = self.chance.choice(["k1", 'k"\\2', *(str(self.chance.random()) for _ in range(6))])
        return Key(desk.agent_id, text, hashlib.sha256(body).digest())

    def gate(self, desk: Desk) -> Reserve:
        name, credit = self.credit()
        gate = Gate(desk.agent_id, "usd", customer_id=name, feature=self.feature())
        authority, lines = self.authority(desk), [Line(credit, REVENUE)]
        return Reserve(
            self.hold(), None, authority, self.amount(), lines, gate=gate, key=self.key(desk), expires_in_seconds=60
        )

    def feature(self) -> str:
        """Too long a one is refused by the table alone."""
        return self.chance.choices(["summary", "x" * 256], [12, 1])[0]

    def credit(self) -> tuple[str, chart.AccountRef]:
        name = self.customer()
        return name, chart.customer_credit(name, "usd")

    def customer(self) -> str:
        return self.chance.choice(CUSTOMERS)

    def window(self) -> tuple[str, int]:
        """A day and its limit."""
        return self.chance.choice(DAYS), self.chance.choice([10_000, 10_000, 10_000, 6_000])

    def owner(self, desk: Desk) -> UUID | None:
        return self.chance.choices([desk.agent_id, None, UUID(int=9)], [8, 2, 1])[0]

    def capture(self, desk: Desk) -> Post:
        final = self.chance.random() < 0.7
        operation = self.operation("capture")
        return Post(
            self.hold(), None, operation, "capture", self.amount(), fact=False, final=final,
            authority=self.authority(desk), key=self.key(desk), of_principal_id=self.owner(desk),
        )  # fmt: skip

    def change(self, desk: Desk) -> Intent:
        if self.chance.random() < 0.3:
            return Extend(self.hold(), 600, self.authority(desk), self.owner(desk))
        status: Any = self.chance.choice(["voided", "expired"])
        return Void(self.hold(), None, status, self.authority(desk), self.owner(desk))

    def budget(self, desk: Desk) -> Reserve:
        day, limit = self.window()
        window = chart.authority_window(desk.mandate_id, day, "usd")
        lines = [Line(window, chart.authority_spent(desk.mandate_id, "usd"))]
        if self.chance.random() < 0.4:
            lines.append(Line(self.credit()[1], REVENUE))
        grant = WindowGrant(desk.mandate_id, day, "usd", limit, window, chart.authority_source("usd"))
        return Reserve(self.hold(), None, self.authority(desk, [desk.mandate_id]), self.amount(), lines, [grant])

    def book(self, _: Desk) -> Book:
        pair = self.chance.choice([(BANK, self.credit()[1]), (self.credit()[1], REVENUE), (REVENUE, CLEARING)])
        movements = [Movement(*pair, self.amount()) for _ in range(self.chance.choice([1, 1, 2]))]
        return Book(self.operation("book"), "booked", movements, fact=self.chance.random() < 0.5)

    def fact(self, _: Desk) -> Post:
        movements = [Movement(CLEARING, REVENUE, self.amount())] if self.chance.random() < 0.7 else []
        hold = self.hold() if self.chance.random() < 0.9 else None
        operation = self.operation("pay")
        return Post(hold, None, operation, "succeeded", self.amount(), fact=True, movements=movements)


class NewHolds(Wishes):
    """Nothing but new holds that fit, and in the midst of them one that is odd in one respect."""

    ODDITIES = (None, "amount", "hold", "authority", "key", "customer", "window", "feature", "op")

    def __init__(self, chance: random.Random, oddity: str | None) -> None:
        super().__init__(chance)
        self.oddity, self.turn = oddity, 0

    def next(self, desk: Desk) -> Intent:
        self.turn += 1
        if self.turn == LENGTH // 2:
            odd: dict[str | None, Callable[[Desk], Intent]] = {"window": self.budget, "op": self.give_back}
            return odd.get(self.oddity, self.gate)(desk)
        return self.chance.choice([self.gate, self.gate, self.budget])(desk)

    def give_back(self, _: Desk) -> Void:
        return Void(self.holds[-1])

    def either(self, respect: str, odd: Any, usual: Any) -> Any:
        return odd if self.oddity == respect and self.turn == LENGTH // 2 else usual

    def amount(self) -> int:
        return int(self.either("amount", 100_001, self.chance.randint(1, 9)))

    def hold(self) -> UUID:
        self.holds.append(self.either("hold", self.holds[-1], UUID(int=self.chance.getrandbits(128))))
        return self.holds[-1]

    def authority(self, desk: Desk, mandates: Sequence[UUID] = ()) -> Authority:
        return Authority(desk.agent_id, desk.version + self.either("authority", -1, 0), mandates)

    def key(self, desk: Desk) -> Key:
        text = self.either("key", "k1", str(self.chance.random()))
        return Key(desk.agent_id, text, hashlib.sha256(b"a").digest())

    def feature(self) -> str:
        return str(self.either("feature", "x" * 256, "summary"))

    def customer(self) -> str:
        return str(self.either("customer", "nobody", CALM_CUSTOMER))

    def window(self) -> tuple[str, int]:
        return CALM_DAY, self.either("window", 1, 10_000)


def wishes(group: int, tenant: int) -> Wishes:
    """Anything, in every other group; else new holds, and those of one tenant are odd in some of these groups."""
    chance = random.Random(f"{group}.{tenant}")
    if group % 2 == 0:
        return Wishes(chance)
    oddities = NewHolds.ODDITIES
    return NewHolds(chance, oddities[group // 2 % len(oddities)] if tenant == 1 else None)


def told(outcome: Outcome, desk: Desk) -> tuple[Any, ...]:
    own, hold = ids.to_text("mdt", desk.mandate_id), outcome.hold
    shown = ("id", "status", "amount_minor", "captured_minor", "customer_id", "feature", "currency")
    return (
        outcome.result,
        (outcome.accounts or "").replace(own, "mandate"),
        outcome.late,
        (outcome.below_floor or "").replace(own, "mandate"),
        hold and tuple(getattr(hold, name) for name in shown),
        hold and bool(hold.expires_at),
    )


def broken(database: Database) -> list[str]:
    """The rules about books and holds that do not hold."""
    rules = {"balances_match_transfers", "books_balance", "held_matches_holds"}
    with psycopg.connect(database.superuser_url, row_factory=dict_row) as connection:
        return [
            rule.name for rule in all_invariants() if rule.name in rules and connection.execute(rule.query).fetchall()
        ]


async def desks(pool: Pool, count: int) -> list[Desk]:
    return sorted([await Desk(pool).open() for _ in range(count)], key=lambda desk: desk.id)


async def difference(pool: Pool, groups: int = GROUPS) -> tuple[str | None, Counter[str]]:
    """What a group of several tenants did otherwise than its intents one by one, and what was answered how often.

    Who comes alone goes through the rules for one intent here, so that the two ways are compared with one another.
    """
    together, alone = await desks(pool, TENANTS), await desks(pool, TENANTS)
    seen: Counter[str] = Counter()
    for seed in range(groups):
        spoken = [[wishes(seed, number) for _ in range(2)] for number in range(TENANTS)]
        slices = [
            (desk.id, [wish[0].next(desk) for _ in range(LENGTH)]) for desk, wish in zip(together, spoken, strict=True)
        ]
        answers = await write(pool, slices)
        for desk, twin, wish, outcomes in zip(together, alone, spoken, answers, strict=True):
            for place, outcome in enumerate(outcomes):
                ((single,),) = await write(pool, [(twin.id, [wish[1].next(twin)])])
                if told(outcome, desk) != told(single, twin):
                    return f"group {seed}, {place}: {told(outcome, desk)} is not {told(single, twin)}", seen
                seen[outcome.result] += 1
            if await desk.left() != await twin.left():
                return f"group {seed}: {await desk.left()} is not {await twin.left()}", seen
    return None, seen


@pytest.mark.both_versions
async def test_a_group_of_tenants_is_its_intents_one_by_one(pool: Pool, database: Database) -> None:
    alone_by_the_rules_for_one(database)
    found, seen = await difference(pool)
    assert found is None
    assert set(seen) == {"ok", "insufficient", "replayed", "conflict", "invalid", "stale", "error"}
    assert min(seen.values()) >= 5
    assert broken(database) == []


def alone_by_the_rules_for_one(database: Database) -> None:
    """Let a sheet of one intent go through ``ledger_one``, like everything unusual."""
    replace_in(database, "ledger_stretch", "if p_fresh and", "if cardinality(p_sheet.op) <> 1 and p_fresh and")
    several = "cardinality(p_sheet.op) <> 1 and"
    replace_in(database, "ledger_load", "array_agg(op = 'book'", f"array_agg({several} op = 'book'")
    replace_in(database, "ledger_load", "(turn = 1", f"({several} turn = 1")


# What keeps a group true, taken away one at a time.
_TWINS = (
    ("ledger_decide", "v_free[v_account] := v_free[v_account] + v_given;", "null;"),
    ("ledger_decide", "if p_stale[v_authorities[v_place]] then", "if false then"),
    ("ledger_decide", " or (v_keys[v_place] is not null and not p_new[v_place])", ""),
    ("ledger_load", "turn = 1 and ", ""),
    ("ledger_decide", "exit when v_below;", ""),
    ("ledger_apply", "result <> 'ok' and is_new;", "false;"),
    ("ledger_stretch", "v_locked.fits and ", ""),
    ("ledger_stretch", "true = all (v_new) and ", ""),
    ("ledger_stretch", "not true = any (v_stale)", "true"),
    ("ledger_stretch", "cardinality(paywarden.ledger_unusual(p_sheet)) = 0", "true"),
    ("ledger_lock_accounts", "'reserve' = all (v_ops)", "true"),
    ("ledger_write_fitting", "held = held + taken", "held = held"),
)


@pytest.mark.parametrize(("name", "right", "wrong"), _TWINS, ids=[f"{name}: {right}" for name, right, _ in _TWINS])
async def test_broken_twin_a_group_without_one_of_its_guards_is_noticed(
    pool: Pool, database: Database, name: str, right: str, wrong: str
) -> None:
    alone_by_the_rules_for_one(database)
    replace_in(database, name, right, wrong)
    try:
        found, _ = await difference(pool)
    except (psycopg.Error, OverloadedError, AssertionError) as error:
        found = str(error)
    assert found is not None


def replace_in(database: Database, name: str, right: str, wrong: str) -> None:
    """Change one of the ledger's functions in this test's database."""
    with psycopg.connect(database.superuser_url) as connection:
        found = connection.execute("select pg_get_functiondef(to_regproc(%s))", [f"paywarden.{name}"]).fetchone()
        assert found is not None
        assert right in found[0]
        connection.execute(found[0].replace(right, wrong).encode())


@pytest.mark.both_versions
async def test_groups_that_race_for_the_same_keys_and_credit_lose_nothing(pool: Pool, database: Database) -> None:
    """Two connections, the same twelve keys and two customers, everybody with holds of his own."""
    made = await desks(pool, 2)

    def wanted(desk: Desk, number: int) -> Reserve:
        name = CUSTOMERS[number % 2]
        key = Key(desk.agent_id, f"k{number % 12}", hashlib.sha256(b"a").digest())
        gate = Gate(desk.agent_id, "usd", customer_id=name)
        lines = [Line(chart.customer_credit(name, "usd"), REVENUE)]
        return Reserve(ids.new_uuid(), None, Authority(desk.agent_id, desk.version), 900, lines, gate=gate, key=key)

    async def writer(seed: int) -> list[Outcome]:
        told: list[Outcome] = []
        for _ in range(5):
            numbers = random.Random(seed).sample(range(24), 24)
            slices = [(desk.id, [wanted(desk, number) for number in numbers]) for desk in made]
            told += [outcome for outcomes in await write(pool, slices) for outcome in outcomes]
        return told

    outcomes = [outcome for told in await asyncio.gather(*(writer(seed) for seed in range(6))) for outcome in told]
    assert Counter(outcome.result for outcome in outcomes)["ok"] == 2 * 12
    assert {outcome.result for outcome in outcomes} == {"ok", "replayed"}
    for desk in made:
        accounts, keys = await desk.left()
        assert keys == 12
        assert sum(held for _, held, _ in accounts.values()) == 12 * 900
    assert broken(database) == []


async def test_a_refused_hold_leaves_nothing_not_even_an_account(pool: Pool) -> None:
    (desk,) = await desks(pool, 1)
    before = await desk.left()
    credit = chart.customer_credit("unknown", "usd")
    gate = Gate(desk.agent_id, "usd", customer_id="unknown")
    key = Key(desk.agent_id, "k", hashlib.sha256(b"a").digest())
    for version, result in ((desk.version, "insufficient"), (0, "stale")):
        authority, lines = Authority(desk.agent_id, version), [Line(credit, REVENUE)]
        hold = Reserve(ids.new_uuid(), None, authority, 1, lines, gate=gate, key=key)
        ((outcome,),) = await write(pool, [(desk.id, [hold])])
        assert outcome.result == result
    assert await desk.left() == before


async def test_the_door_of_one_tenant_reaches_no_other_whatever_the_session_says(pool: Pool) -> None:
    mine, theirs = await desks(pool, 2)
    gate = Gate(theirs.agent_id, "usd", customer_id="ann")
    lines = [Line(chart.customer_credit("ann", "usd"), REVENUE)]
    hold = Reserve(ids.new_uuid(), None, Authority(theirs.agent_id, theirs.version), 1, lines, gate=gate)
    await write(pool, [(theirs.id, [hold])])
    async with transaction(pool, mine.id) as connection:
        await connection.execute("select set_config('app.tenants', %s, true)", [f"{{{mine.id},{theirs.id}}}"])
        (outcome,) = await door.write(connection, [Void(hold.hold_id)])
    assert outcome.result == "invalid"
    assert (await theirs.left())[0][chart.customer_credit("ann", "usd").code] == (100_000, 1, False)
