"""Attest: past the key window two people who agree clear what nobody can know; the provider's truth still wins."""

from datetime import timedelta
from typing import Any, get_args

import psycopg
import pytest

from paywarden.flow import access, attest, facts, reconcile
from paywarden.flow.attest import Attested
from paywarden.flow.desk import Actor
from paywarden.kit.errors import ForbiddenError, InvalidFieldError, NotFoundError, StateConflictError
from paywarden.kit.states import FINAL, Status
from paywarden.payments.rows import Payment
from paywarden.providers.port import Unknown
from paywarden.reconciliation import attestations
from paywarden.reconciliation.attestations import Outcome, Word
from tests.flow.watched_provider import watch
from tests.flow.world import World, all_of, event

pytestmark = pytest.mark.shared_sandbox

DAY = 86_400
PAID = Word("succeeded", "support case 4711")
NOT_PAID = Word("failed", "support case 4711")


async def unknown(world: World, *, charged: bool = False, refund: bool = False, days: float = 2) -> Payment:
    """Sent once, never answered, and the provider's look-up finds nothing, for so many days."""
    wanted = world.refund_of(await world.double_charge("cust_1", 700), 700) if refund else None
    fault = "drop_after_charge" if charged else "drop_before_charge"
    await world.stage.sandbox.arm(fault, times=1, operation="refund" if refund else "submit")
    provider = watch(world.stage)
    looked_up: tuple[()] | Unknown = Unknown("down")

    async def look_up(*_: Any) -> tuple[()] | Unknown:
        return looked_up

    provider.fetch_by_reference = look_up  # type: ignore[method-assign]
    stage = world.stage.sending_only()
    payment = (await stage.ask(wanted)).payment if wanted else await stage.charge(700)
    for _ in range(50):
        if provider.sent:
            break
        await world.work(rounds=1)
        await world.advance(1)
    looked_up = ()
    await world.advance(days * DAY)
    if days > 1:
        await world.work()
    payment = await world.stage.find(payment.id)
    assert (payment.status, len(provider.sent)) == (Status.OUTCOME_UNKNOWN, 1)
    return payment


async def people(world: World, number: int = 2, kind: Any = "person", **more: Any) -> list[Actor]:
    return [await world.reviewer(f"{kind}-{each}", kind, more.get("roles", ("settle",))) for each in range(number)]


async def say(world: World, who: Actor, payment: Payment, word: Word = PAID) -> Attested:
    return await attest.attest(world.stage.desk, who, payment.id, word)


def words(world: World, payment: Payment) -> int:
    return int(world.one("select count(*) from paywarden.attestations where payment_id = %s", payment.id))


@pytest.mark.parametrize("refund", [False, True], ids=["charge", "refund"])
@pytest.mark.parametrize("outcome", get_args(Outcome))
async def test_two_people_who_agree_settle_it(world: World, outcome: Outcome, refund: bool) -> None:
    payment = await unknown(world, charged=outcome == "succeeded", refund=refund)
    one, other = await people(world)
    first = await say(world, one, payment, Word(outcome, "case 1"))
    assert (first.payment.status, world.held()) == (Status.OUTCOME_UNKNOWN, 700)
    assert world.discrepancies(payment) == ["outcome_unknown_past_window"]
    settled = (await say(world, other, payment, Word(outcome, "case 1"))).payment
    assert (settled.status.value, settled.late, world.held()) == (outcome, False, 0)
    assert settled.reason == "attested by two people: case 1"
    assert world.discrepancies() == []
    await world.check_books([settled])
    assert await world.work() == 0


async def test_a_refund_that_people_attested_counts_in_the_next_advice(world: World) -> None:
    """Nobody need know the provider's id of it; the other charge of the double one is not refunded on top."""
    refund = await unknown(world, charged=True, refund=True)
    for person in await people(world):
        await say(world, person, refund)
    (other,) = world.sql(
        "select id from paywarden.payments where kind = 'charge' and id <> %s", refund.original_payment_id
    )
    wanted = world.refund_of(await world.stage.find(other["id"]), 700)
    again = (await world.stage.ask(wanted)).payment
    assert (again.status, again.captured_minor) == (Status.DENIED, 0)


