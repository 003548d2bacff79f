"""The journey of the demo: an agent, its customers' payments and notes, its requests for refunds, a person's verdicts.

Everything goes through HTTP, with the agent's own key where an agent would act. Ids are made for each run, so that a
second run never meets the first one's keys.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from paywarden.client import AsyncPaywarden, PaywardenApiError
from paywarden.client.objects import Dossier, Limit, Payment
from paywarden.demo.cases import CURRENCY, DEFAULT_COUNT, Case, load_cases, record_of
from paywarden.demo.report import Outcome, Report, Result
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339, utc_now

AGENT = "support-agent"
CONCURRENCY = 8
_KEY_SECONDS = 3600
_SETTLE_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.3
_MOVING = frozenset({"pending", "reserved", "submitting", "outcome_unknown", "processing"})
_REFUSALS = frozenset({"denied", "insufficient", "declined", "state_conflict"})
_RESULTS: dict[str, Result] = {"succeeded": "refunded", "in_review": "in_review", "needs_facts": "needs_facts"}
# Per payment and per day: an advised refund may be 100.00 by the shipped policies, this mandate ends a little above.
_MANDATES = {"charge": (50_000, 100_000_000), "refund": (12_000, 10_000_000)}
_VERDICTS = 2

T = TypeVar("T")
# By the number of the case and, where a case has several, a number of its own.
Payments = dict[tuple[int, int], Payment]
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(slots=True)
class _World:
    """A run: who acts, and what is known so far."""

    run: str
    admin: AsyncPaywarden
    agent: AsyncPaywarden
    started_at: str
    progress: Progress
    charges: Payments = field(default_factory=dict)
    refunds: Payments = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def customer(self, case: Case) -> str:
        return f"demo-{self.run}-{case.number:03}"

    def reference(self, case: Case) -> str:
        return f"ORD-{self.run}-{case.number:03}"


async def play(url: str, admin_key: str, progress: Progress, count: int = DEFAULT_COUNT) -> Report:
    """Play ``count`` messages. Raises PaywardenApiError, PaywardenUnreachableError."""
    began = time.monotonic()
    cases = load_cases(count)
    async with AsyncPaywarden(url, admin_key) as admin, _agent_of(url, admin) as agent:
        world = _World(ids.new_uuid().hex[-8:], admin, agent, rfc3339(utc_now()), progress)
        await _each(world, "Customers pay and write", cases, lambda case: _set_up(world, case))
        await _settle(world, "The provider confirms the payments", world.charges)
        await _each(world, "The agent asks for refunds", cases, lambda case: _ask_refund(world, case))
        await _give_verdicts(world, cases)
        await _settle(world, "The provider confirms the refunds", world.refunds)
        await _each(world, "What became of them", cases, lambda case: _look(world, case))
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
    record = record_of(case, world.charges[case.number, 1]["id"], reference, world.started_at)
    if record is not None:
        await world.admin.add_note(customer, record.content, trust="record", source="order book", facts=record.facts)


async def _settle(world: _World, what: str, payments: Payments) -> None:
    """Wait, with a limit, until the provider's events have ended what moves; what is left is seen as it is."""
    moving = [spot for spot, payment in payments.items() if payment["status"] in _MOVING]
    total = len(moving)
    until = time.monotonic() + _SETTLE_SECONDS

    async def look(spot: tuple[int, int]) -> None:
        payments[spot] = await world.agent.get_payment(payments[spot]["id"])

    while moving and time.monotonic() < until:
        await _all(moving, look)
        moving = [spot for spot in moving if payments[spot]["status"] in _MOVING]
        world.progress(what, total - len(moving), total)
        if moving:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


# ---- What the agent does


