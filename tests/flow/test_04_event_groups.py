"""Events applied together leave what they leave one by one: payments, ledger, audit, discrepancies, inbox."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from paywarden.flow import advance, event_groups, provider_event, recovery
from paywarden.flow.ask import Ask
from paywarden.flow.desk import Actor
from paywarden.flow.provider_event import Endpoint
from paywarden.kit import ids
from paywarden.payments import groups
from paywarden.payments.rows import Payment
from tests.flow.world import World, event

pytestmark = pytest.mark.shared_sandbox

CHARGES, EVENTS = 8, 90
# Everything of a tenant that an event can change, without what differs by nature: ids, clocks, transactions.
LEFT: dict[str, str] = {
    "payments": """
        select id, status, reason, captured_minor, refund_reserved_minor, refunded_minor, late, provider_payment_id,
            next_step_at is null as at_rest, lease_until is null as free, last_sort_key
        from paywarden.payments where tenant_id = %s order by id""",
    "transitions": """
        select payment_id, sort_key, from_status, to_status, cause, source, detail, principal_id, event_at
        from paywarden.payment_transitions where tenant_id = %s and source = 'webhook' order by payment_id, sort_key""",
    "transfers": """
        select payment_id, operation, fact_kind, line, debit.code as debit, credit.code as credit, amount_minor, late,
            hold_id is null as bare, event_at = timestamptz '2030-01-01 12:00Z' as dated
        from paywarden.transfers as transfer
        join paywarden.accounts as debit on debit.tenant_id = transfer.tenant_id and debit.id = debit_account_id
        join paywarden.accounts as credit on credit.tenant_id = transfer.tenant_id and credit.id = credit_account_id
        where transfer.tenant_id = %s and fact_kind <> 'grant' order by payment_id, fact_kind, line""",
    "holds": """
        select payment_id, status, amount_minor, captured_minor from paywarden.holds
        where tenant_id = %s order by payment_id""",
    "accounts": "select code, balance, held, blocked from paywarden.accounts where tenant_id = %s order by code",
    "discrepancies": """
        select kind, subject, payment_id, status, detail from paywarden.discrepancies
        where tenant_id = %s order by kind, subject, detail::text""",
    "events": """
        select subject_id, type, data, principal_id, request_id from paywarden.events
        where tenant_id = %s and (data ->> 'source' = 'webhook' or type like 'discrepancy.%%')
        order by subject_id, id""",
    "inbox": """
        select event_key, event_type, status, payment_id, attempts, next_step_at is null as done,
            applied_at is not null as applied
        from paywarden.webhook_inbox where tenant_id = %s order by event_key""",
}


@dataclass
class Tenant:
    """One of two tenants that are alike, with payments in every state that an event may meet."""

    world: World
    actor: Actor
    cast: list[Payment]

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.actor.tenant_id, "rest", "default", "secret")

    async def store(self, bodies: Sequence[bytes]) -> list[UUID]:
        """They arrive at once, in this order; those that were new."""
        stored = await asyncio.gather(*(self.world.receive(body, self.endpoint) for body in bodies))
        return [inbox_id for inbox_id in stored if inbox_id is not None]

    async def apply_alone(self, inbox_ids: Sequence[UUID]) -> None:
        for inbox_id in inbox_ids:
            await provider_event.apply(self.world.stage.desk, self.actor.tenant_id, inbox_id)

    async def apply_together(self, inbox_ids: Sequence[UUID], most: int) -> None:
        for start in range(0, len(inbox_ids), most):
            await event_groups.apply(self.world.stage.desk, self.actor.tenant_id, inbox_ids[start : start + most])

    def left(self) -> dict[str, Any]:
        """What stands in the database, with the names of the cast in place of ids."""
        found = {name: self.world.sql(query, self.actor.tenant_id) for name, query in LEFT.items()}
        text = json.dumps(found, default=str)
        for place, payment in enumerate(self.cast):
            text = text.replace(str(payment.id), f"payment {place}").replace(payment.public_id, f"payment {place}")
        for row in self.world.sql("select id from paywarden.mandates where tenant_id = %s", self.actor.tenant_id):
            text = text.replace(ids.to_text("mdt", row["id"]), "mandate")
        left: dict[str, Any] = json.loads(text)
        return left


async def asked(world: World, actor: Actor, wanted: Ask) -> Payment:
    """Asked for, and at the provider however busy this machine is."""
    payment = (await world.stage.ask(wanted, actor=actor)).payment
    while world.one("select status from paywarden.payments where id = %s", payment.id) == "reserved":
        await advance.step(world.stage.desk, actor.tenant_id, payment.id)
    return payment


def charge(number: int, **more: Any) -> Ask:
    """Another amount and another customer for each number."""
    return Ask("charge", 500 + number, "usd", customer_id=f"c{number}", **more)


async def paid_twice(world: World, actors: Sequence[Actor]) -> list[list[Payment]]:
    """For each of them two paid charges of one order."""
    await world.stage.sandbox.change_settings(webhook_delay_seconds=0)
    made = [[await asked(world, actor, charge(400, reference="order")) for _ in range(2)] for actor in actors]
    while world.one("select count(*) from paywarden.payments where status <> 'succeeded'"):
        world.clock.advance(7)
        await world.work()
    await world.stage.sandbox.change_settings(webhook_delay_seconds=3600)
    return made


async def cast_of(world: World, actor: Actor, twice: Sequence[Payment]) -> list[Payment]:
    """Two paid charges with a refund each under way, charges at the provider, one of unknown outcome, one not sent."""
    refunds = [await asked(world, actor, world.refund_of(each, 300)) for each in twice]
    charges = [await asked(world, actor, charge(number)) for number in range(CHARGES)]
    unsent = (await world.stage.with_settings(answer_timeout_seconds=-1.0).ask(charge(50), actor=actor)).payment
    for place, payment in enumerate([*twice, *refunds, *charges]):
        world.edit("update paywarden.payments set provider_payment_id = %s where id = %s", f"p_{place}", payment.id)
    unknown = charges[-1].id
    world.edit("update paywarden.payments set status = 'outcome_unknown' where id = %s", unknown)
    world.edit(
        "update paywarden.payment_transitions set to_status = 'outcome_unknown'"
        " where payment_id = %s and to_status = 'processing'",
        unknown,
    )
    return [*twice, *refunds, *charges, unsent]


@pytest.fixture
async def two(world: World) -> tuple[Tenant, Tenant]:
    """Two tenants that are alike: what happens to one by one happens to the other together."""
    actors = [await world.other_tenant(name) for name in ("together", "one by one")]
    paid = await paid_twice(world, actors)
    made = [Tenant(world, actor, await cast_of(world, actor, twice)) for actor, twice in zip(actors, paid, strict=True)]
    assert made[0].left() == made[1].left()
    return made[0], made[1]


def sayings(chance: random.Random, cast: Sequence[Payment]) -> list[tuple[str, dict[str, Any]]]:
    """What a provider may say: (type, event without our reference). Ends, repeats, contradictions, lies, strangers."""
    said = []
    for number in range(EVENTS):
        place = chance.randrange(len(cast))
        payment = cast[place]
        word = "refund" if payment.kind == "refund" else "payment"
        true = {"amount": payment.amount_minor, "currency": "usd"}
        choice = chance.random()
        named: dict[str, Any] = {"provider_id": f"p_{place}", "key": f"evt_{number}"}
        if choice < 0.55:
            said.append((f"{word}.succeeded", named | chance.choice([{}, true])))
        elif choice < 0.7:
            said.append((f"{word}.failed", named | chance.choice([{}, true])))
        elif choice < 0.78:
            lie = chance.choice([{"amount": payment.amount_minor + 1}, {"currency": "eur"}, {"amount": 0}])
            said.append((f"{word}.succeeded", named | lie))
        elif choice < 0.84:
            said.append((f"{word}.succeeded", named | {"place": place}))
        elif choice < 0.88:
            said.append((f"{word}.succeeded", named | {"provider_id": f"p_other_{place}", "place": place}))
        elif choice < 0.92:
            said.append(("payment.succeeded" if word == "refund" else "refund.succeeded", named | {"place": place}))
        elif choice < 0.96:
            said.append((chance.choice(["payment.created", f"{word}.succeeded"]), named | {"provider_id": "stranger"}))
        else:
            said.append((f"{word}.succeeded", named | {"key": f"evt_{max(0, number - 3)}"}))
    return said


def bodies_for(tenant: Tenant, said: Sequence[tuple[str, dict[str, Any]]]) -> list[bytes]:
    made = []
    for event_type, words in said:
        more = dict(words)
        place = more.pop("place", None)
        reference = None if place is None else tenant.cast[place].public_id
        made.append(event(event_type, more.pop("provider_id"), reference=reference, **more))
    return made


async def same(two: tuple[Tenant, Tenant], seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is left in the tenant whose events came together, and in the other one."""
    together, alone = two
    chance = random.Random(seed)
    said = sayings(chance, alone.cast)
    most = chance.choice([2, 5, 128])
    await together.apply_together(await together.store(bodies_for(together, said)), most)
    await alone.apply_alone(await alone.store(bodies_for(alone, said)))
    return together.left(), alone.left()


