"""Reviews as tasks: claimed with a lease and a number, several approvals one after another, people's labels."""

import asyncio
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from msgspec import structs

from paywarden.flow import review, task
from paywarden.flow.ask import Ask
from paywarden.flow.desk import Actor
from paywarden.flow.review import Given
from paywarden.guardrails.cedar import PolicySet
from paywarden.kit import ids
from paywarden.kit.errors import ForbiddenError, NotFoundError, ReviewConflictError
from paywarden.kit.states import Status
from paywarden.ledger import door
from paywarden.ledger.intents import Authority, Reserve
from paywarden.payments.rows import Payment
from tests.flow.world import World, all_of
from tests.unit.guarded import SCHEMA, TEXT

pytestmark = pytest.mark.shared_sandbox

YES = Given("approve", "looked at it")
RISK_THEN_TWO_PEOPLE = """
@id("large_charge")
forbid (principal, action == Action::"charge", resource)
when { context.autonomy == "autonomous" && context.amount_minor >= 1000 };
@id("large_charge_not_approved")
forbid (principal, action == Action::"charge", resource)
when { context.autonomy == "reviewed" && context.amount_minor >= 1000 }
unless { context.approved_roles.contains("risk") && context.person_approvals >= 2 };
"""


async def waiting(world: World, customer: str = "c") -> Payment:
    """A suspected duplicate that waits for a person."""
    wanted = Ask("charge", 500, "usd", customer_id=customer)
    await world.stage.ask(wanted, key=None)
    return (await world.stage.ask(wanted, key=None)).payment


async def people(world: World, number: int = 2, roles: tuple[str, ...] = ("review",)) -> list[Actor]:
    return [await world.reviewer(f"{roles[0]}-{each}", roles=roles) for each in range(number)]


async def give(world: World, who: Actor, review_id: Any, given: Given = YES) -> Payment:
    return (await review.give_verdict(world.stage.desk, who, review_id, given))[1]


def strict(world: World) -> None:
    """From now on a large charge needs a risk agent and two people."""
    text = TEXT + RISK_THEN_TWO_PEOPLE
    world.stage.desk = replace(world.stage.desk, policies=PolicySet("strict", text, SCHEMA))


async def test_a_claim_keeps_others_out_until_it_runs_out(world: World) -> None:
    desk, review_id = world.stage.desk, await world.review_of(await waiting(world))
    one, other = await people(world)
    (claimed, _) = await task.claim(desk, one, review_id)
    assert (claimed.claimed_by, claimed.fence, claimed.claimed) == (one.principal.id, 1, True)
    with pytest.raises(ReviewConflictError, match="Somebody else"):
        await task.claim(desk, other, review_id)
    with pytest.raises(ReviewConflictError, match="Somebody else"):
        await give(world, other, review_id)
    await world.advance(desk.settings.review_lease_seconds + 1)
    assert (await task.claim(desk, other, review_id))[0].fence == 2
    for fence in (1, 2, 3):
        with pytest.raises(ReviewConflictError):
            await give(world, one, review_id, replace(YES, fence=fence))
    assert (await give(world, other, review_id, replace(YES, fence=2))).oversight == "reviewed"


async def test_a_heartbeat_keeps_a_claim_and_only_the_newest(world: World) -> None:
    desk, review_id = world.stage.desk, await world.review_of(await waiting(world))
    one, other = await people(world)
    lease = desk.settings.review_lease_seconds
    fence = (await task.claim(desk, one, review_id))[0].fence
    for _ in range(3):
        await world.advance(lease - 1)
        assert (await task.heartbeat(desk, one, review_id, fence))[0].claimed
    fresh = (await task.claim(desk, one, review_id))[0].fence
    with pytest.raises(ReviewConflictError, match="claim the review again"):
        await task.heartbeat(desk, one, review_id, fence)
    with pytest.raises(ReviewConflictError):
        await task.heartbeat(desk, other, review_id, fresh)
    await world.advance(lease + 1)
    with pytest.raises(ReviewConflictError):
        await task.heartbeat(desk, one, review_id, fresh)
    with pytest.raises(ReviewConflictError, match="claim the review again"):
        await give(world, one, review_id, replace(YES, fence=fresh))
    assert (await give(world, one, review_id)).oversight == "reviewed"


