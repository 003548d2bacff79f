"""Recovery: whoever dies, wherever, leaves a row that says what to do next.

The enumerated crash test: a journey is walked again and again, and each time the process dies one transaction later,
once before the commit (also: after the provider has answered) and once just after it (also: before the next call). Then
a client asks again with the same key, a worker finds what is due, and both books must agree.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from paywarden.flow import advance, review, settle
from paywarden.flow.ask import Ask
from paywarden.flow.review import Given
from paywarden.kit.errors import InvalidFieldError, NotFoundError, ReviewConflictError
from paywarden.kit.states import Status
from paywarden.payments.rows import Payment
from tests.flow.world import Death, Reaper, World, event

pytestmark = pytest.mark.shared_sandbox

Journey = Callable[[str, Any], Awaitable[Payment]]
Prepare = Callable[[str], Awaitable[Any]]
_MOST_COMMITS = 40


async def nothing(_: str) -> None:
    return None


async def die_everywhere(
    world: World, reaper: Reaper, journey: Journey, prepare: Prepare = nothing
) -> tuple[list[Payment], int]:
    """Walk ``journey(name, prepared)`` with a death at every commit, on both sides of it; then walk it again, whole.

    Returns the payments of all walks, settled, and how many of them died.
    """
    walked, deaths = [], 0
    for before_commit in (True, False):
        for number in range(1, _MOST_COMMITS):
            name = f"{'before' if before_commit else 'after'}-{number}"
            prepared = await prepare(name)
            reaper.strike_at(number, before_commit=before_commit)
            with contextlib.suppress(Death):
                await journey(name, prepared)
            died = reaper.rest()
            if died:
                await world.advance(60)
            walked.append(await journey(name, prepared))
            if not died:
                break
            deaths += 1
        else:
            raise AssertionError("the journey does not end")
    return await world.settle(*walked), deaths


async def test_a_charge_survives_a_death_at_every_commit(world: World, reaper: Reaper) -> None:
    async def charge(name: str, _: None) -> Payment:
        return (await world.stage.ask(Ask("charge", 700, "usd", customer_id=name), name)).payment

    settled, deaths = await die_everywhere(world, reaper, charge)
    assert deaths >= 12
    assert {payment.status for payment in settled} == {Status.SUCCEEDED}
    await world.check_books(settled, charged=len(settled))
    assert world.held() == 0


async def test_an_advised_refund_survives_a_death_at_every_commit(world: World, reaper: Reaper) -> None:
    async def paid(name: str) -> Payment:
        return await world.double_charge(name, 900)

    async def refund(name: str, charge: Payment) -> Payment:
        return (await world.stage.ask(world.refund_of(charge, 900), name)).payment

    settled, deaths = await die_everywhere(world, reaper, refund, paid)
    assert deaths >= 16
    assert {(payment.status, payment.oversight) for payment in settled} == {(Status.SUCCEEDED, "advised")}
    for payment in settled:
        assert payment.original_payment_id is not None
        original = await world.stage.find(payment.original_payment_id)
        assert (original.refunded_minor, original.refund_reserved_minor) == (900, 0)
    await world.check_books(settled, charged=2 * len(settled))
    assert world.held() == 0


async def test_create_and_confirm_survive_a_death_at_every_commit(world: World, reaper: Reaper) -> None:
    async def create_and_confirm(name: str, _: None) -> Payment:
        wanted = Ask("charge", 700, "usd", customer_id=name, origin="create", confirm=False)
        payment = (await world.stage.ask(wanted, name)).payment
        (payment,) = await world.settle(payment)
        if payment.status is Status.REQUIRES_ACTION:
            await settle.confirm(world.stage.desk, world.stage.agent, payment.id)
        return payment

    settled, deaths = await die_everywhere(world, reaper, create_and_confirm)
    assert deaths >= 20
    assert {payment.quickstart_status for payment in settled} == {"paid"}
    await world.check_books(settled, charged=len(settled))


@pytest.mark.parametrize("verdict", ["approve", "reject"])
async def test_a_verdict_survives_a_death_at_every_commit(world: World, reaper: Reaper, verdict: Any) -> None:
    reviewer = await world.reviewer()

    async def suspected(name: str) -> Payment:
        await world.stage.charge(800, key=None, customer_id=name)
        return await world.stage.charge(800, key=None, customer_id=name)

    async def give(_: str, payment: Payment) -> Payment:
        (review_id,) = (
            row["id"] for row in world.sql("select id from paywarden.reviews where payment_id = %s", payment.id)
        )
        with contextlib.suppress(ReviewConflictError):
            await review.give_verdict(world.stage.desk, reviewer, review_id, Given(verdict, "looked at it"))
        return payment

    settled, deaths = await die_everywhere(world, reaper, give, suspected)
    wanted = {"approve": (Status.SUCCEEDED, 2), "reject": (Status.DENIED, 1)}[verdict]
    assert deaths >= {"approve": 12, "reject": 4}[verdict]
    assert {payment.status for payment in settled} == {wanted[0]}
    assert world.one("select count(*) from paywarden.verdicts") == len(settled)
    assert world.one("select count(*) from paywarden.reviews where status = 'open'") == 0
    await world.work()
    await world.check_books(settled, charged=wanted[1] * len(settled))


@pytest.mark.parametrize("fault", ["drop_after_charge", "drop_before_charge", "error_500_after_charge"])
async def test_a_worker_that_dies_while_it_resolves_is_followed_by_another(
    world: World, reaper: Reaper, fault: str
) -> None:
    async def unknown(name: str) -> Payment:
        stage = world.stage.sending_only()
        await stage.sandbox.arm(fault, times=1, operation="submit")
        payment = await stage.charge(600, customer_id=name)
        await world.advance(60)
        return payment

    async def resolve(_: str, payment: Payment) -> Payment:
        for _ in range(10):
            now = await advance.step(world.stage.desk, payment.tenant_id, payment.id)
            if now is None or now.status in {Status.PROCESSING, Status.SUCCEEDED}:
                break
        return payment

    settled, deaths = await die_everywhere(world, reaper, resolve, unknown)
    assert deaths >= 8
    assert {payment.status for payment in settled} == {Status.SUCCEEDED}
    await world.check_books(settled, charged=len(settled))


async def test_an_event_survives_a_death_at_every_commit(world: World, reaper: Reaper) -> None:
    await world.stage.sandbox.change_settings(webhook_delay_seconds=3600)

    async def processing(name: str) -> Payment:
        return await world.stage.charge(500, customer_id=name)

    async def told(name: str, payment: Payment) -> Payment:
        await world.tell(event("payment.succeeded", payment.provider_payment_id or "", key=name))
        await world.work()
        return payment

    settled, deaths = await die_everywhere(world, reaper, told, processing)
    assert deaths >= 4
    assert {payment.status for payment in settled} == {Status.SUCCEEDED}
    assert set(world.inbox()) == {"applied"}
    assert await world.stage.broken_invariants() == {}


async def test_a_cancel_and_a_manual_settlement_survive_a_death_at_every_commit(world: World, reaper: Reaper) -> None:
    async def reserved(name: str) -> Payment:
        return await world.stage.charge(500, customer_id=None, bare=True, origin="reserve", agent_id=name)

    async def cancel(_: str, payment: Payment) -> Payment:
        return await settle.cancel(world.stage.desk, world.stage.agent, payment.id)

    async def pay(name: str, payment: Payment) -> Payment:
        with contextlib.suppress(NotFoundError):
            await settle.mark_paid(world.stage.desk, world.stage.agent, name, payment.id, "cash")
        return payment

    canceled, deaths = await die_everywhere(world, reaper, cancel, reserved)
    assert deaths >= 2
    assert {payment.status for payment in canceled} == {Status.CANCELED}
    assert world.held() == 0
    paid, deaths = await die_everywhere(world, reaper, pay, reserved)
    assert deaths >= 3
    assert {payment.quickstart_status for payment in paid} == {"paid"}
    assert world.account("authority_spent")[0] == 500 * len(paid)
    assert await world.stage.broken_invariants() == {}


async def reserve(world: World, **more: Any) -> Payment:
    wanted = Ask("charge", 700, "usd", origin="reserve", agent_id="a", bare=True, **more)
    return (await world.stage.ask(wanted)).payment


@pytest.mark.parametrize(("named", "seconds"), [({}, 30 * 86_400), ({"expires_in_seconds": 60}, 60)])
async def test_a_reservation_that_nobody_settles_gives_its_authority_back(
    world: World, named: dict[str, int], seconds: int
) -> None:
    payment = await reserve(world, **named)
    assert (payment.status, world.held()) == (Status.RESERVED, 700)
    await world.advance(seconds - 30)
    await world.work()
    assert ((await world.stage.find(payment.id)).status, world.held()) == (Status.RESERVED, 700)
    await world.advance(31)
    await world.work()
    assert ((await world.stage.find(payment.id)).status, world.held()) == (Status.EXPIRED, 0)
    assert world.one("select status from paywarden.holds") == "expired"
    with pytest.raises(NotFoundError, match="No payable job"):
        await settle.mark_paid(world.stage.desk, world.stage.admin, "a", payment.id, None)
    assert await world.stage.broken_invariants() == {}


@pytest.mark.parametrize("seconds", [0, -1, 365 * 86_400 + 1])
async def test_an_expiry_out_of_range_or_of_a_payment_is_refused_by_name(world: World, seconds: int) -> None:
    for wrong in (
        Ask("charge", 700, "usd", agent_id="a", bare=True, expires_in_seconds=seconds),
        Ask("charge", 700, "usd", customer_id="c", expires_in_seconds=60),
    ):
        with pytest.raises(InvalidFieldError) as refused:
            await world.stage.ask(wrong)
        assert refused.value.param == "expires_in_seconds"
    assert world.one("select count(*) from paywarden.payments") == 0
