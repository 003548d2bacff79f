"""The journey of the demo: an agent, its customers' payments and notes, its requests for refunds, a person's verdicts.

Everything goes through HTTP, with the agent's own key where an agent would act. Ids are made for each run, so that a
second run never meets the first one's keys.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from paywarden.client import AsyncPaywarden, PaywardenApiError
from paywarden.client.objects import Limit, Payment
from paywarden.demo.cases import CURRENCY, Case, load_cases, record_of
from paywarden.demo.report import Outcome, Report, Result
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339, utc_now

AGENT = "support-agent"
CONCURRENCY = 8
_KEY_SECONDS = 3600
_SETTLE_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.3
_FINAL = frozenset({"succeeded", "failed", "canceled", "expired", "denied"})
# Per payment and per day: an advised refund may be 100.00 by the shipped policies, this mandate ends a little above.
_MANDATES = {"charge": (50_000, 100_000_000), "refund": (15_000, 10_000_000)}
_VERDICTS = 2

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(slots=True)
class _World:
    """A run: who acts, what is known so far."""

    run: str
    admin: AsyncPaywarden
    agent: AsyncPaywarden
    started_at: str
    progress: Progress
    charges: dict[int, list[Payment]] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def customer(self, case: Case) -> str:
        return f"demo-{self.run}-{case.number:03}"

    def reference(self, case: Case) -> str:
        return f"ORD-{self.run}-{case.number:03}"


async def play(url: str, admin_key: str, progress: Progress, count: int | None = None) -> Report:
    """Play ``count`` messages (all by default). Raises PaywardenApiError, PaywardenUnreachableError."""
    began = time.monotonic()
    cases = load_cases(count)
    async with AsyncPaywarden(url, admin_key) as admin, _agent_of(url, admin) as agent:
        world = _World(ids.new_uuid().hex[-8:], admin, agent, rfc3339(utc_now()), progress)
        await _each(world, "Customers pay and write", cases, lambda case: _set_up(world, case))
        await _settle(world, "The provider confirms the payments", world.charges)
        await _each(world, "The agent asks for refunds", cases, lambda case: _ask_refund(world, case))
        await _give_verdicts(world)
        await _settle_refunds(world)
        return await _report(world, cases, time.monotonic() - began)


# ---- Who acts


@asynccontextmanager
async def _agent_of(url: str, admin: AsyncPaywarden) -> AsyncIterator[AsyncPaywarden]:
    """The support agent with a key for this run, which ends with it."""
    agents = (await admin.list_agents())["data"]
    known = [agent["id"] for agent in agents if (agent["kind"], agent["name"]) == ("agent", AGENT)]
    agent_id = known[0] if known else (await admin.create_agent("agent", AGENT, ["initiate"]))["id"]
    await _ensure_mandates(admin, agent_id)
    key = await admin.create_key(agent_id, expires_in_seconds=_KEY_SECONDS)
    try:
        async with AsyncPaywarden(url, key["secret"]) as agent:
            yield agent
    finally:
        await admin.revoke_key(key["id"])


async def _ensure_mandates(admin: AsyncPaywarden, agent_id: str) -> None:
    mandates = (await admin.list_mandates())["data"]
    present = {each["name"] for each in mandates if each["principal"] == agent_id and each["status"] == "active"}
    for kind, (payment_minor, day_minor) in _MANDATES.items():
        name = f"demo {kind}s"
        if name not in present:
            limits: list[Limit] = [
                {"currency": CURRENCY, "window": "payment", "limit_minor": payment_minor},
                {"currency": CURRENCY, "window": "day", "limit_minor": day_minor},
            ]
            await admin.create_mandate(agent_id, name, [kind], limits)


# ---- What happened before the agent came


async def _set_up(world: _World, case: Case) -> None:
    """The customer pays and writes; our own systems note what they know."""
    customer, reference = world.customer(case), world.reference(case)
    world.charges[case.number] = [
        await world.agent.charge(
            case.amount_minor,
            CURRENCY,
            customer,
            purpose=f"order {reference}",
            reference=reference,
            idempotency_key=f"{customer}-charge-{number}",
        )
        for number in range(1, case.charges + 1)
    ]
    await world.agent.add_note(customer, case.message, source="support desk")
    record = record_of(case, world.charges[case.number][0]["id"], reference, world.started_at)
    if record is not None:
        await world.admin.add_note(customer, record.content, trust="record", source="order book", facts=record.facts)


async def _settle(world: _World, what: str, payments: dict[int, list[Payment]]) -> None:
    """Wait until the provider's events have ended these payments, with a limit; what is left is seen as it is."""
    waiting = [(number, place) for number, group in payments.items() for place in range(len(group))]
    total = len(waiting)
    until = time.monotonic() + _SETTLE_SECONDS

    async def look(spot: tuple[int, int]) -> None:
        number, place = spot
        payments[number][place] = await world.agent.get_payment(payments[number][place]["id"])

    while waiting and time.monotonic() < until:
        await _all(waiting, look)
        waiting = [(number, place) for number, place in waiting if payments[number][place]["status"] not in _FINAL]
        world.progress(what, total - len(waiting), total)
        if waiting:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