@pytest.mark.parametrize(
    "second",
    [NOT_PAID, Word("succeeded", "another case"), Word("succeeded", "support case 4711", "ch_1")],
    ids=["outcome", "reference", "provider's id"],
)
async def test_two_who_do_not_say_the_same_settle_nothing_until_one_agrees(world: World, second: Word) -> None:
    payment = await unknown(world, charged=True)
    one, other = await people(world)
    await say(world, one, payment)
    assert (await say(world, other, payment, second)).payment.status is Status.OUTCOME_UNKNOWN
    assert world.held() == 700
    assert (await say(world, other, payment)).payment.status is Status.SUCCEEDED
    assert words(world, payment) == 3


async def test_one_person_is_never_two(world: World) -> None:
    payment = await unknown(world)
    (one,) = await people(world, 1)
    again = Actor((await all_of(access.authenticate(world.stage.desk.pool, await key_of(world, one))))[0])
    await say(world, one, payment)
    said = await all_of(*(say(world, who, payment) for who in (one, again) * 4))
    assert {each.payment.status for each in said} == {Status.OUTCOME_UNKNOWN}
    assert (words(world, payment), world.held()) == (1, 700)
    for word in (NOT_PAID, PAID):
        assert (await say(world, one, payment, word)).payment.status is Status.OUTCOME_UNKNOWN
    assert words(world, payment) == 3


async def key_of(world: World, who: Actor) -> str:
    return (await access.create_key(world.stage.desk, world.stage.admin, who.principal.id, 600))[1]


async def test_only_people_who_may_settle_and_never_the_initiator(world: World) -> None:
    payment = await unknown(world)
    refused = [
        *await people(world, 1, "agent"),
        *await people(world, 1, "service"),
        *await people(world, 1, roles=("review", "initiate")),
        world.stage.agent,
    ]
    for who in refused:
        with pytest.raises(ForbiddenError):
            await say(world, who, payment)
    assert words(world, payment) == 0
    mine = await world.stage.ask(world.refund_of(await world.double_charge("c2", 500), 500), actor=world.stage.admin)
    with pytest.raises(ForbiddenError, match="asked for"):
        await say(world, world.stage.admin, mine.payment)


async def test_the_word_of_somebody_who_left_does_not_count(world: World) -> None:
    payment = await unknown(world)
    one, other, third = await people(world, 3)
    await say(world, one, payment)
    await access.set_principal_status(world.stage.desk, world.stage.admin, one.principal.id, "suspended")
    assert (await say(world, other, payment)).payment.status is Status.OUTCOME_UNKNOWN
    assert (await say(world, third, payment)).payment.status is Status.SUCCEEDED


async def test_while_the_provider_honours_the_key_nobody_may(world: World) -> None:
    payment = await unknown(world, days=0.5)
    (one,) = await people(world, 1)
    with pytest.raises(StateConflictError, match=r"finds out by itself.* in 1[12]\.\d hours"):
        await say(world, one, payment)
    assert (words(world, payment), world.held()) == (0, 700)


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.OUTCOME_UNKNOWN}))
async def test_what_is_known_cannot_be_attested(world: World, status: Status) -> None:
    payment = await unknown(world)
    (one,) = await people(world, 1)
    world.edit(
        "update paywarden.payments set status = to_status, next_step_at = null, missing_facts = case when waits then"
        " array['x'] else '{}' end, facts_until = case when waits then paywarden.clock() end"
        " from (select %s as to_status, %s = 'needs_facts' as waits) as wanted where id = %s",
        status.value,
        status.value,
        payment.id,
    )
    with pytest.raises(StateConflictError, match=f"The payment is {status}"):
        await say(world, one, payment)
    assert words(world, payment) == 0


async def test_bad_words_are_refused_with_the_field_named(world: World) -> None:
    payment = await unknown(world)
    (one,) = await people(world, 1)
    for word, field in (
        (Word("succeeded", " "), "reference"),
        (Word("succeeded", "4111 1111 1111 1111"), "reference"),
        (Word("succeeded", "x" * 256), "reference"),
        (Word("succeeded", "case", "\x00"), "provider_payment_id"),
    ):
        with pytest.raises(InvalidFieldError) as caught:
            await say(world, one, payment, word)
        assert caught.value.param == field
    elsewhere = await world.other_tenant()
    with pytest.raises(NotFoundError):
        await say(world, elsewhere, payment)
    assert words(world, payment) == 0


async def test_many_at_once_settle_it_once(world: World) -> None:
    payment = await unknown(world, charged=True)
    said = await all_of(*(say(world, who, payment) for who in await people(world, 6)))
    assert Status.SUCCEEDED in {each.payment.status for each in said if isinstance(each, Attested)}
    await world.check_books([await world.stage.find(payment.id)], charged=1)