async def test_what_is_released_is_anybodys_at_once(world: World) -> None:
    desk, review_id = world.stage.desk, await world.review_of(await waiting(world))
    one, other = await people(world)
    fence = (await task.claim(desk, one, review_id))[0].fence
    with pytest.raises(ReviewConflictError):
        await task.release(desk, other, review_id, fence)
    assert not (await task.release(desk, one, review_id, fence))[0].claimed
    assert (await task.claim(desk, other, review_id))[0].fence == fence + 1


async def test_of_many_who_claim_at_once_one_gets_it(world: World) -> None:
    desk, review_id = world.stage.desk, await world.review_of(await waiting(world))
    done = await all_of(*(task.claim(desk, who, review_id) for who in await people(world, 6)))
    assert sum(isinstance(each, ReviewConflictError) for each in done) == 5


async def test_who_could_not_decide_cannot_claim(world: World) -> None:
    desk, review_id = world.stage.desk, await world.review_of(await waiting(world))
    (settler,) = await people(world, 1, ("settle",))
    bot = await world.reviewer("bot", "agent")
    for who in (settler, bot, world.stage.agent):
        with pytest.raises(ForbiddenError):
            await task.claim(desk, who, review_id)
    stranger = await world.other_tenant()
    for change in (task.claim(desk, stranger, review_id), task.heartbeat(desk, stranger, review_id, 1)):
        with pytest.raises(NotFoundError):
            await change
    (reviewer,) = await people(world, 1)
    await give(world, reviewer, review_id, Given("reject", "no"))
    with pytest.raises(ReviewConflictError, match="rejected"):
        await task.claim(desk, reviewer, review_id)


async def test_several_approvals_are_collected_one_after_another(world: World) -> None:
    strict(world)
    payment = await world.stage.charge(5_000)
    risk = await world.reviewer("risk-bot", "agent", ("risk",))
    one, other = await people(world)
    assert payment.status is Status.IN_REVIEW
    waited = []
    for who in (risk, one, other):
        row = world.sql("select * from paywarden.reviews where payment_id = %s and status = 'open'", payment.id)[0]
        waited.append((row["required_role"], row["reviewer_kind"]))
        assert world.held() == 0
        payment = await give(world, who, row["id"])
    assert waited == [("risk", "any"), ("review", "person"), ("review", "person")]
    assert payment.oversight == "reviewed"
    assert {row["status"] for row in world.sql("select status from paywarden.reviews")} == {"approved"}
    await world.check_books(await world.settle(payment), charged=1)


async def test_the_same_person_is_never_two(world: World) -> None:
    strict(world)
    payment = await world.stage.charge(5_000)
    risk = await world.reviewer("risk-bot", "agent", ("risk",))
    (one,) = await people(world, 1)
    await give(world, risk, await world.review_of(payment))
    await give(world, one, await world.review_of(payment))
    second = await world.review_of(payment)
    with pytest.raises(ReviewConflictError, match="somebody else's"):
        await give(world, one, second)
    assert (await world.stage.find(payment.id)).status is Status.IN_REVIEW


async def test_a_person_in_the_role_is_one_of_the_two_people(world: World) -> None:
    strict(world)
    payment = await world.stage.charge(5_000)
    (risk,) = await people(world, 1, ("risk",))
    (one,) = await people(world, 1)
    await give(world, risk, await world.review_of(payment))
    assert (await give(world, one, await world.review_of(payment))).oversight == "reviewed"


async def test_a_reject_by_the_second_ends_it(world: World) -> None:
    strict(world)
    payment = await world.stage.charge(5_000)
    (risk,) = await people(world, 1, ("risk",))
    (one,) = await people(world, 1)
    await give(world, risk, await world.review_of(payment))
    denied = await give(world, one, await world.review_of(payment), Given("reject", "too much"))
    assert (denied.status, denied.reason, world.held()) == (Status.DENIED, "rejected: too much", 0)


async def test_what_a_person_decided_beside_the_advice_is_kept(world: World) -> None:
    charge = await world.double_charge("cust_1", 900)
    wanted = structs.replace(world.refund_of(charge, 900), request_text="I do not recognise this payment")
    payment = (await world.stage.ask(wanted)).payment
    assert payment.status is Status.IN_REVIEW
    (one,) = await people(world, 1)
    await give(world, one, await world.review_of(payment), Given("approve", "I called them"))
    (label,) = world.sql("select * from paywarden.decision_labels")
    assert (label["advised"], label["decided"], label["reason"]) == ("escalate", "approve", "I called them")
    assert label["reviewer_id"] == one.principal.id


async def as_app(world: World, *statements: str, **values: Any) -> None:
    async with review.transaction(world.stage.desk.pool, world.stage.agent.tenant_id) as connection:
        for statement in statements:
            await connection.execute(statement, values)


