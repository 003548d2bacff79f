"""R27: loops, huge requests, a burned budget. Advice never costs more than its budget; no check is skipped for it."""

import asyncio
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from paywarden.decisions import budget
from paywarden.decisions.advice import Advice, Snapshot
from paywarden.decisions.adviser import AdviceRecord
from paywarden.flow import decision, inquiry
from paywarden.flow.inquiry import GivenFact
from paywarden.kit.states import Status
from paywarden.payments.idempotency import IdempotentRequest
from tests.flow.conftest import *  # noqa: F403  the stage's fixtures
from tests.flow.world import World, all_of

pytestmark = pytest.mark.shared_sandbox

MOST, COST = 500_000, 300_000
BUDGET_USD = Decimal(5)


@dataclass
class CostlyAdviser:
    """Approves everything; every call costs money, whether its answer arrives or not."""

    name: str = "costly"
    answers: str = "approve"
    spent: int = 0
    asked: list[Snapshot] = field(default_factory=list)

    def most_micro_usd(self, snapshot: Snapshot) -> int:
        return MOST + len(snapshot.request)

    async def advise(self, snapshot: Snapshot) -> AdviceRecord:
        self.asked.append(snapshot)
        await asyncio.sleep(0.01)
        self.spent += COST
        if self.answers == "never":
            raise ConnectionError("cut")
        if self.answers == "need_facts":
            missing = Advice("need_facts", 0, "unclear", 60, (), ("everything",))
            return AdviceRecord(missing, self.name, 10, cost_micro_usd=COST)
        advice = Advice("approve", snapshot.requested_amount_minor, "sure", 99, ("pay_1",))
        return AdviceRecord(advice, self.name, 10, cost_micro_usd=COST)


def costly(world: World, **changes: Any) -> CostlyAdviser:
    adviser = CostlyAdviser(**changes)
    stage = world.stage.with_settings(adviser_budget_usd=BUDGET_USD)
    world.stage.desk = replace(stage.desk, adviser=adviser)
    return adviser


async def ask(world: World, number: int, text: str = "I was charged twice") -> list[Any]:
    """So many opinions at once."""
    return await all_of(
        *(
            decision.decide(
                world.stage.desk, world.stage.agent, customer_id="c", request=text, amount_minor=500, currency="usd"
            )
            for _ in range(number)
        )
    )


def used(world: World) -> int:
    return int(world.one("select used_micro_usd from paywarden.adviser_budgets"))


async def test_no_number_of_calls_at_once_costs_more_than_the_budget(world: World) -> None:
    adviser = costly(world)
    for _ in range(4):
        await ask(world, 12)
    assert COST * 10 < adviser.spent <= BUDGET_USD * 1_000_000
    assert used(world) == adviser.spent
    refused = [row for row in world.checks() if row["detail"].startswith("adviser_budget:")]
    assert len(refused) == 48 - len(adviser.asked)
    await world.advance(86_400)
    (view,) = await ask(world, 1)
    assert view.adviser == "costly"
    assert len(world.sql("select * from paywarden.adviser_budgets")) == 2


async def test_what_broke_off_counts_with_the_most_it_may_have_cost(world: World) -> None:
    adviser = costly(world, answers="never")
    await ask(world, 30)
    assert adviser.spent <= used(world) <= BUDGET_USD * 1_000_000
    assert len(adviser.asked) == 9


async def test_a_huge_request_is_weighed_before_it_is_sent(world: World) -> None:
    adviser = costly(world)
    world.stage.desk = world.stage.with_settings(adviser_budget_usd=Decimal("0.5")).desk
    (view,) = await ask(world, 1, "x" * 20_000)
    assert (adviser.asked, view.approve, view.verdict) == ([], False, "escalate")


async def test_without_money_for_advice_the_rules_still_look_and_a_person_decides(world: World) -> None:
    charge = await world.double_charge("cust_1", 900)
    adviser = costly(world)
    world.stage.desk = world.stage.with_settings(adviser_budget_usd=Decimal(0)).desk
    payment = (await world.stage.ask(world.refund_of(charge, 900))).payment
    assert (payment.status, adviser.asked) == (Status.IN_REVIEW, [])
    told = {row["rule"] for row in world.checks(payment)}
    assert {"mandate_payment_limit", "policy.review", "adviser_answered"} <= told


async def test_an_agent_that_always_answers_and_is_never_understood_ends_at_a_person(world: World) -> None:
    """Asking back is no way around the budget: every round is reserved like the first, and there are few."""
    charge = await world.double_charge("cust_1", 900)
    adviser = costly(world, answers="need_facts")
    payment = (await world.stage.ask(world.refund_of(charge, 900))).payment
    for number in range(50):
        if payment.status is not Status.NEEDS_FACTS:
            break
        request = IdempotentRequest(f"facts-{number}", bytes(32))
        given = await inquiry.give_facts(world.stage.desk, world.stage.agent, payment.id, [GivenFact("hm")], request)
        payment = given.payment
    assert payment.status is Status.IN_REVIEW
    assert len(adviser.asked) == world.stage.desk.settings.facts_rounds + 1
    assert used(world) == adviser.spent


async def test_a_burned_budget_ends_the_asking_back(world: World) -> None:
    charge = await world.double_charge("cust_1", 900)
    adviser = costly(world, answers="need_facts")
    payment = (await world.stage.ask(world.refund_of(charge, 900))).payment
    world.stage.desk = world.stage.with_settings(adviser_budget_usd=Decimal("0.5")).desk
    request = IdempotentRequest("facts", bytes(32))
    given = await inquiry.give_facts(world.stage.desk, world.stage.agent, payment.id, [GivenFact("hm")], request)
    assert (given.payment.status, len(adviser.asked)) == (Status.IN_REVIEW, 1)


async def test_another_tenant_has_a_budget_of_its_own(world: World) -> None:
    adviser = costly(world)
    await ask(world, 40)
    before = len(adviser.asked)
    other = await world.other_tenant()
    view = await decision.decide(
        world.stage.desk, other, customer_id="c", request="charged twice", amount_minor=5, currency="usd"
    )
    assert (len(adviser.asked), view.adviser) == (before + 1, "costly")


async def test_broken_twin_without_a_reservation_the_calls_at_once_overspend(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = budget.reserve

    async def looks_only(connection: Any, _: int, budget_micro_usd: int) -> Any:
        return await reserve(connection, 0, budget_micro_usd)

    monkeypatch.setattr(budget, "reserve", looks_only)
    adviser = costly(world)
    await ask(world, 40)
    assert adviser.spent > BUDGET_USD * 1_000_000