@pytest.mark.parametrize("seed", range(6))
async def test_together_leaves_what_one_by_one_leaves(two: tuple[Tenant, Tenant], seed: int) -> None:
    together, alone = await same(two, seed)
    for name in LEFT:
        assert together[name] == alone[name], name
    assert await two[0].world.stage.broken_invariants() == {}


def forgets_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_groups._Arrived, "about", lambda self, payment: set())


def believes_any_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = event_groups._Plan._fits

    def twin(self: Any, event: Any, payment: Any, original: Any) -> bool:
        return fits(self, replace(event, amount_minor=None, currency=None), payment, original)

    monkeypatch.setattr(event_groups._Plan, "_fits", twin)


def counts_no_refunds(monkeypatch: pytest.MonkeyPatch) -> None:
    async def twin(*_: Any) -> None:
        """Nothing."""

    monkeypatch.setattr(groups, "count_refunds", twin)


def ends_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan does not remember where a payment stands after an earlier event of the group."""
    monkeypatch.setattr(event_groups._Plan, "_stands", lambda self, payment: payment.status)


@pytest.mark.parametrize(("breaks", "seed"), [(forgets_the_order, 5), (believes_any_amount, 5), (counts_no_refunds, 0)])
async def test_broken_twins_leave_something_else(
    two: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch, breaks: Any, seed: int
) -> None:
    breaks(monkeypatch)
    together, alone = await same(two, seed)
    assert together != alone


async def test_a_plan_that_forgets_what_it_planned_books_nothing_twice(
    two: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger and the guarded move notice; then each event is applied alone."""
    ends_twice(monkeypatch)
    together, alone = await same(two, 0)
    assert together == alone