async def _ask_refund(world: _World, case: Case) -> None:
    charge = world.charges[case.number, case.charges]
    if charge["status"] != "succeeded":
        world.outcomes[case.number] = Outcome(case, "not_asked", f"the charge is {charge['status']}", None, None)
        return
    try:
        world.refunds[case.number, 1] = await world.agent.refund(
            charge["id"],
            case.refund_minor,
            CURRENCY,
            request=case.message,
            reference=world.reference(case),
            idempotency_key=f"{world.customer(case)}-refund",
        )
    except PaywardenApiError as refused:
        await _take_refusal(world, case, refused)


async def _take_refusal(world: _World, case: Case, refused: PaywardenApiError) -> None:
    """A refusal is an outcome like any other; what is no refusal ends the demo."""
    if refused.code not in _REFUSALS:
        raise refused
    payment = refused.extra.get("payment")
    if payment is None:
        world.outcomes[case.number] = Outcome(case, "denied", refused.detail, None, None)
    else:
        world.refunds[case.number, 1] = await world.agent.get_payment(payment)


# ---- What a person does


async def _give_verdicts(world: _World, cases: Sequence[Case]) -> None:
    """The administrator, a person, approves what the records support and rejects what they contradict: a few each."""
    held = [case for case in cases if _status(world, case) == "in_review"]
    supported = [case for case in held if case.truth == "match"]
    supported.sort(key=lambda case: -case.refund_minor)
    contradicted = [case for case in held if case.truth == "contradict"]
    for case in supported[:_VERDICTS]:
        await _give_verdict(world, case, "approve", "Checked with the warehouse: the records are right.")
    for case in contradicted[:_VERDICTS]:
        await _give_verdict(world, case, "reject", "Our records say otherwise; the customer was told.")


def _status(world: _World, case: Case) -> str | None:
    refund = world.refunds.get((case.number, 1))
    return refund["status"] if refund else None


async def _give_verdict(world: _World, case: Case, verdict: Literal["approve", "reject"], reason: str) -> None:
    payment_id = world.refunds[case.number, 1]["id"]
    (review,) = (await world.admin.get_dossier(payment_id))["reviews"]
    await world.admin.give_verdict(review["id"], verdict, reason, action_digest=review["action_digest"])
    world.refunds[case.number, 1] = await world.admin.get_payment(payment_id)


# ---- What became of them


async def _look(world: _World, case: Case) -> None:
    """The outcome of a case. A person's no counts as reviewed."""
    refund = world.refunds.get((case.number, 1))
    if refund is None:
        return
    dossier = await world.agent.get_dossier(refund["id"])
    rejected = any(verdict["verdict"] == "reject" for verdict in dossier["verdicts"])
    oversight = "reviewed" if rejected else refund["oversight"]
    world.outcomes[case.number] = Outcome(case, _result(refund), _reason(dossier), oversight, refund["id"])


def _result(refund: Payment) -> Result:
    ended: Result = "on_its_way" if refund["status"] in _MOVING else "denied"
    return _RESULTS.get(refund["status"], ended)


def _reason(dossier: Dossier) -> str:
    """What a person said, else the adviser, else the rule. A limit of a mandate comes before any opinion."""
    payment, decisions = dossier["payment"], dossier["decisions"]
    if dossier["verdicts"]:
        return str(dossier["verdicts"][-1]["reason"])
    over_limit = payment["status"] == "denied" and not str(payment["reason"]).startswith("adviser_")
    if not decisions or over_limit:
        return payment["reason"] or ", ".join(payment["decided_by"])
    return decisions[-1]["reason"]


async def _report(world: _World, cases: Sequence[Case], seconds: float) -> Report:
    outcomes = [world.outcomes[case.number] for case in cases]
    advised = [each for each in outcomes if (each.result, each.oversight) == ("refunded", "advised")]
    telling = [each for each in advised if each.case.intent == "request_refund"] or advised
    return Report(
        run=world.run,
        agent=AGENT,
        seconds=seconds,
        charged=[charge["amount_minor"] for charge in world.charges.values() if charge["status"] == "succeeded"],
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