async def test_with_the_providers_id_the_charge_can_be_refunded_and_without_it_is_said_why(world: World) -> None:
    one, other = await people(world)
    payment = await unknown(world, charged=True)
    for who in (one, other):
        await say(world, who, payment)
    with pytest.raises(StateConflictError, match="provider's id of this charge is not known"):
        await world.stage.ask(world.refund_of(payment, 100))
    named = await unknown(world, charged=True)
    (entry,) = [e for e in (await world.book())["payments"] if e["metadata"]["internal_payment_id"] == named.public_id]
    for who in (one, other):
        await say(world, who, named, Word("succeeded", "case 2", entry["id"]))
    asked = await world.stage.ask(world.refund_of(named, 100))
    assert asked.payment.status in {Status.IN_REVIEW, Status.PROCESSING, Status.SUCCEEDED, Status.DENIED}


async def test_the_id_of_another_payment_is_refused_whole(world: World) -> None:
    (taken,) = await world.settle(await world.stage.charge(300))
    payment = await unknown(world, charged=True)
    one, other = await people(world)
    word = Word("succeeded", "case 3", taken.provider_payment_id)
    await say(world, one, payment, word)
    with pytest.raises(StateConflictError, match="belongs to another payment"):
        await say(world, other, payment, word)
    assert (words(world, payment), world.held()) == (1, 700)


async def test_the_providers_truth_wins_over_people_and_somebody_must_look(world: World) -> None:
    payment = await unknown(world, charged=True)
    for who in await people(world):
        await say(world, who, payment, NOT_PAID)
    assert (await world.stage.find(payment.id)).status is Status.FAILED
    now = world.one("select paywarden.clock()")
    year = timedelta(days=365)
    await reconcile.run(world.stage.desk, world.stage.admin, now - year, now + year)
    paid = await world.stage.find(payment.id)
    assert (paid.status, paid.late) == (Status.SUCCEEDED, True)
    assert "attested_otherwise" in world.discrepancies(payment)
    await world.check_books([paid], charged=1)


async def test_a_failure_after_people_saw_a_success_is_raised_and_changes_nothing(world: World) -> None:
    payment = await unknown(world, charged=True)
    (entry,) = (await world.book())["payments"]
    for who in await people(world):
        await say(world, who, payment, Word("succeeded", "case 5", entry["id"]))
    await world.tell(event("payment.failed", entry["id"]))
    assert (await world.stage.find(payment.id)).status is Status.SUCCEEDED
    assert world.discrepancies(payment) == ["attested_otherwise"]


async def test_the_database_itself_refuses_the_initiator_and_whoever_may_not(world: World) -> None:
    payment = await unknown(world)
    (agent,) = await people(world, 1, "agent")
    (reviewer,) = await people(world, 1, roles=("review",))
    async with attest.transaction(world.stage.desk.pool, payment.tenant_id) as connection:
        for who in (agent, reviewer, world.stage.agent):
            with pytest.raises(psycopg.errors.CheckViolation):
                async with connection.transaction():
                    await attestations.insert(connection, payment.id, who.principal.id, PAID, None)


async def test_broken_twin_without_the_second_person_one_settles_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await unknown(world)
    (one,) = await people(world, 1)
    standing = attestations.standing

    async def everybody_agrees(*given: Any) -> Any:
        said = await standing(*given)
        return [
            *said,
            *(attestations.Attestation(each.id, payment.id, each.word, None, each.created_at) for each in said),
        ]

    monkeypatch.setattr(attestations, "standing", everybody_agrees)
    assert (await say(world, one, payment)).payment.status is Status.SUCCEEDED
    assert any("succeeded" in lie for lie in await world.lies([await world.stage.find(payment.id)]))


async def test_the_source_of_such_a_fact_is_told(world: World) -> None:
    payment = await unknown(world, charged=True)
    one, other = await people(world)
    for who in (one, other):
        await say(world, who, payment)
    (last,) = world.sql(
        "select source, principal_id from paywarden.payment_transitions where payment_id = %s"
        " order by sort_key desc limit 1",
        payment.id,
    )
    assert (last["source"], last["principal_id"]) == (facts.ATTESTED, other.principal.id)
    assert Status.SUCCEEDED in FINAL
