"""Time at the gate: looking at holds, giving them more time, and giving back what nobody captured."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from paywarden.flow import access, credit, hold, hold_list, lapse, recovery
from paywarden.flow.desk import Actor
from paywarden.flow.words import IdempotentRequest, NewTopUp
from paywarden.kit.canonical import digest
from paywarden.kit.errors import ForbiddenError, HoldExpiredError, InvalidFieldError, NotFoundError, StateConflictError
from paywarden.ledger import gates as ledger_gates
from tests.flow import gates
from tests.flow.world import World

pytestmark = pytest.mark.shared_sandbox
HOUR = 3600


@pytest.fixture
async def funded(world: World) -> World:
    """Two customers with 10.00 of granted credit each."""
    for customer in ("cust_1", "cust_2"):
        new = NewTopUp(customer, 1_000, "usd", "granted")
        await credit.top_up(world.stage.desk, world.stage.admin, new, IdempotentRequest(customer, digest([customer])))
    return world


async def held(world: World, amount_minor: int = 100, customer: str = "cust_1", **more: Any) -> UUID:
    return await gates.hold(world.stage.desk, world.stage.agent, customer, amount_minor, **more)


async def status(world: World, hold_id: UUID) -> str:
    return (await hold_list.find(world.stage.desk, world.stage.agent, hold_id)).status


async def test_a_lapsed_hold_goes_back_and_one_in_its_time_stays(funded: World) -> None:
    soon, later = await held(funded, 100, expires_in_seconds=60), await held(funded, 300)
    await funded.work()
    assert [await status(funded, each) for each in (soon, later)] == ["pending", "pending"]
    funded.clock.advance(61)
    assert await recovery.run_once(funded.stage.desk) == 1
    assert [await status(funded, each) for each in (soon, later)] == ["expired", "pending"]
    assert funded.account("credit/cust_1") == (1_000, 300)
    assert await recovery.run_once(funded.stage.desk) == 0
    assert await funded.stage.broken_invariants() == {}


async def test_more_lapsed_holds_than_a_group_of_several_tenants_all_go_back(funded: World) -> None:
    other = await funded.other_tenant()
    new = NewTopUp("cust_9", 1_000, "usd", "granted")
    await credit.top_up(funded.stage.desk, other, new, IdempotentRequest("k", digest(["k"])))
    await gates.hold(funded.stage.desk, other, "cust_9", 50, expires_in_seconds=1)
    for _ in range(130):
        await held(funded, 2, expires_in_seconds=1)
    funded.clock.advance(2)
    await funded.work()
    assert funded.held() == 0
    assert funded.one("select count(*) from paywarden.holds where status = 'expired'") == 131


async def test_an_expired_hold_is_still_captured_while_its_funds_are_free(funded: World) -> None:
    early = await held(funded, 400, expires_in_seconds=1)
    funded.clock.advance(2)
    await funded.work()
    await gates.capture(funded.stage.desk, funded.stage.agent, early, 150)
    assert await status(funded, early) == "captured"
    assert funded.account("credit/cust_1") == (850, 0)
    assert await funded.stage.broken_invariants() == {}


async def test_a_hold_that_is_given_time_in_the_last_moment_stays(
    funded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look saw it lapsed; before the locks came it was extended, and it is not the only one of its group."""
    lapsed, extended = await held(funded, 100, expires_in_seconds=1), await held(funded, 300, expires_in_seconds=1)
    funded.clock.advance(2)
    await hold.extend(funded.stage.desk, funded.stage.agent, extended, HOUR)
    real = ledger_gates.lapsed

    async def as_seen_before(*_: Any) -> list[UUID]:
        return [lapsed, extended]

    monkeypatch.setattr(ledger_gates, "lapsed", as_seen_before)
    await lapse.expire_holds(funded.stage.desk, funded.stage.agent.tenant_id, funded.stage.agent.tenant_id)
    assert [await status(funded, each) for each in (lapsed, extended)] == ["pending", "pending"]
    monkeypatch.setattr(ledger_gates, "lapsed", real)
    await funded.work()
    assert [await status(funded, each) for each in (lapsed, extended)] == ["expired", "pending"]


