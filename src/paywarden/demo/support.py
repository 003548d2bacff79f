"""The story of the support desk: customers pay and write, an agent asks for refunds, a person looks at some."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from paywarden.client import AsyncPaywarden
from paywarden.client.objects import Payment
from paywarden.demo.cases import CURRENCY, Case, load_cases, record_of
from paywarden.demo.report import Outcome, Story
from paywarden.demo.stage import Payments, Stage, ask, each, give_verdict, hired, outcome, settle

AGENT = "support-agent"
# Per payment and per day: an advised refund may be 100.00 by the shipped policies, this mandate ends a little above.
_MANDATES = {"charge": (50_000, 100_000_000), "refund": (12_000, 10_000_000)}
_VERDICTS = 2


@dataclass(slots=True)
class _World:
    """What is known so far."""

    stage: Stage
    agent: AsyncPaywarden
    charges: Payments = field(default_factory=dict)
    refunds: Payments = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def customer(self, case: Case) -> str:
        return f"demo-{self.stage.run}-{case.number:03}"

    def reference(self, case: Case) -> str:
        return f"ORD-{self.stage.run}-{case.number:03}"


async def support(stage: Stage, count: int) -> Story:
    """Play ``count`` messages."""
    cases = load_cases(count)
    async with hired(stage, AGENT, ["initiate"], _MANDATES) as agent:
        world = _World(stage, agent)
        await each(stage, "Customers pay and write", cases, lambda case: _set_up(world, case))
        await settle(stage, agent, "The provider confirms the payments", world.charges)
        await each(stage, "The agent asks for refunds", cases, lambda case: _ask_refund(world, case))
        await settle(stage, agent, "The adviser makes up its mind", world.refunds, frozenset({"pending"}))
        await _give_verdicts(world, cases)
        await settle(stage, agent, "The provider confirms the refunds", world.refunds)
        await each(stage, "What became of them", cases, lambda case: _look(world, case))
    return _story(world, cases)


async def _set_up(world: _World, case: Case) -> None:
    """The customer pays and writes; our own systems note what they know."""
    customer, reference = world.customer(case), world.reference(case)
    for number in range(1, case.charges + 1):
        world.charges[case.number, number] = await world.agent.charge(
            case.amount_minor,
            CURRENCY,
            customer,
            purpose=f"order {reference}",
            reference=reference,
            idempotency_key=f"{customer}-charge-{number}",
        )
    await world.agent.add_note(customer, case.message, source="support desk")
    record = record_of(case, world.charges[case.number, 1]["id"], reference, world.stage.started_at)
    if record is not None:
        await world.stage.admin.add_note(
            customer, record.content, trust="record", source="order book", facts=record.facts
        )


async def _ask_refund(world: _World, case: Case) -> None:
    charge = world.charges[case.number, case.charges]
    if charge["status"] != "succeeded":
        why = f"the charge is {charge['status']}"
        world.outcomes[case.number] = Outcome(world.reference(case), case.refund_minor, "not_asked", why, None, None)
        return
    request = world.agent.refund(
        charge["id"],
        case.refund_minor,
        CURRENCY,
        request=case.message,
        reference=world.reference(case),
        idempotency_key=f"{world.customer(case)}-refund",
    )
    asked = await ask(world.agent, request)
    if isinstance(asked, str):
        world.outcomes[case.number] = await outcome(world.agent, world.reference(case), case.refund_minor, asked)
    else:
        world.refunds[case.number, 1] = asked


async def _give_verdicts(world: _World, cases: Sequence[Case]) -> None:
    """The administrator, a person, approves what the records support and rejects what they contradict: a few each."""
    held = [(case, refund) for case in cases if (refund := _held(world, case)) is not None]
    supported = [pair for pair in held if pair[0].truth == "match"]
    supported.sort(key=lambda pair: -pair[0].refund_minor)
    contradicted = [pair for pair in held if pair[0].truth == "contradict"]
    for case, refund in supported[:_VERDICTS]:
        why = "Checked with the warehouse: the records are right."
        world.refunds[case.number, 1] = await give_verdict(world.stage.admin, refund, "approve", why)
    for case, refund in contradicted[:_VERDICTS]:
        why = "Our records say otherwise; the customer was told."
        world.refunds[case.number, 1] = await give_verdict(world.stage.admin, refund, "reject", why)


def _held(world: _World, case: Case) -> Payment | None:
    refund = world.refunds.get((case.number, 1))
    return refund if refund and refund["status"] == "in_review" else None


async def _look(world: _World, case: Case) -> None:
    refund = world.refunds.get((case.number, 1))
    if refund is not None:
        about = world.reference(case)
        world.outcomes[case.number] = await outcome(world.agent, about, case.refund_minor, refund)


def _story(world: _World, cases: Sequence[Case]) -> Story:
    outcomes = [world.outcomes[case.number] for case in cases]
    advised = [each for each in outcomes if (each.result, each.oversight) == ("refunded", "advised")]
    return Story(
        name="support",
        says=f"{len(cases)} messages to a bank's support desk, answered by {AGENT}",
        outcomes=outcomes,
        charged=[charge["amount_minor"] for charge in world.charges.values() if charge["status"] == "succeeded"],
        told=advised[0].payment if advised else None,
    )
