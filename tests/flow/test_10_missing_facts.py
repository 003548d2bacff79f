"""Missing facts: named, taken from who may give them, judged anew; a few rounds, then a person; no answer is a no."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from paywarden.db.transaction import system_transaction
from paywarden.decisions.advice import Advice, Snapshot
from paywarden.decisions.adviser import AdviceRecord
from paywarden.flow import access, inquiry, knowledge, recovery, review, settle
from paywarden.flow.ask import Asked
from paywarden.flow.desk import Actor
from paywarden.flow.inquiry import MAX_GIVEN, GivenFact
from paywarden.flow.review import Given
from paywarden.kit.canonical import digest
from paywarden.kit.errors import (
    ForbiddenError,
    IdempotencyKeyReusedError,
    InvalidFieldError,
    NotFoundError,
    StateConflictError,
)
from paywarden.kit.states import Status
from paywarden.payments import queue
from paywarden.payments.idempotency import IdempotentRequest
from paywarden.payments.rows import Payment
from tests.flow.world import World, all_of

pytestmark = pytest.mark.shared_sandbox

MISSING = ("which order it is about", "when the parcel was sent back")
CHARGES = "select refund_reserved_minor from paywarden.payments where kind = 'charge'"
ANSWER = "ORD-9, handed in at the post office on Monday"


@dataclass
class AsksFirst:
    """Misses something until it sees the answer (or for ever), then approves on our own row."""

    ready: Callable[[Snapshot], bool] = lambda seen: any(note.content == ANSWER for note in seen.evidence)
    name: str = "asks"
    seen: list[Snapshot] = field(default_factory=list)

    def most_micro_usd(self, _: Snapshot) -> int:
        return 0

    async def advise(self, snapshot: Snapshot) -> AdviceRecord:
        self.seen.append(snapshot)
        if not self.ready(snapshot):
            return AdviceRecord(Advice("need_facts", 0, "It is not clear.", 60, (), MISSING), self.name, 0)
        cited = tuple(record.id for record in snapshot.records)
        return AdviceRecord(Advice("approve", snapshot.requested_amount_minor, "Clear.", 95, cited), self.name, 0)


async def waits(world: World, **adviser: Any) -> tuple[Payment, AsksFirst, Payment]:
    """A refund that waits for facts, its adviser, and the charge it returns."""
    asks = AsksFirst(**adviser)
    charge = await world.stage.paid_charge(900)
    world.stage.desk = replace(world.stage.desk, adviser=asks)
    refund = (await world.stage.ask(world.refund_of(charge, 900))).payment
    assert refund.status is Status.NEEDS_FACTS
    return refund, asks, charge


async def give(
    world: World, payment: Payment, *facts: str | GivenFact, by: Actor | None = None, key: str | None = None
) -> Asked:
    given = [GivenFact(fact) if isinstance(fact, str) else fact for fact in facts]
    request = IdempotentRequest(key or f"facts-{next(world.stage.numbers)}", digest([repr(given)]))
    return await inquiry.give_facts(world.stage.desk, by or world.stage.agent, payment.id, given, request)


def notes_of(world: World, payment: Payment) -> list[dict[str, Any]]:
    return world.sql("select content, trust, customer_id from paywarden.notes where payment_id = %s", payment.id)


async def test_what_is_missing_is_named_and_nothing_is_held_but_what_the_refund_set_aside(world: World) -> None:
    refund, _, charge = await waits(world)
    assert (tuple(refund.missing_facts), refund.facts_rounds) == (MISSING, 1)
    assert refund.reason == f"facts are missing: {'; '.join(MISSING)}"
    assert refund.facts_until is not None
    assert (refund.hold_id, refund.oversight, world.held()) == (None, None, 0)
    assert (await world.stage.find(charge.id)).refundable_minor == 0
    assert world.sql("select id from paywarden.reviews") == []
    told = world.one(
        "select detail from paywarden.payment_transitions where payment_id = %s and to_status = 'needs_facts'",
        refund.id,
    )
    assert told == {"missing": list(MISSING), "round": 1, "decided_by": ["reviewed"]}


async def test_the_answer_is_kept_as_the_customers_word_and_judged_anew(world: World) -> None:
    refund, asks, _ = await waits(world)
    asked = await give(world, refund, ANSWER)
    assert (asked.payment.status, asked.payment.oversight) == (Status.PROCESSING, "advised")
    assert (asked.payment.missing_facts, asked.payment.facts_until, asked.payment.reason) == ([], None, None)
    assert notes_of(world, refund) == [{"content": ANSWER, "trust": "customer", "customer_id": "cust_1"}]
    assert len(asks.seen) == 2
    assert world.statuses(refund)[:5] == ["pending", "needs_facts", "pending", "reserved", "submitting"]
    (paid,) = await world.settle(asked.payment)
    await world.check_books([paid])


async def test_an_answer_reaches_the_adviser_however_it_is_worded(world: World) -> None:
    """Eight notes nearer to the request do not crowd it out."""
    for number in range(12):
        await world.note("cust_1", f"I was charged twice for this order, mail {number}", trust="customer")
    refund, asks, _ = await waits(world)
    assert (await give(world, refund, ANSWER)).payment.status is Status.PROCESSING
    assert ANSWER in [note.content for note in asks.seen[1].evidence]


async def test_an_answer_is_evidence_for_its_payment_and_no_longer_than_it_is_valid(world: World) -> None:
    refund, asks, _ = await waits(world)
    await give(world, refund, "Not that order.")
    note_id = world.one("select id from paywarden.notes where payment_id = %s", refund.id)
    await knowledge.end_note(world.stage.desk, world.stage.admin, note_id, None)
    await give(world, refund, ANSWER)
    assert "Not that order." not in [note.content for note in asks.seen[2].evidence]


async def test_records_that_an_administrator_gives_let_the_rules_decide(world: World) -> None:
    charge = await world.stage.paid_charge(1_500, reference="ORD-9")
    wanted = world.refund_of(charge, 1_500, "Please give me a refund for my canceled order")
    refund = (await world.stage.ask(wanted)).payment
    assert refund.missing_facts == ["the order, and whether it was canceled or returned within policy"]
    fact = {
        "type": "order", "payment_id": charge.public_id, "reference": "ORD-9", "amount_minor": 1_500, "currency": "usd",
        "status": "canceled", "within_policy": True, "at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    record = GivenFact("Order ORD-9 was canceled in time.", "record", facts=fact)
    again = await give(world, refund, "The customer insists.")
    assert (again.payment.status, again.payment.facts_rounds) == (Status.NEEDS_FACTS, 2)
    paid = (await give(world, refund, record, by=world.stage.admin)).payment
    assert (paid.status, paid.oversight) == (Status.PROCESSING, "advised")


# ---- Who may


@pytest.mark.parametrize("trust", ["record", "staff"])
async def test_an_agent_cannot_make_trusted_what_it_passes_on(world: World, trust: Any) -> None:
    refund, asks, _ = await waits(world)
    with pytest.raises(ForbiddenError, match="administer"):
        await give(world, refund, "harmless", GivenFact(ANSWER, trust))
    assert (notes_of(world, refund), len(asks.seen)) == ([], 1)
    assert (await world.stage.find(refund.id)).status is Status.NEEDS_FACTS


async def test_who_did_not_ask_for_the_payment_gives_nothing_unless_an_administrator(world: World) -> None:
    refund, _, _ = await waits(world)
    other = await world.reviewer("other", "agent", ("initiate", "review"))
    with pytest.raises(ForbiddenError, match="whoever asked"):
        await give(world, refund, ANSWER, by=other)
    with pytest.raises(NotFoundError):
        await give(world, refund, ANSWER, by=await world.other_tenant())
    assert notes_of(world, refund) == []
    assert (await give(world, refund, ANSWER, by=world.stage.admin)).payment.status is Status.PROCESSING


@pytest.mark.parametrize(
    ("facts", "param"),
    [
        ([], "facts"),
        (["x"] * (MAX_GIVEN + 1), "facts"),
        (["fine", " "], "facts.1.content"),
        (["fine", GivenFact("x", facts={"type": "gift"})], "facts.1.facts"),
        ([GivenFact("x", source="a\nb")], "facts.0.source"),
    ],
)
async def test_what_is_no_fact_is_refused_by_its_field(world: World, facts: list[Any], param: str) -> None:
    refund, _, _ = await waits(world)
    with pytest.raises(InvalidFieldError) as refused:
        await give(world, refund, *facts)
    assert refused.value.param == param
    assert notes_of(world, refund) == []


async def test_broken_twin_without_the_rule_of_trust_an_agents_own_record_pays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge, "check", lambda *_: None)
    refund, _, _ = await waits(
        world, ready=lambda seen: any((note.content, note.trust) == (ANSWER, "record") for note in seen.evidence)
    )
    assert (await give(world, refund, GivenFact(ANSWER, "record"))).payment.status is Status.PROCESSING


# ---- How often, and for how long


async def test_after_a_few_rounds_a_person_decides(world: World) -> None:
    refund, asks, charge = await waits(world, ready=lambda _: False)
    rounds = world.stage.desk.settings.facts_rounds
    for number in range(rounds - 1):
        assert (await give(world, refund, f"I do not know {number}")).payment.status is Status.NEEDS_FACTS
    last = (await give(world, refund, "I really do not know")).payment
    assert (last.status, last.missing_facts, last.facts_rounds) == (Status.IN_REVIEW, [], rounds)
    assert (last.reason or "").endswith(f"facts were asked for {rounds} times")
    assert len(asks.seen) == rounds + 1
    with pytest.raises(StateConflictError, match="in_review"):
        await give(world, refund, ANSWER)
    given = Given("reject", "nobody knows")
    await review.give_verdict(world.stage.desk, await world.reviewer(), await world.review_of(last), given)
    assert (await world.stage.find(charge.id)).refundable_minor == 900


async def test_without_rounds_a_person_decides_at_once(world: World) -> None:
    world.stage = world.stage.with_settings(facts_rounds=0)
    world.stage.desk = replace(world.stage.desk, adviser=AsksFirst())
    charge = await world.stage.paid_charge(900)
    assert (await world.stage.ask(world.refund_of(charge, 900))).payment.status is Status.IN_REVIEW


async def test_no_answer_is_a_no(world: World) -> None:
    refund, _, charge = await waits(world)
    await world.advance(world.stage.desk.settings.facts_seconds - 5)
    await world.work()
    assert (await world.stage.find(refund.id)).status is Status.NEEDS_FACTS
    await world.advance(6)
    with pytest.raises(StateConflictError, match="no answer was a no"):
        await give(world, refund, ANSWER)
    await world.work()
    expired = await world.stage.find(refund.id)
    assert (expired.status, expired.missing_facts, expired.facts_until) == (Status.EXPIRED, [], None)
    assert (await world.stage.find(charge.id)).refundable_minor == 900
    with pytest.raises(StateConflictError, match="expired"):
        await give(world, refund, ANSWER)
    assert await world.stage.broken_invariants() == {}


async def test_facts_that_come_while_it_is_found_overdue_are_not_lost(world: World) -> None:
    refund, _, _ = await waits(world)
    async with system_transaction(world.stage.desk.pool) as connection:
        world.clock.advance(world.stage.desk.settings.facts_seconds + 1)
        (found,) = await queue.facts_overdue(connection, 16)
    # The answer was being stored when the row was found.
    world.clock.advance(-2)
    await give(world, refund, "I do not know")
    await recovery.expire_unanswered(world.stage.desk, found["tenant_id"], found["id"])
    assert (await world.stage.find(refund.id)).status is Status.NEEDS_FACTS
    assert [charge["refund_reserved_minor"] for charge in world.sql(CHARGES)] == [900]


async def test_what_waits_for_facts_can_be_canceled(world: World) -> None:
    refund, _, charge = await waits(world)
    canceled = await settle.cancel(world.stage.desk, world.stage.agent, refund.id)
    assert (canceled.status, canceled.missing_facts) == (Status.CANCELED, [])
    assert (await world.stage.find(charge.id)).refundable_minor == 900
    with pytest.raises(StateConflictError, match="canceled"):
        await give(world, refund, ANSWER)


async def test_authority_that_ended_meanwhile_ends_the_payment_without_another_opinion(world: World) -> None:
    refund, asks, charge = await waits(world)
    await access.set_principal_status(world.stage.desk, world.stage.admin, world.stage.agent.principal.id, "suspended")
    denied = (await give(world, refund, ANSWER, by=world.stage.admin)).payment
    assert (denied.status, (denied.reason or "").partition(":")[0]) == (Status.DENIED, "principal_inactive")
    assert len(asks.seen) == 1
    assert (await world.stage.find(charge.id)).refundable_minor == 900


# ---- Once


async def test_a_repeat_with_the_same_key_is_the_same_answer_and_uses_up_no_round(world: World) -> None:
    refund, asks, _ = await waits(world)
    first = await give(world, refund, "no idea", key="k")
    again = await give(world, refund, "no idea", key="k")
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.payment.status, again.payment.facts_rounds, len(asks.seen)) == (Status.NEEDS_FACTS, 2, 2)
    assert len(notes_of(world, refund)) == 1
    with pytest.raises(IdempotencyKeyReusedError):
        await give(world, refund, ANSWER, key="k")


async def test_of_many_at_once_one_counts(world: World) -> None:
    refund, asks, _ = await waits(world)
    same = await all_of(*(give(world, refund, ANSWER, key="same") for _ in range(4)))
    others = await all_of(*(give(world, refund, ANSWER) for _ in range(4)))
    assert len([answer for answer in same if isinstance(answer, Asked) and not answer.replayed]) == 1
    assert all(isinstance(answer, StateConflictError) for answer in others)
    assert (len(notes_of(world, refund)), len(asks.seen)) == (1, 2)


async def test_a_process_that_dies_after_the_answer_leaves_the_rest_to_the_worker(world: World) -> None:
    refund, _, _ = await waits(world)
    patient = world.stage.desk
    world.stage = world.stage.with_settings(answer_timeout_seconds=-1.0)
    assert (await give(world, refund, ANSWER)).payment.status is Status.PENDING
    world.stage.desk = patient
    (paid,) = await world.settle(refund)
    assert (paid.status, paid.oversight) == (Status.SUCCEEDED, "advised")