# ---- What the agent does


async def _ask_refund(world: _World, case: Case) -> None:
    charge = world.charges[case.number][-1]
    if charge["status"] != "succeeded":
        world.outcomes[case.number] = Outcome(case, "not_asked", f"the charge is {charge['status']}", None, None)
        return
    try:
        refund = await world.agent.refund(
            charge["id"],
            case.refund_minor,
            CURRENCY,
            request=case.message,
            reference=world.reference(case),
            idempotency_key=f"{world.customer(case)}-refund",
        )
    except PaywardenApiError as refused:
        world.outcomes[case.number] = await _refused(world, case, refused)
        return
    world.outcomes[case.number] = await _seen(world, case, refund)


async def _refused(world: _World, case: Case, refused: PaywardenApiError) -> Outcome:
    if refused.code not in {"denied", "insufficient", "declined", "state_conflict"}:
        raise refused
    rule = str(refused.extra.get("rule") or refused.code)
    return Outcome(case, "denied", rule, None, refused.extra.get("payment"))


async def _seen(world: _World, case: Case, refund: Payment) -> Outcome:
    results: dict[str, Result] = {"succeeded": "refunded", "in_review": "in_review", "needs_facts": "in_review"}
    ended: Result = "denied" if refund["status"] in _FINAL else "on_its_way"
    result = results.get(refund["status"], ended)
    return Outcome(case, result, await _reason(world, refund), refund["oversight"], refund["id"])


async def _reason(world: _World, refund: Payment) -> str:
    """What the adviser said if it was asked, else the rules that decided."""
    if refund["status"] == "denied":
        return str(refund["reason"])
    advice = (await world.agent.get_dossier(refund["id"]))["advice"]
    return str(advice["reason"]) if advice else ", ".join(refund["decided_by"])


# ---- What a person does, and what the provider confirms


async def _give_verdicts(world: _World) -> None:
    """The administrator, a person, approves what the records support and rejects what they contradict: a few each."""
    held = [outcome for outcome in world.outcomes.values() if outcome.result == "in_review"]
    supported = [outcome for outcome in held if outcome.case.truth == "match"]
    supported.sort(key=lambda outcome: -outcome.case.refund_minor)
    contradicted = [outcome for outcome in held if outcome.case.truth == "contradict"]
    for outcome in supported[:_VERDICTS]:
        await _give_verdict(world, outcome, "approve", "Checked with the warehouse: the records are right.")
    for outcome in contradicted[:_VERDICTS]:
        await _give_verdict(world, outcome, "reject", "Our records say otherwise; the customer was told.")


async def _give_verdict(world: _World, outcome: Outcome, verdict: Any, reason: str) -> None:
    payment_id = outcome.payment or ""
    (review,) = (await world.admin.get_dossier(payment_id))["reviews"]
    await world.admin.give_verdict(review["id"], verdict, reason)
    world.outcomes[outcome.case.number] = await _seen(world, outcome.case, await world.admin.get_payment(payment_id))


async def _settle_refunds(world: _World) -> None:
    moving = [outcome for outcome in world.outcomes.values() if outcome.result == "on_its_way"]
    payments = {each.case.number: [await world.agent.get_payment(each.payment or "")] for each in moving}
    await _settle(world, "The provider confirms the refunds", payments)
    for outcome in moving:
        world.outcomes[outcome.case.number] = await _seen(world, outcome.case, payments[outcome.case.number][0])


async def _report(world: _World, cases: Sequence[Case], seconds: float) -> Report:
    outcomes = [world.outcomes[case.number] for case in cases]
    charges = [charge for group in world.charges.values() for charge in group]
    advised = [each for each in outcomes if (each.result, each.oversight) == ("refunded", "advised")]
    telling = [each for each in advised if each.case.intent == "request_refund"] or advised
    return Report(
        run=world.run,
        agent=AGENT,
        seconds=seconds,
        charged=[charge["amount_minor"] for charge in charges if charge["status"] == "succeeded"],
        outcomes=outcomes,
        reconciliation=dict(await world.admin.reconcile(since=world.started_at)),
        dossier=await world.admin.get_dossier(telling[0].payment or "") if telling else None,
    )


# ---- Many at a time


async def _each(world: _World, what: str, cases: Sequence[Case], work: Callable[[Case], Awaitable[None]]) -> None:
    done = 0

    async def one(case: Case) -> None:
        nonlocal done
        await work(case)
        done += 1
        world.progress(what, done, len(cases))

    await _all(cases, one)


async def _all(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do all, a few at a time; the first error ends the rest."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(CONCURRENCY):
                workers.create_task(worker())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
