"""Charges that share a commit leave and answer what they would one by one, in the order in which they came."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from msgspec import structs

from paywarden.db.transaction import transaction
from paywarden.flow import access, ask, ask_group
from paywarden.flow.ask import Ask
from paywarden.flow.ask_group import KeyedCharge
from paywarden.flow.authority import Standing
from paywarden.flow.desk import Actor
from paywarden.kit import ids
from paywarden.kit.canonical import digest
from paywarden.kit.errors import AuthenticationError, PaywardenError
from paywarden.kit.states import Status
from paywarden.ledger import door
from paywarden.payments import idempotency, rows
from paywarden.payments.idempotency import IdempotentRequest
from tests.flow.world import World

pytestmark = pytest.mark.shared_sandbox

ASKS, MOST = 60, 20
PER_PAYMENT, DAY = 5_000, 40_000
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
# Everything of a tenant that an ask can change, without what differs by nature: ids, clocks, transactions.
LEFT: dict[str, str] = {
    "payments": """
        select key.key, status, kind, origin, amount_minor, currency, agent_id, customer_id, payee, purpose, reference,
            request_text, original_payment_id, payment.mandate_id is null as no_mandate, confirm, bare, keyed,
            duplicate_suspected, review_opened, provider, provider_account, payment.hold_id is null as no_hold,
            oversight, decided_by, reason, policy_version, decision_id, payment.captured_minor, late, missing_facts,
            facts_rounds, fence, next_step_at is null as at_rest,
            next_step_at - payment.updated_at < interval '0.5 s' as at_once,
            payment.lease_until, last_sort_key, payment.expires_at, key.lease_until <= paywarden.clock() as answered
        from paywarden.payments as payment
        join paywarden.idempotency_keys as key on key.tenant_id = payment.tenant_id and key.payment_id = payment.id
        where payment.tenant_id = %s order by key.key""",
    "count": "select count(*) from paywarden.payments where tenant_id = %s",
    "transitions": """
        select key.key, sort_key, from_status, to_status, cause, source, made.principal_id is null as by_nobody, detail
        from paywarden.payment_transitions as made join paywarden.idempotency_keys as key using (tenant_id, payment_id)
        where tenant_id = %s order by key.key, sort_key""",
    "checks": """
        select key.key, findings, policy_version, decision_id
        from paywarden.checks join paywarden.idempotency_keys as key using (tenant_id, payment_id)
        where tenant_id = %s order by key.key, id""",
    "events": """
        select key.key, type, subject_kind, told.principal_id is null as by_nobody, request_id, data
        from paywarden.events as told
        join paywarden.idempotency_keys as key on key.tenant_id = told.tenant_id and key.payment_id = told.subject_id
        where told.tenant_id = %s order by key.key, id""",
    "holds": """
        select key.key, hold.status, hold.amount_minor, hold.captured_minor, hold.expires_at,
            (select array_agg(account.code order by line) from paywarden.hold_lines as line
             join paywarden.accounts as account on account.id = line.held_account_id
             where line.tenant_id = hold.tenant_id and line.hold_id = hold.id) as accounts
        from paywarden.holds as hold join paywarden.idempotency_keys as key
            on key.tenant_id = hold.tenant_id and key.payment_id = hold.payment_id
        where hold.tenant_id = %s order by key.key""",
    "accounts": "select code, balance, held, blocked from paywarden.accounts where tenant_id = %s order by code",
    "customers": "select id from paywarden.customers where tenant_id = %s order by id",
    "guards": "select count(*) from paywarden.duplicate_guards where tenant_id = %s",
    "reviews": "select status, reason from paywarden.reviews where tenant_id = %s order by reason",
}


@dataclass
class Tenant:
    """One of two tenants that are alike: an agent with a key, a limit a payment and a small budget of the day."""

    world: World
    admin: Actor
    standing: Standing
    secret: str

    async def remembered(self) -> Actor:
        """The agent as the hot route knows it."""
        standing = await self.world.stage.desk.standings.of_key(self.secret)
        return Actor(standing.principal, "req_same", standing)

    @property
    def plain(self) -> Actor:
        """The agent as every other route knows it."""
        return Actor(self.standing.principal, "req_same")

    def left(self) -> dict[str, Any]:
        """What stands in the database, with the same name for the mandate in both."""
        found = {name: self.world.sql(query, self.admin.tenant_id) for name, query in LEFT.items()}
        text = json.dumps(found, default=str)
        for row in self.world.sql("select id from paywarden.mandates where tenant_id = %s", self.admin.tenant_id):
            text = text.replace(ids.to_text("mdt", row["id"]), "mandate")
        left: dict[str, Any] = json.loads(text)
        return left


async def tenant(world: World, name: str) -> Tenant:
    """With all its objects made in the same order."""
    key = (await access.create_tenant(world.stage.desk.pool, name, "test"))["admin_key"]
    admin = Actor(await access.authenticate(world.stage.desk.pool, key))
    agent = await access.create_agent(world.stage.desk, admin, "agent", "spender", ["initiate"])
    _, secret = await access.create_key(world.stage.desk, admin, agent.id, None)
    limit = access.Limit("usd", "payment", PER_PAYMENT)
    await world.mandate(admin, Actor(agent), kinds=("charge",), day_minor=DAY, more=(limit,), valid_from=SINCE)
    return Tenant(world, admin, await world.stage.desk.standings.of_key(secret), secret)


@pytest.fixture
async def twins(world: World) -> tuple[Tenant, Tenant]:
    return await tenant(world, "ann"), await tenant(world, "ben")


Wanted = tuple[Ask, str, bool]
Told = tuple[Any, ...]


def drawn(seed: int) -> list[Wanted]:
    """Charges of every fate, with keys that come again, with the same body and with another one."""
    chance, made = random.Random(seed), []
    for number in range(ASKS):
        amount = chance.choice([1, 70, 900, 2_500, 4_999, 5_000, 5_001, 60_000])
        purpose = chance.choice(["order", "order", "order", "checkout", "overdue invoice"])
        currency = chance.choice(["usd"] * 9 + ["eur"])
        named = {"mandate_id": ids.new_uuid()} if chance.random() < 0.05 else {}
        wanted = Ask("charge", amount, currency, customer_id=f"c{chance.randrange(6)}", purpose=purpose, **named)
        key = f"k{number}"
        if made and chance.random() < 0.25:
            earlier, key, _ = chance.choice(made)
            another = structs.replace(earlier, amount_minor=earlier.amount_minor + 1)
            wanted = earlier if chance.random() < 0.7 else another
        made.append((wanted, key, chance.random() < 0.2))
    return made


async def told(world: World, actor: Actor, wanted: Wanted) -> Told:
    """What the caller is told: the payment as it stands, or the error that refuses it."""
    what, key, waits = wanted
    request = IdempotentRequest(key, digest([repr(structs.replace(what, mandate_id=None)), str(what.mandate_id)]))
    try:
        # As the ask of somebody who waits, without what follows: a lease that runs until the answer.
        asked = await ask.ask(world.stage.desk, actor, what, request, wait=False) if not waits else None
        if asked is None:
            asked = await ask._store_together(
                world.stage.desk, actor, what, request, wait=True
            ) or await ask.guard.until_fresh(
                lambda: ask._store(world.stage.desk, replace(actor, standing=None), what, request, wait=True)
            )
    except PaywardenError as error:
        return type(error).__name__, error.detail, error.param
    payment = asked.payment
    if payment.status is Status.RESERVED:
        async with transaction(world.stage.desk.pool, actor.tenant_id) as connection:
            assert await rows.find(connection, payment.id) == payment
    return (
        payment.status,
        payment.reason,
        payment.oversight,
        payment.decided_by,
        payment.quickstart_status,
        asked.replayed,
    )


class InTurn:
    """What is left to be stored alone goes on in the order in which it came."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._write, self._places, self.shared = ask_group.write, {}, 0
        self._ended: dict[str, asyncio.Event] = {}
        monkeypatch.setattr(ask_group, "write", self._written)

    async def ask(self, world: World, actor: Actor, wanted: Sequence[Wanted]) -> list[Told]:
        """All at once, so that they share commits."""
        ended = [asyncio.Event() for _ in wanted]

        async def one(place: int) -> Told:
            asyncio.current_task().set_name(str(place))  # type: ignore[union-attr]
            try:
                return await told(world, actor, wanted[place])
            finally:
                ended[place].set()

        self._before = [ended[:place] for place in range(len(wanted))]
        return list(await asyncio.gather(*(one(place) for place in range(len(wanted)))))

    async def _written(self, desk: Any, tenant_id: Any, charge: KeyedCharge) -> Any:
        payment = await self._write(desk, tenant_id, charge)
        if payment is not None:
            self.shared += 1
            return payment
        for earlier in self._before[int(asyncio.current_task().get_name())]:  # type: ignore[union-attr]
            await earlier.wait()
        return None


