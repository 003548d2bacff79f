"""Replay: what another adviser, model or policy would have made of a decision, in money. Nothing moves."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from paywarden.decisions.advice import Advice, Snapshot
from paywarden.decisions.adviser import AdviceRecord
from paywarden.flow import decision, knowledge, replay, review
from paywarden.flow.desk import Actor
from paywarden.flow.replay import Replay
from paywarden.flow.review import Given
from paywarden.guardrails import cedar
from paywarden.kit.errors import ForbiddenError, InvalidFieldError, NotFoundError, StateConflictError
from paywarden.kit.states import Status
from paywarden.payments.rows import Payment
from tests.flow.world import World

pytestmark = pytest.mark.shared_sandbox

AMOUNT = 900
COST = 250_000
TABLES = (
    "payments", "payment_transitions", "transfers", "holds", "accounts", "operations", "reviews", "verdicts",
    "idempotency_keys", "mandates",
)  # fmt: skip


def approves(seen: Snapshot) -> Advice:
    return Advice("approve", seen.requested_amount_minor, "Charged twice.", 95, (seen.records[0].id,))


def hesitates(seen: Snapshot) -> Advice:
    return Advice("escalate", 0, "Somebody should look.", 40)


@dataclass
class Model:
    """An adviser that asks a model, and says what the test wants. Every answer costs money."""

    say: Callable[[Snapshot], Advice]
    model: str = "model-1"
    effort: str | None = None
    others: dict[str, Callable[[Snapshot], Advice]] = field(default_factory=dict)
    seen: list[tuple[str, str | None, Snapshot]] = field(default_factory=list)
    name: str = "model"

    def most_micro_usd(self, snapshot: Snapshot) -> int:
        return COST

    def of_model(self, model: str, effort: str | None) -> "Model":
        return replace(self, say=self.others[model], model=model, effort=effort)

    async def advise(self, snapshot: Snapshot) -> AdviceRecord:
        self.seen.append((self.model, self.effort, snapshot))
        return AdviceRecord(self.say(snapshot), self.name, 10, model=self.model, cost_micro_usd=COST)


def advised_by(world: World, say: Callable[[Snapshot], Advice], **others: Callable[[Snapshot], Advice]) -> Model:
    adviser = Model(say, others={name.replace("_", "-"): each for name, each in others.items()})
    world.stage.desk = replace(world.stage.desk, adviser=adviser)
    return adviser


async def refund(world: World) -> Payment:
    """A refund of one of two charges of one order, as far as the adviser in force lets it come."""
    charge = await world.double_charge("cust_1", AMOUNT)
    payment = (await world.stage.ask(world.refund_of(charge, AMOUNT))).payment
    return (await world.settle(payment))[0]


async def again(world: World, payment: Payment, actor: Actor | None = None, **how: Any) -> Replay:
    assert payment.decision_id is not None
    return await replay.replay(world.stage.desk, actor or world.stage.admin, payment.decision_id, **how)


def everything(world: World) -> list[Any]:
    """Whatever a replay must not touch."""
    tables = [world.sql(f"select * from paywarden.{table} order by 1, 2") for table in TABLES]
    originals = world.sql("select * from paywarden.decisions where replay_of is null order by id")
    checks = world.sql("select * from paywarden.checks where payment_id is not null order by id")
    return [*tables, originals, checks]


async def test_the_same_adviser_says_the_same_and_nothing_moves(world: World) -> None:
    adviser = advised_by(world, approves)
    payment = await refund(world)
    assert payment.status is Status.SUCCEEDED
    before = everything(world)
    told = await again(world, payment)
    assert everything(world) == before
    (_, _, then), (_, _, now) = adviser.seen
    assert now == then
    assert told.difference_minor == 0
    for course in (told.then, told.now):
        assert (course.status, course.oversight, course.pays_minor) == (Status.RESERVED, "advised", AMOUNT)
        assert course.decided_by == ("refund_advised",)
    assert told.then.decision.row["id"] == payment.decision_id


async def test_a_replay_is_stored_as_a_decision_on_which_no_payment_rests(world: World) -> None:
    advised_by(world, approves)
    payment = await refund(world)
    told = await again(world, payment)
    found = await decision.find(world.stage.desk, world.stage.admin, told.now.decision.row["id"])
    row = found.row
    assert (row["replay_of"], row["payment_id"]) == (payment.decision_id, None)
    assert (row["principal_id"], row["cost_micro_usd"]) == (world.stage.admin.principal.id, COST)
    assert row["snapshot"] == told.then.decision.row["snapshot"]
    assert {"adviser_answered", "policy.advised"} <= {check["rule"] for check in found.checks}
    (event,) = world.sql("select * from paywarden.events where type = 'decision.replayed'")
    assert (event["subject_id"], event["principal_id"]) == (payment.decision_id, world.stage.admin.principal.id)
    assert event["data"] == {"replay": found.public_id, "difference_minor": 0}


async def test_money_that_another_model_would_have_let_go(world: World) -> None:
    adviser = advised_by(world, hesitates, model_2=approves)
    payment = await refund(world)
    assert payment.status is Status.IN_REVIEW
    told = await again(world, payment, model="model-2", effort="unset")
    assert (told.then.status, told.now.status) == (Status.IN_REVIEW, Status.RESERVED)
    assert (told.then.pays_minor, told.now.pays_minor, told.difference_minor) == (0, AMOUNT, AMOUNT)
    assert adviser.seen[1][:2] == ("model-2", "unset")
    assert (await world.stage.find(payment.id)).status is Status.IN_REVIEW


async def test_money_that_another_model_would_have_kept(world: World) -> None:
    advised_by(world, approves, model_2=hesitates)
    payment = await refund(world)
    told = await again(world, payment, model="model-2")
    assert (told.then.pays_minor, told.now.pays_minor, told.difference_minor) == (AMOUNT, 0, -AMOUNT)
    assert told.now.status is Status.IN_REVIEW


async def test_facts_that_were_missing_are_no_difference_in_money(world: World) -> None:
    def asks(_: Snapshot) -> Advice:
        return Advice("need_facts", 0, "Which order?", 60, (), ("the order's number",))

    advised_by(world, asks, model_2=hesitates)
    payment = await refund(world)
    assert payment.status is Status.NEEDS_FACTS
    same, other = await again(world, payment), await again(world, payment, model="model-2")
    assert (same.then.status, same.now.status) == (Status.NEEDS_FACTS, Status.NEEDS_FACTS)
    assert same.then.decided_by == same.now.decided_by == ("reviewed",)
    assert (other.now.status, other.difference_minor) == (Status.IN_REVIEW, 0)
    world.stage.desk = world.stage.with_settings(facts_rounds=0).desk
    assert (await again(world, payment)).now.status is Status.IN_REVIEW


async def test_todays_checks_look_at_it(world: World) -> None:
    advised_by(world, approves, liar=lambda seen: replace(approves(seen), amount_minor=10**12))
    told = await again(world, await refund(world), model="liar")
    assert told.now.decision.row["advice"]["verdict"] == "escalate"
    assert told.difference_minor == -AMOUNT


async def test_todays_policies_judge_it(world: World, tmp_path: Path) -> None:
    advised_by(world, approves)
    payment = await refund(world)
    shipped = (files("paywarden.guardrails") / "policies" / "default.cedar").read_text()
    stricter = tmp_path / "stricter.cedar"
    stricter.write_text(shipped.replace("context.advice.supported_by_trusted &&", "false &&"))
    world.stage.desk = replace(world.stage.desk, policies=cedar.from_file(stricter))
    told = await again(world, payment)
    assert (told.now.status, told.difference_minor) == (Status.IN_REVIEW, -AMOUNT)
    assert told.now.decision.row["policy_version"] == world.stage.desk.policies.version
    assert told.now.decision.row["policy_version"] != told.then.decision.row["policy_version"]


async def test_what_people_and_switches_did_meanwhile_is_no_difference(world: World) -> None:
    advised_by(world, hesitates)
    payment = await refund(world)
    await review.give_verdict(
        world.stage.desk, await world.reviewer(), await world.review_of(payment), Given("approve", "looked")
    )
    world.sql("update paywarden.principals set status = 'suspended' where id = %s", payment.principal_id)
    world.sql("update paywarden.mandates set status = 'revoked'")
    told = await again(world, payment)
    assert (told.then.status, told.now.status, told.difference_minor) == (Status.IN_REVIEW, Status.IN_REVIEW, 0)
    assert told.then.decided_by == told.now.decided_by == ("reviewed",)


async def test_what_only_the_budget_stopped_no_adviser_lets_go(world: World) -> None:
    advised_by(world, approves)
    charge = await world.double_charge("cust_1", AMOUNT)
    world.sql("update paywarden.mandate_limits set limit_minor = 1 where window_kind = 'day'")
    payment = (await world.stage.ask(world.refund_of(charge, AMOUNT))).payment
    assert (payment.status, payment.decided_by) == (Status.DENIED, ["insufficient"])
    told = await again(world, payment)
    assert (told.then.status, told.then.pays_minor, told.difference_minor) == (Status.DENIED, 0, 0)
    assert told.then.decided_by == ("insufficient",)


async def test_without_a_payment_it_is_what_the_advice_approves(world: World) -> None:
    adviser = advised_by(world, hesitates, model_2=approves)
    await world.double_charge("cust_1", AMOUNT)
    view = await decision.decide(
        world.stage.desk, world.stage.agent, customer_id="cust_1", request="twice!", amount_minor=500, currency="usd"
    )
    told = await replay.replay(world.stage.desk, world.stage.admin, view.id, model="model-2")
    assert (told.then.status, told.now.status) == (None, None)
    assert (told.then.pays_minor, told.now.pays_minor, told.difference_minor) == (0, 500, 500)
    assert len(adviser.seen) == 2


async def test_it_is_paid_from_the_budget_for_advice(world: World) -> None:
    adviser = advised_by(world, approves)
    payment = await refund(world)
    await again(world, payment)
    assert world.one("select used_micro_usd from paywarden.adviser_budgets") == 2 * COST
    world.stage.desk = world.stage.with_settings(adviser_budget_usd=Decimal("0.6")).desk
    told = await again(world, payment)
    assert len(adviser.seen) == 2
    assert told.now.decision.row["advice"]["failure"].startswith("adviser_budget:")
    assert (told.now.status, told.difference_minor) == (Status.IN_REVIEW, -AMOUNT)


@pytest.mark.parametrize("roles", [("initiate",), ("settle",), ("initiate", "settle", "risk", "finance", "approver")])
async def test_who_asks_for_money_cannot_ask_until_a_model_agrees(world: World, roles: tuple[str, ...]) -> None:
    adviser = advised_by(world, approves)
    payment = await refund(world)
    somebody = await world.reviewer("somebody", "agent", roles)
    with pytest.raises(ForbiddenError):
        await again(world, payment, somebody)
    assert len(adviser.seen) == 1
    await again(world, payment, await world.reviewer())


async def test_another_tenants_decision_is_not_there(world: World) -> None:
    adviser = advised_by(world, approves)
    payment = await refund(world)
    with pytest.raises(NotFoundError):
        await again(world, payment, await world.other_tenant())
    assert len(adviser.seen) == 1


async def test_a_replay_is_not_replayed(world: World) -> None:
    advised_by(world, approves)
    told = await again(world, await refund(world))
    with pytest.raises(StateConflictError):
        await replay.replay(world.stage.desk, world.stage.admin, told.now.decision.row["id"])


@pytest.mark.parametrize("how", [{"model": "claude-opus-5-5"}, {"effort": "low"}], ids=str)
async def test_the_rules_have_no_model_to_choose(world: World, how: dict[str, Any]) -> None:
    payment = await refund(world)
    with pytest.raises(InvalidFieldError, match="asks no model") as refused:
        await again(world, payment, **how)
    assert refused.value.param in how
    told = await again(world, payment)
    assert (told.then.decision.row["adviser"], told.difference_minor) == ("rules", 0)


async def test_a_replay_is_no_influence_of_a_note(world: World) -> None:
    advised_by(world, approves)
    note_id = await world.note("cust_1", "Charged twice for this order.")
    payment = await refund(world)
    await again(world, payment)
    found = await knowledge.influence_of(world.stage.desk, world.stage.admin, note_id, 10)
    assert [each.decision_id for each in found] == [payment.decision_id]


async def test_the_database_gives_no_replay_to_a_payment(world: World) -> None:
    advised_by(world, approves)
    payment = await refund(world)
    told = await again(world, payment)
    replayed: UUID = told.now.decision.row["id"]
    with pytest.raises(psycopg.errors.CheckViolation):
        world.edit("update paywarden.decisions set payment_id = %s where id = %s", payment.id, replayed)