@pytest.mark.parametrize("status", ["reserved", "submitting", "outcome_unknown"])
@pytest.mark.parametrize("oversight", ["reviewed", "autonomous", "advised"])
@pytest.mark.parametrize("detour", ["in_review", "canceled", "pending"])
async def test_the_app_role_cannot_send_what_nobody_else_approved(
    world: World, oversight: str, status: str, detour: str
) -> None:
    """Whatever word it writes about the oversight, and by whatever way: the database remembers the review."""
    payment = await waiting(world)
    with pytest.raises(psycopg.errors.CheckViolation, match="nobody else"):
        await as_app(
            world,
            "update paywarden.payments set status = %(detour)s, next_step_at = null where id = %(payment)s",
            "update paywarden.payments set oversight = %(oversight)s, status = %(status)s where id = %(payment)s",
            detour=detour,
            oversight=oversight,
            status=status,
            payment=payment.id,
        )


@pytest.mark.parametrize("detour", ["in_review", "canceled"])
async def test_the_ledgers_door_holds_nothing_for_what_nobody_else_approved(world: World, detour: str) -> None:
    payment = await waiting(world)
    version = world.one("select authority_version from paywarden.tenants where id = %s", payment.tenant_id)
    reserve = Reserve(
        ids.new_uuid(), payment.id, Authority(payment.principal_id, version), payment.amount_minor, [], []
    )
    forget = "update paywarden.payments set oversight = 'autonomous', status = %(detour)s where id = %(payment)s"
    await as_app(world, forget, payment=payment.id, detour=detour)

    async def knock() -> None:
        async with review.transaction(world.stage.desk.pool, payment.tenant_id) as connection:
            await door.write(connection, [reserve])

    with pytest.raises(psycopg.errors.CheckViolation, match="nobody else"):
        await knock()
    assert world.one("select count(*) from paywarden.holds where payment_id = %s", payment.id) == 0


async def test_the_app_role_cannot_make_a_payment_forget_its_review(world: World) -> None:
    payment = await waiting(world)
    with pytest.raises(psycopg.errors.CheckViolation, match="does not forget"):
        await as_app(
            world, "update paywarden.payments set review_opened = false where id = %(payment)s", payment=payment.id
        )
    assert world.one("select review_opened from paywarden.payments where id = %s", payment.id)


@pytest.mark.parametrize("lack", ["role", "kind", "suspended", "closed", "expired"])
async def test_the_app_role_cannot_give_a_verdict_that_is_not_somebodys(world: World, lack: str) -> None:
    payment = await waiting(world)
    review_id = await world.review_of(payment)
    who = await world.reviewer(
        "r", "agent" if lack == "kind" else "person", ("settle" if lack == "role" else "review",)
    )
    if lack == "suspended":
        world.edit("update paywarden.principals set status = 'suspended' where id = %s", who.principal.id)
    if lack == "closed":
        world.edit("update paywarden.reviews set status = 'canceled' where id = %s", review_id)
    if lack == "expired":
        await world.advance(world.stage.desk.settings.review_seconds + 1)
    verdict = (
        "insert into paywarden.verdicts (tenant_id, id, review_id, payment_id, initiator_id, reviewer_id, verdict,"
        " action_digest, reason) select tenant_id, %(id)s, id, payment_id, initiator_id, %(who)s, 'approve',"
        " action_digest, 'x' from paywarden.reviews where id = %(review)s"
    )
    with pytest.raises(psycopg.errors.CheckViolation):
        await as_app(world, verdict, id=ids.new_uuid(), who=who.principal.id, review=review_id)


async def test_waiting_ends_as_soon_as_there_is_something(world: World) -> None:
    desk, found = world.stage.desk, []
    (one,) = await people(world, 1)

    async def look() -> bool:
        found[:] = await review.list_reviews(desk, one, "open", 10, role="review", unclaimed=True)
        return bool(found)

    waits = asyncio.create_task(task.wait_for(desk, look, 25))
    payment = await waiting(world)
    async with asyncio.timeout(20):
        await waits
    assert [each.payment_id for each, _ in found] == [payment.id]
    await task.claim(desk, one, found[0][0].id)
    await task.wait_for(desk, look, 0)
    assert found == []


async def test_waiting_ends_when_the_process_shall_end(world: World) -> None:
    desk = world.stage.desk

    async def look() -> bool:
        desk.stopping.set()
        return False

    async with asyncio.timeout(20):
        await task.wait_for(desk, look, 25)