async def both(twins: tuple[Tenant, Tenant], turn: InTurn, wanted: Sequence[Wanted], most: int = MOST) -> None:
    """The first tenant's share commits, the second's do not; the answers and what is left are the same."""
    together, alone = twins
    for start in range(0, len(wanted), most):
        part = wanted[start : start + most]
        shared = await turn.ask(together.world, await together.remembered(), part)
        assert shared == [await told(alone.world, alone.plain, each) for each in part]
    assert together.left() == alone.left()


@pytest.mark.parametrize("seed", range(6))
async def test_together_is_one_by_one(
    world: World, twins: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    turn = InTurn(monkeypatch)
    await both(twins, turn, drawn(seed))
    assert turn.shared > 10
    assert await world.stage.broken_invariants() == {}


async def test_a_big_one_that_is_refused_starves_no_small_one(
    twins: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    amounts = [5_000] * 7 + [4_000, 5_000, 2_000, 900, 200, 100, 1]
    wanted = [(Ask("charge", n, "usd", customer_id="c"), f"k{i}", False) for i, n in enumerate(amounts)]
    turn = InTurn(monkeypatch)
    await both(twins, turn, wanted)
    assert turn.shared == 10
    statuses = {row["key"]: row["status"] for row in twins[0].left()["payments"]}
    assert [statuses[f"k{place}"] for place in range(7, 14)] == [
        "reserved", "denied", "denied", "reserved", "denied", "reserved", "denied",
    ]  # fmt: skip


async def test_a_mandate_that_is_revoked_under_a_batch_holds_nothing(
    world: World, twins: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard has judged, somebody revokes, then the ledger writes."""
    together, _ = twins
    write, revoked = door.write_all, False

    async def revoke_and_write(connection: Any, intents: Any) -> Any:
        nonlocal revoked
        if not revoked:
            revoked = True
            (mandate,) = together.standing.mandates
            await access.revoke_mandate(world.stage.desk, together.admin, mandate.id)
        return await write(connection, intents)

    monkeypatch.setattr(door, "write_all", revoke_and_write)
    actor = await together.remembered()
    answers = await asyncio.gather(
        *(told(world, actor, (Ask("charge", 5, "usd", customer_id="c"), f"k{n}", False)) for n in range(5))
    )
    assert [(answer[0], answer[1].partition(":")[0]) for answer in answers] == [(Status.DENIED, "no_mandate")] * 5
    assert world.held() == 0


async def test_a_revoked_key_and_a_suspended_caller_pay_nothing_on_what_is_remembered(
    world: World, twins: tuple[Tenant, Tenant]
) -> None:
    wanted = (Ask("charge", 5, "usd", customer_id="c"), "k", False)
    for place, owner in enumerate(twins):
        actor = await owner.remembered()
        if place:
            await access.set_principal_status(world.stage.desk, owner.admin, actor.principal.id, "suspended")
        else:
            (key,) = [
                row for row in await access.list_keys(world.stage.desk, owner.admin) if row["hint"] == owner.secret[-4:]
            ][:1]
            await access.revoke_key(world.stage.desk, owner.admin, key["id"])
        assert (await told(world, actor, wanted))[0] == AuthenticationError.__name__
        assert owner.left()["count"] == [{"count": 0}]


async def test_an_error_of_the_database_in_a_batch_is_nobody_elses(
    twins: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is rolled back whole, and its members are stored one by one."""
    register_all, failed = idempotency.register_all, []

    async def fail_after(connection: Any, wanted: Any) -> Any:
        await register_all(connection, wanted)
        failed.append(len(wanted))
        raise psycopg.errors.CheckViolation("no such luck")

    monkeypatch.setattr(idempotency, "register_all", fail_after)
    wanted = [(Ask("charge", 900 + n, "usd", customer_id="c"), f"k{n}", False) for n in range(6)]
    turn = InTurn(monkeypatch)
    await both(twins, turn, wanted)
    assert (turn.shared, failed) == (0, [6])


async def test_a_caller_that_goes_away_harms_nobody(world: World, twins: tuple[Tenant, Tenant]) -> None:
    actor = await twins[0].remembered()
    wanted = [(Ask("charge", 900 + n, "usd", customer_id="c"), f"k{n}", False) for n in range(4)]
    asking = [asyncio.create_task(told(world, actor, each)) for each in wanted]
    while not world.sql("select from pg_stat_activity where query like '%%ledger_write%%' and state = 'active'"):
        if all(task.done() for task in asking):
            break
        await asyncio.sleep(0)
    asking[1].cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [answer[0] for answer in answers if not isinstance(answer, BaseException)].count(Status.RESERVED) >= 3
    again = await told(world, actor, wanted[1])
    assert again[0] == Status.RESERVED
    assert twins[0].left()["count"] == [{"count": 4}]


async def test_broken_twin_keys_that_are_not_asked_for_are_caught(
    twins: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that does not look whether its keys stand already stores what stands already."""

    async def all_new(_: Any, wanted: Any) -> Any:
        return {each.payment_id for each in wanted}

    wanted = [(Ask("charge", 900, "usd", customer_id="c"), "k", False)]
    await both(twins, turn := InTurn(monkeypatch), wanted)
    monkeypatch.setattr(idempotency, "register_all", all_new)
    with pytest.raises(AssertionError):
        await both(twins, turn, wanted)
