"""The story of the overdue invoices: an agent is told to collect them all, and the records say which it may."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from paywarden.client import AsyncPaywarden
from paywarden.client.objects import Payment
from paywarden.demo.cases import CURRENCY
from paywarden.demo.invoices import InvoiceCase, Situation, load_invoices
from paywarden.demo.report import Story
from paywarden.demo.stage import Payments, Stage, ask, each, give_verdict, hired, outcome, settle
from paywarden.kit.clock import utc_now

AGENT = "billing-agent"
PURPOSE = "overdue invoice"
# Per payment and per day.
_MANDATES = {"charge": (100_000, 100_000_000)}
# What a person decides, once each; the others wait.
_YES: Situation = "large"
_NO: Situation = "staff: paid"


@dataclass(slots=True)
class _World:
    stage: Stage
    agent: AsyncPaywarden
    requests: Payments = field(default_factory=dict)
    refusals: dict[tuple[int, int], str] = field(default_factory=dict)

    def customer(self, case: InvoiceCase) -> str:
        return f"demo-{self.stage.run}-b{case.number:02}"


async def billing(stage: Stage) -> Story:
    """Play the invoices as they stand today."""
    cases = load_invoices(stage.run, utc_now().date())
    twice = [case for case in cases if case.times == 2]
    async with hired(stage, AGENT, ["initiate"], _MANDATES) as agent:
        world = _World(stage, agent)
        await each(stage, "Invoices fall due", cases, lambda case: _file(world, case))
        await each(stage, "The agent collects them", cases, lambda case: _collect(world, case, 1))
        await settle(stage, agent, "The adviser reads the records", world.requests, frozenset({"pending"}))
        await _give_verdicts(world, cases)
        await settle(stage, agent, "The provider confirms the collections", world.requests)
        await each(stage, "The agent asks a second time", twice, lambda case: _collect(world, case, 2))
        await settle(stage, agent, "The adviser reads them again", world.requests)
        return await _story(world, cases)


async def _file(world: _World, case: InvoiceCase) -> None:
    """Billing, staff, the customer and strangers leave their notes."""
    for note in case.notes:
        trusted = note.trust in {"record", "staff"}
        await (world.stage.admin if trusted else world.agent).add_note(
            world.customer(case),
            note.content,
            trust=note.trust,
            source=note.source,
            invoice=case.invoice_id,
            facts=note.facts,
        )


async def _collect(world: _World, case: InvoiceCase, time: int) -> None:
    """Ask for one invoice; asking a second time with another key is another request."""
    request = world.agent.charge(
        case.asked_minor,
        CURRENCY,
        world.customer(case),
        purpose=PURPOSE,
        reference=case.invoice_id,
        idempotency_key=f"{case.invoice_id}-{time}",
    )
    asked = await ask(world.agent, request)
    if isinstance(asked, str):
        world.refusals[case.number, time] = asked
    else:
        world.requests[case.number, time] = asked


async def _give_verdicts(world: _World, cases: Sequence[InvoiceCase]) -> None:
    """The administrator, a person, looks at one that is too large for advice and at one that staff wrote about."""
    for situation, yes, why in (
        (_YES, True, "Checked with billing: it is owed, and the customer knows."),
        (_NO, False, "The transfer is in the bank's statement; it is booked now."),
    ):
        spots = [(case.number, 1) for case in cases if case.situation == situation]
        held = [spot for spot in spots if _waits(world.requests.get(spot))]
        for spot in held[:1]:
            verdict = await give_verdict(world.stage.admin, world.requests[spot], "approve" if yes else "reject", why)
            world.requests[spot] = verdict


def _waits(payment: Payment | None) -> bool:
    return payment is not None and payment["status"] == "in_review"


async def _story(world: _World, cases: Sequence[InvoiceCase]) -> Story:
    by_number = {case.number: case for case in cases}
    asked: dict[tuple[int, int], Payment | str] = {**world.requests, **world.refusals}
    outcomes, told = [], None
    for spot in sorted(asked):
        case = by_number[spot[0]]
        became = await outcome(world.agent, case.invoice_id, case.asked_minor, asked[spot])
        outcomes.append(became)
        if case.situation == "hostile note" and became.result == "paid":
            told = told or became.payment
    return Story(
        name="billing",
        says=f"{len(cases)} invoices that {AGENT} was told to collect",
        outcomes=outcomes,
        told=told,
    )
