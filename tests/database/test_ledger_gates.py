"""The write door for gates: keys, captures, expiry, and groups of several tenants, on both supported versions."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from paywarden.db.pool import Connection, Pool
from paywarden.db.transaction import transaction
from paywarden.identity import principals, tenants
from paywarden.kit import ids
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
)
from tests.conftest import Database
from tests.database.test_ledger_groups import replace_in

pytestmark = pytest.mark.both_versions
CREDIT = chart.customer_credit("cust_1", "usd")
REVENUE = chart.revenue("usd")
LAPSED = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Desk:
    """A tenant whose customer has prepaid 10.00, and one agent."""

    pool: Pool
    tenant_id: UUID
    agent_id: UUID = field(init=False)
    version: int = field(init=False)

    async def open(self) -> "Desk":
        async with transaction(self.pool, self.tenant_id) as connection:
            await tenants.create(connection, self.tenant_id, str(self.tenant_id), "test")
            self.agent_id = (await principals.ensure(connection, "agent", "gate", ["initiate"])).id
            tenant = await tenants.find(connection, self.tenant_id)
            assert tenant is not None
            self.version = tenant["authority_version"]
            top_up = [Movement(chart.bank("default", "usd"), CREDIT, 1000)]
            await door.write(connection, [Book("top_up:1", "top_up", top_up, fact=True)])
        return self

    @property
    def authority(self) -> Authority:
        return Authority(self.agent_id, self.version)

    def key(self, text: str, body: str = "") -> Key:
        return Key(self.agent_id, text, hashlib.sha256(body.encode()).digest())

    def hold(self, amount_minor: int, key: str, **changes: Any) -> Reserve:
        gate = Gate(self.agent_id, "usd", customer_id="cust_1", feature="summary")
        wanted = Reserve(
            ids.new_uuid(),
            None,
            self.authority,
            amount_minor,
            [Line(CREDIT, REVENUE)],
            gate=gate,
            key=self.key(key, str(amount_minor)),
            expires_in_seconds=3600,
        )
        return replace(wanted, **changes)

    def capture(self, hold_id: UUID, amount_minor: int, key: str, *, final: bool = True) -> Post:
        operation = f"capture:{ids.to_text('hold', hold_id)}:{key}"
        return Post(
            hold_id,
            None,
            operation,
            "capture",
            amount_minor,
            fact=False,
            final=final,
            authority=self.authority,
            key=self.key(key, f"{hold_id}{amount_minor}"),
            of_principal_id=self.agent_id,
        )

    async def write(self, *intents: Intent) -> list[Outcome]:
        async with transaction(self.pool, self.tenant_id) as connection:
            return await door.write(connection, intents)

    async def credit(self) -> tuple[int, int]:
        """Balance and held of the customer."""
        async with transaction(self.pool, self.tenant_id) as connection:
            accounts = {row["code"]: row for row in await door.accounts(connection)}
        return accounts[CREDIT.code]["balance"], accounts[CREDIT.code]["held"]

    async def keys(self) -> int:
        async with transaction(self.pool, self.tenant_id) as connection:
            return (await connection.execute("select from paywarden.idempotency_keys")).rowcount


@pytest.fixture
async def desk(pool: Pool) -> Desk:
    return await Desk(pool, ids.new_uuid()).open()


def results(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.result for outcome in outcomes]


async def test_a_hold_keeps_its_amount_until_it_is_captured_and_the_rest_returns(desk: Desk) -> None:
    hold = desk.hold(400, "k1")
    (held,) = await desk.write(hold)
    assert (held.result, await desk.credit()) == ("ok", (1000, 400))
    assert held.hold is not None
    assert (held.hold.status, held.hold.customer_id, held.hold.feature) == ("pending", "cust_1", "summary")
    (captured,) = await desk.write(desk.capture(hold.hold_id, 150, "c1"))
    assert captured.hold is not None
    assert (captured.hold.status, captured.hold.captured_minor) == ("posted", 150)
    assert await desk.credit() == (850, 0)


async def test_the_same_key_holds_and_captures_once_and_shows_the_present_row(desk: Desk) -> None:
    first = desk.hold(400, "k1")
    await desk.write(first)
    (again,) = await desk.write(desk.hold(400, "k1"))
    assert (again.result, again.hold and again.hold.id) == ("replayed", first.hold_id)
    (other,) = await desk.write(desk.hold(401, "k1"))
    assert other.result == "conflict"
    capture = desk.capture(first.hold_id, 100, "c1")
    assert results(await desk.write(capture, capture)) == ["ok", "replayed"]
    assert results(await desk.write(replace(capture, amount_minor=99, key=desk.key("c1", "another")))) == ["conflict"]
    (late,) = await desk.write(desk.hold(400, "k1"))
    assert late.hold is not None
    assert (late.result, late.hold.status, late.hold.captured_minor) == ("replayed", "posted", 100)
    assert await desk.credit() == (900, 0)


async def test_what_is_refused_leaves_no_key_so_that_the_same_request_may_come_again(desk: Desk) -> None:
    assert results(await desk.write(desk.hold(1001, "k1"), desk.hold(600, "k2"))) == ["insufficient", "ok"]
    assert results(await desk.write(desk.hold(1, "k3", authority=Authority(desk.agent_id, 0)))) == ["stale"]
    lapsed = replace(desk.authority, valid_until=LAPSED)
    assert results(await desk.write(desk.hold(1, "k3", authority=lapsed))) == ["stale"]
    assert await desk.keys() == 1
    assert results(await desk.write(desk.hold(400, "k1"))) == ["ok"]
    assert await desk.credit() == (1000, 1000)


async def test_a_caller_whose_authority_ended_is_not_told_of_its_earlier_holds(desk: Desk) -> None:
    await desk.write(desk.hold(400, "k1"))
    lapsed = replace(desk.authority, valid_until=LAPSED)
    (answer,) = await desk.write(desk.hold(400, "k1", authority=lapsed))
    assert (answer.result, answer.hold) == ("stale", None)


async def test_captures_add_up_to_the_hold_and_no_further(desk: Desk) -> None:
    hold = desk.hold(400, "k1")
    await desk.write(hold)
    first = desk.capture(hold.hold_id, 300, "c1", final=False)
    assert results(await desk.write(first, desk.capture(hold.hold_id, 101, "c2"))) == ["ok", "insufficient"]
    assert await desk.credit() == (700, 100)
    assert results(await desk.write(desk.capture(hold.hold_id, 100, "c3", final=False))) == ["ok"]
    assert results(await desk.write(desk.capture(hold.hold_id, 1, "c4"))) == ["conflict"]
    assert await desk.credit() == (600, 0)


async def test_a_hold_is_changed_by_its_own_principal_only(desk: Desk) -> None:
    hold = desk.hold(400, "k1")
    await desk.write(hold)
    other = ids.new_uuid()
    foreign: list[Intent] = [
        replace(desk.capture(hold.hold_id, 100, "c1"), of_principal_id=other),
        Void(hold.hold_id, authority=desk.authority, of_principal_id=other),
        Extend(hold.hold_id, 60, desk.authority, other),
    ]
    assert results(await desk.write(*foreign)) == ["invalid"] * 3
    assert (await desk.credit(), await desk.keys()) == ((1000, 400), 1)
    # Whoever may settle names no owner.
    assert results(await desk.write(Void(hold.hold_id, authority=desk.authority))) == ["ok"]


async def test_an_expired_hold_is_captured_as_far_as_the_funds_are_still_there(desk: Desk) -> None:
    hold, rest = desk.hold(400, "k1"), desk.hold(700, "k2")
    await desk.write(hold, Void(hold.hold_id, status="expired"), rest)
    (short,) = await desk.write(desk.capture(hold.hold_id, 301, "c1"))
    assert short.hold is not None
    assert (short.result, short.hold.status) == ("insufficient", "expired")
    (late,) = await desk.write(desk.capture(hold.hold_id, 300, "c2"))
    assert late.hold is not None
    assert (late.result, late.late, late.hold.status, late.hold.captured_minor) == ("ok", True, "posted", 300)
    assert await desk.credit() == (700, 700)
    assert results(await desk.write(desk.capture(hold.hold_id, 1, "c3"))) == ["conflict"]


async def test_release_gives_back_once_and_a_closed_hold_stays_closed(desk: Desk) -> None:
    hold = desk.hold(400, "k1")
    void = Void(hold.hold_id, authority=desk.authority, of_principal_id=desk.agent_id)
    extend = Extend(hold.hold_id, 60, desk.authority, desk.agent_id)
    assert results(await desk.write(hold, void, void, extend)) == ["ok", "ok", "replayed", "conflict"]
    assert results(await desk.write(desk.capture(hold.hold_id, 1, "c1"))) == ["conflict"]
    assert await desk.credit() == (1000, 0)


async def test_extending_moves_the_end_of_a_hold(desk: Desk) -> None:
    hold = desk.hold(400, "k1")
    (held, extended) = await desk.write(hold, Extend(hold.hold_id, 7200, desk.authority, desk.agent_id))
    assert held.hold is not None
    assert extended.hold is not None
    ends = [shown.expires_at for shown in (held.hold, extended.hold)]
    assert timedelta(minutes=59) < ends[1] - ends[0] < timedelta(minutes=61)


async def only_row(connection: Connection, statement: str, values: Mapping[str, Any]) -> dict[str, Any]:
    row = await (await connection.execute(statement, values)).fetchone()
    assert row is not None
    return row


async def test_a_group_of_several_tenants_is_one_commit_in_which_each_stands_for_itself(pool: Pool) -> None:
    desks = sorted([await Desk(pool, ids.new_uuid()).open() for _ in range(3)], key=lambda desk: desk.tenant_id)
    slices = [(desk.tenant_id, [desk.hold(600, "k1"), desk.hold(600, "k2")]) for desk in desks]
    # So long a word breaks a check of the table.
    broken = replace(slices[1][1][0], gate=Gate(desks[1].agent_id, "usd", feature="x" * 256))
    slices[1] = (slices[1][0], [broken, slices[1][1][1]])
    async with transaction(pool, desks[0].tenant_id) as connection:
        answers = await door.write_group(partial(only_row, connection), slices)
    assert [results(outcomes) for outcomes in answers] == [
        ["ok", "insufficient"],
        ["error", "ok"],
        ["ok", "insufficient"],
    ]
    assert [await desk.credit() for desk in desks] == [(1000, 600)] * 3


async def test_a_group_leaves_no_tenant_behind_in_its_transaction(desk: Desk) -> None:
    async with transaction(desk.pool, desk.tenant_id) as connection:
        await door.write_group(partial(only_row, connection), [(desk.tenant_id, [desk.hold(1, "k1")])])
        row = await (await connection.execute("select current_setting('app.tenant') as tenant")).fetchone()
    assert row == {"tenant": ""}


async def results_at_a_payments_hold(desk: Desk) -> list[str]:
    """What requests that name no payment, or another one, are told: each in its own sheet, then beside the hold."""
    hold = replace(desk.hold(400, "k1"), payment_id=ids.new_uuid(), gate=None, key=None)
    requests = [
        Void(hold.hold_id, authority=desk.authority),
        Void(hold.hold_id, ids.new_uuid()),
        replace(desk.capture(hold.hold_id, 1, "c1"), of_principal_id=None),
        Extend(hold.hold_id, 60, desk.authority),
    ]
    told = []
    async with transaction(desk.pool, desk.tenant_id) as connection:
        await door.write(connection, [hold])
        for request in requests:
            told += results(await door.write(connection, [request]))
        # There is no such payment, so that none of this may be committed.
        await connection.execute("rollback")
    async with transaction(desk.pool, desk.tenant_id) as connection:
        told += results(await door.write(connection, [hold, *requests]))[1:]
        await connection.execute("rollback")
    return told


async def test_a_request_touches_no_hold_of_another_payment(desk: Desk) -> None:
    assert await results_at_a_payments_hold(desk) == ["invalid"] * 8
    assert await desk.credit() == (1000, 0)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("ledger_decide", "is distinct from v_payments[v_place]", "is distinct from p_state.hold_payment[v_place]"),
        ("ledger_is_foreign", "payment_id is distinct from", "false and payment_id is distinct from"),
    ],
)
async def test_broken_twin_without_the_look_at_its_payment_a_hold_is_anybodys(
    desk: Desk, database: Database, name: str, right: str, wrong: str
) -> None:
    replace_in(database, name, right, wrong)
    assert "ok" in await results_at_a_payments_hold(desk)


async def test_what_is_held_is_not_there_for_a_requested_booking(desk: Desk) -> None:
    """A top-up that is taken back leaves holds alone."""
    await desk.write(desk.hold(400, "k1"))
    back = Movement(CREDIT, chart.bank("default", "usd"), 601)
    refused, done = await desk.write(
        Book("top_up:1", "reversal", [back], fact=False),
        Book("top_up:1", "reversal", [replace(back, amount_minor=600)], fact=False),
    )
    assert (refused.result, refused.accounts, done.result) == ("insufficient", CREDIT.code, "ok")
    assert await desk.credit() == (400, 400)