# ---- One bad event, the same events at once


def succeeded(tenant: Tenant) -> list[bytes]:
    """One success of every charge that is at the provider."""
    return [event("payment.succeeded", f"p_{place}", key=f"evt_{place}") for place in range(4, 4 + CHARGES)]


async def test_one_event_that_breaks_is_left_and_the_others_are_applied(
    two: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, _ = two
    provider = tenant.world.stage.desk.provider("rest")
    read = provider.read_event

    def broken(body: bytes) -> Any:
        if b"p_5" in body:
            raise RuntimeError("a fault of ours")
        return read(body)

    inbox_ids = await tenant.store(succeeded(tenant))
    monkeypatch.setattr(type(provider), "read_event", lambda self, body: broken(body))
    await tenant.apply_together(inbox_ids, 128)
    told = {row["event_key"]: row["status"] for row in tenant.left()["inbox"]}
    assert told == {f"evt_{place}": "unmatched" if place == 5 else "applied" for place in range(4, 4 + CHARGES)}
    monkeypatch.undo()
    tenant.world.clock.advance(31)
    await recovery.run_once(tenant.world.stage.desk)
    assert {row["status"] for row in tenant.left()["inbox"]} == {"applied"}
    assert await tenant.world.stage.broken_invariants() == {}


async def test_groups_that_overlap_apply_each_event_once(two: tuple[Tenant, Tenant]) -> None:
    tenant, _ = two
    inbox_ids = await tenant.store([body for _ in range(3) for body in succeeded(tenant)])
    chance = random.Random(4)
    orders = [chance.sample(inbox_ids, len(inbox_ids)) for _ in range(6)]
    await asyncio.gather(*(tenant.apply_together(order, 128) for order in orders), tenant.apply_alone(inbox_ids))
    assert {(row["status"], row["attempts"]) for row in tenant.left()["inbox"]} == {("applied", 1)}
    moved = [row for row in tenant.left()["transfers"] if row["debit"].startswith("provider_clearing")]
    assert len(moved) == 2 + CHARGES
    assert await tenant.world.stage.broken_invariants() == {}


# ---- Stored together


def commits(world: World) -> int:
    """In how many transactions the stored events were written."""
    return int(world.one("select count(distinct xmin::text) from paywarden.webhook_inbox"))


async def test_events_of_several_tenants_are_stored_in_shared_commits(two: tuple[Tenant, Tenant]) -> None:
    bodies = [event("payment.succeeded", "stranger", key=f"evt_{number}") for number in range(60)]
    stored = await asyncio.gather(*(tenant.store([*bodies, *bodies]) for tenant in two))
    assert [len(inbox_ids) for inbox_ids in stored] == [60, 60]
    for tenant, inbox_ids in zip(two, stored, strict=True):
        mine = tenant.world.sql("select id from paywarden.webhook_inbox where tenant_id = %s", tenant.actor.tenant_id)
        assert {row["id"] for row in mine} == set(inbox_ids)
    assert commits(two[0].world) <= 5


async def test_an_event_that_cannot_be_stored_refuses_no_other(two: tuple[Tenant, Tenant]) -> None:
    tenant, other = two
    nobody = Endpoint(ids.new_uuid(), "rest", "default", "secret")
    body = event("payment.succeeded", "stranger")
    told = await asyncio.gather(
        *(tenant.world.receive(body, endpoint) for endpoint in (tenant.endpoint, nobody, other.endpoint)),
        return_exceptions=True,
    )
    assert [type(each) for each in told] == [UUID, psycopg.errors.ForeignKeyViolation, UUID]
    assert tenant.world.one("select count(*) from paywarden.webhook_inbox") == 2
