"""R26: an approval is of one exact action, for a while, by somebody else, once. Nothing else is ever paid.

Each attack starts from a payout of 6.00 to Ann that was approved or waits for it. What really left the provider is held
against what was approved; the twin at the end shows that this judge would see a breach.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from paywarden.flow import review, submit
from paywarden.flow.ask import Ask
from paywarden.flow.desk import Actor
from paywarden.flow.review import Given
from paywarden.guardrails.cedar import PolicySet
from paywarden.kit import ids
from paywarden.kit.errors import ForbiddenError, ReviewConflictError
from paywarden.payments import rows
from paywarden.payments.rows import Payment
from paywarden.reviews import reviews
from tests.flow.conftest import *  # noqa: F403  the stage's fixtures
from tests.flow.world import World, all_of, reference_of
from tests.unit.guarded import SCHEMA, TEXT

pytestmark = pytest.mark.shared_sandbox
CLAIM = Ask("payout", 600, "usd", payee="iban-of-ann", purpose="claims", reference="CLM-1")
YES = Given("approve", "seen")
TWO_PEOPLE = """
@id("payout_two_people")
forbid (principal, action == Action::"payout", resource)
when { context.autonomy == "reviewed" }
unless { context.person_approvals >= 2 };
"""
Attack = Callable[[World, Actor, Payment], Awaitable[None]]


async def approve(world: World, who: Actor, payment: Payment, *, send: bool = True) -> Payment:
    """Give the approval; unless ``send``, the process that took it does nothing more."""
    stage = world.stage if send else world.stage.with_settings(answer_timeout_seconds=-1.0)
    return (await review.give_verdict(stage.desk, who, await world.review_of(payment), YES))[1]


async def refused(*calls: Any) -> None:
    for answer in await all_of(*calls):
        assert isinstance(answer, ForbiddenError | ReviewConflictError), answer


def edit(**columns: str) -> Attack:
    """Somebody who owns the database changes the payment between its approval and its sending."""

    async def attack(world: World, finance: Actor, payment: Payment) -> None:
        await approve(world, finance, payment, send=False)
        for column, value in columns.items():
            world.edit(f"update paywarden.payments set {column} = %s where id = %s", value, payment.id)

    return attack


async def edit_and_sign(world: World, finance: Actor, payment: Payment) -> None:
    """The same, and the digest made to fit."""
    await approve(world, finance, payment, send=False)
    forged = rows.action_digest(payment.tenant_id, structs.replace(payment, amount_minor=6_000))
    world.edit(
        "update paywarden.payments set amount_minor = 6000, action_digest = %s where id = %s", forged, payment.id
    )


async def edit_before(world: World, finance: Actor, payment: Payment) -> None:
    world.edit("update paywarden.payments set payee = 'iban-of-eve' where id = %s", payment.id)
    await refused(approve(world, finance, payment))


async def replay(world: World, finance: Actor, payment: Payment) -> None:
    """The approval of this payment, written beside another one, too."""
    await approve(world, finance, payment, send=False)
    other = (await world.stage.ask(structs.replace(CLAIM, payee="iban-of-eve", reference="CLM-2"))).payment
    world.edit(
        "insert into paywarden.verdicts select (jsonb_populate_record(given, jsonb_build_object('id', %s::text,"
        " 'payment_id', %s::text, 'review_id', %s::text))).* from paywarden.verdicts as given",
        str(ids.new_uuid()), str(other.id), str(await world.review_of(other)),
    )  # fmt: skip
    world.edit(
        "update paywarden.payments set status = 'pending', next_step_at = paywarden.clock() where id = %s", other.id
    )


async def expire(world: World, finance: Actor, payment: Payment) -> None:
    await approve(world, finance, payment, send=False)
    world.clock.advance(world.stage.desk.settings.review_seconds + 1)


async def approve_own(world: World, _: Actor, payment: Payment) -> None:
    world.edit("update paywarden.principals set roles = '{initiate,review}', kind = 'person' where id = %s",
               world.stage.agent.principal.id)  # fmt: skip
    await refused(approve(world, world.stage.agent, payment))


async def approve_twice(world: World, finance: Actor, payment: Payment) -> None:
    """Where two people are asked for, one gives both approvals."""
    world.stage.desk = replace(world.stage.desk, policies=PolicySet("two", TEXT + TWO_PEOPLE, SCHEMA))
    await approve(world, finance, payment)
    await refused(approve(world, finance, payment))


ATTACKS: dict[str, Attack] = {
    "amount x10": edit(amount_minor="6000"),
    "another payee": edit(payee="iban-of-eve"),
    "amount x10, digest recomputed": edit_and_sign,
    "edited before the verdict": edit_before,
    "replayed": replay,
    "expired": expire,
    "self-approved": approve_own,
    "the same person twice": approve_twice,
}


async def breaches(world: World) -> list[str]:
    """What the provider paid that nobody else approved to the cent and the payee, and what it paid twice."""
    approved = world.sql(
        "select payment.id, verdict.action_digest from paywarden.verdicts as verdict join paywarden.payments as payment"
        " on payment.id = verdict.payment_id and payment.principal_id <> verdict.reviewer_id"
        " where verdict.verdict = 'approve'"
    )
    book, found = await world.book(), []
    for paid in book["payouts"]:
        payment = await world.stage.find(ids.parse("pay", reference_of(paid)))
        sent = structs.replace(payment, amount_minor=paid["amount"], payee=paid["payee"])
        digest = rows.action_digest(payment.tenant_id, sent)
        if (payment.id, digest) not in [(row["id"], bytes(row["action_digest"])) for row in approved]:
            found.append(f"{paid['amount']} to {paid['payee']} was never approved")
    return found + [f"{reference} was paid {times} times" for reference, times in book["paid_out"].items() if times > 1]


@pytest.fixture
async def finance(world: World) -> Actor:
    await world.mandate(world.stage.admin, world.stage.agent, name="claims", kinds=("payout",))
    await world.settle(await world.stage.charge(10_000, customer_id="ann", purpose="premium"))
    return await world.reviewer("finance")


async def asked(world: World) -> Payment:
    return (await world.stage.ask(CLAIM)).payment


async def end(world: World) -> None:
    """The workers do what they find."""
    for _ in range(5):
        await world.advance(7)
        await world.work()


@pytest.mark.parametrize("attack", ATTACKS)
async def test_nothing_but_the_approved_action_is_ever_executed(world: World, finance: Actor, attack: str) -> None:
    await ATTACKS[attack](world, finance, await asked(world))
    await end(world)
    assert await breaches(world) == []
    of_eve = [paid for paid in (await world.book())["payouts"] if paid["payee"] != "iban-of-ann"]
    assert of_eve == []
    assert sum((await world.book())["paid_out"].values()) == (attack == "replayed")


async def test_ten_clicks_of_two_people_at_once_are_one_payout(world: World, finance: Actor) -> None:
    payment, other = await asked(world), await world.reviewer("other")
    review_id = await world.review_of(payment)
    clicks = await all_of(
        *(review.give_verdict(world.stage.desk, who, review_id, YES) for who in (finance, other) for _ in range(5))
    )
    assert [isinstance(click, ReviewConflictError) for click in clicks].count(False) == 1
    await end(world)
    assert await breaches(world) == []
    assert (await world.book())["paid_out"] == {payment.public_id: 1}


@pytest.mark.parametrize("attack", ["amount x10", "another payee", "amount x10, digest recomputed", "replayed"])
async def test_a_desk_that_does_not_look_again_is_caught(
    world: World, finance: Actor, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    """The broken twin: any approval counts, nobody looks again before it is sent, the database has no say."""

    async def never(*_: Any) -> bool:
        return False

    async def any_approval(connection: Any, payment_id: UUID, _: bytes) -> list[dict[str, Any]]:
        query = "select reviewer_id, 'person' as reviewer_kind, 'review' as role from paywarden.verdicts"
        return list(await (await connection.execute(f"{query} where payment_id = %s", [payment_id])).fetchall())

    monkeypatch.setattr(submit, "_refused", never)
    monkeypatch.setattr(reviews, "standing_approvals", any_approval)
    world.sql("drop trigger approved_by_another on paywarden.payments")
    world.sql("drop trigger approved_by_another on paywarden.holds")
    await ATTACKS[attack](world, finance, await asked(world))
    await end(world)
    assert await breaches(world)