async def test_captures_and_the_sweep_at_the_same_time_agree(funded: World) -> None:
    """Whoever comes first: nothing is given back twice, nothing is taken that was not there."""
    holds = [await held(funded, 50, expires_in_seconds=1) for _ in range(10)]
    funded.clock.advance(2)
    await asyncio.gather(
        *(gates.capture(funded.stage.desk, funded.stage.agent, each, 20) for each in holds), funded.work()
    )
    assert funded.account("credit/cust_1") == (800, 0)
    assert {await status(funded, each) for each in holds} == {"captured"}
    assert await funded.stage.broken_invariants() == {}


async def test_who_may_extend_and_what_cannot_be_extended(funded: World) -> None:
    desk, owner = funded.stage.desk, funded.stage.agent
    hold_id = await held(funded)
    before = (await hold_list.find(desk, owner, hold_id)).expires_at
    after = (await hold.extend(desk, owner, hold_id, 2 * HOUR)).expires_at
    assert 3_500 < (after - before).total_seconds() < 3_700
    other = Actor(await access.create_agent(desk, funded.stage.admin, "agent", "other", ["initiate"]))
    with pytest.raises(NotFoundError):
        await hold.extend(desk, other, hold_id, HOUR)
    looker = Actor(await access.create_agent(desk, funded.stage.admin, "agent", "looker", ["review"]))
    with pytest.raises(ForbiddenError):
        await hold.extend(desk, looker, hold_id, HOUR)
    # Whoever settles may extend anybody's.
    assert (await hold.extend(desk, funded.stage.admin, hold_id, HOUR)).status == "pending"
    for wrong in (0, 30 * 86_400 + 1):
        with pytest.raises(InvalidFieldError):
            await hold.extend(desk, owner, hold_id, wrong)
    await gates.capture(desk, owner, hold_id, 10)
    with pytest.raises(StateConflictError, match="captured already"):
        await hold.extend(desk, owner, hold_id, HOUR)


async def test_what_has_expired_is_not_extended(funded: World) -> None:
    hold_id = await held(funded, expires_in_seconds=1)
    funded.clock.advance(2)
    await funded.work()
    with pytest.raises(HoldExpiredError):
        await hold.extend(funded.stage.desk, funded.stage.agent, hold_id, HOUR)
    assert funded.held() == 0


async def test_holds_are_listed_newest_first_by_customer_and_status(funded: World) -> None:
    first, second = await held(funded), await held(funded, customer="cust_2")
    third = await held(funded)
    await gates.capture(funded.stage.desk, funded.stage.agent, third, 5)
    await funded.stage.charge(500)

    async def listed(**filters: Any) -> list[UUID]:
        found = await hold_list.page(funded.stage.desk, funded.stage.agent, **{"limit": 10, **filters})
        return [each.id for each in found]

    assert await listed() == [third, second, first]
    assert await listed(limit=1, after=third) == [second]
    assert await listed(customer_id="cust_1") == [third, first]
    assert await listed(status="captured") == [third]
    assert await listed(status="pending", customer_id="cust_1") == [first]


async def test_neither_a_stranger_nor_a_payments_hold_is_found(funded: World) -> None:
    hold_id = await held(funded)
    stranger = await funded.other_tenant()
    payment = await funded.stage.charge(500)
    assert payment.hold_id is not None
    looks: list[Callable[[], Any]] = [
        lambda: hold_list.find(funded.stage.desk, stranger, hold_id),
        lambda: hold_list.find(funded.stage.desk, funded.stage.agent, payment.hold_id),
        lambda: hold.extend(funded.stage.desk, stranger, hold_id, HOUR),
        lambda: hold.extend(funded.stage.desk, funded.stage.admin, payment.hold_id, HOUR),
    ]
    for look in looks:
        with pytest.raises(NotFoundError):
            await look()
    assert await hold_list.page(funded.stage.desk, stranger, limit=10) == []
