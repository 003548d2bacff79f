"""What the stories share: agents with keys for one run, many requests at a time, and how each of them ended."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from paywarden.client import AsyncPaywarden, PaywardenApiError
from paywarden.client.objects import Limit, Payment
from paywarden.demo.cases import CURRENCY
from paywarden.demo.report import Outcome, Result
from paywarden.kit.clock import utc_now
from paywarden.kit.roles import Role

CONCURRENCY = 8
MOVING = frozenset({"pending", "reserved", "submitting", "outcome_unknown", "processing"})
_KEY_SECONDS = 3600
# How long nothing may move before what is left is seen as it is. A model takes its time.
_STILL_SECONDS = 45.0
_LOOK_AGAIN_SECONDS = 0.3
_REFUSALS = frozenset({"denied", "insufficient", "declined", "state_conflict"})
_RESULTS: dict[str, Result] = {"in_review": "in_review", "needs_facts": "needs_facts"}

T = TypeVar("T")
Spot = tuple[int, int]
"""The number of a case and, where a case has several payments, a number of its own."""
Payments = dict[Spot, Payment]
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One run: its name, the administrator, when it began, and who watches."""

    run: str
    admin: AsyncPaywarden
    url: str
    started_at: str
    progress: Progress


# ---- Who acts


@asynccontextmanager
async def hired(
    stage: Stage, name: str, roles: Sequence[Role], mandates: Mapping[str, tuple[int, int]] | None = None
) -> AsyncIterator[AsyncPaywarden]:
    """An agent with a key that ends with the run.

    ``mandates`` are its limits by kind, per payment and per day, in minor units.
    """
    agents = (await stage.admin.list_agents())["data"]
    known = [agent["id"] for agent in agents if (agent["kind"], agent["name"]) == ("agent", name)]
    agent_id = known[0] if known else (await stage.admin.create_agent("agent", name, list(roles)))["id"]
    await _ensure_mandates(stage.admin, agent_id, mandates or {})
    key = await stage.admin.create_key(agent_id, expires_in_seconds=_KEY_SECONDS)
    try:
        async with AsyncPaywarden(stage.url, key["secret"]) as agent:
            yield agent
    finally:
        await stage.admin.revoke_key(key["id"])


async def _ensure_mandates(admin: AsyncPaywarden, agent_id: str, wanted: Mapping[str, tuple[int, int]]) -> None:
    mandates = (await admin.list_mandates())["data"]
    present = {each["name"] for each in mandates if each["principal"] == agent_id and each["status"] == "active"}
    for kind, (payment_minor, day_minor) in wanted.items():
        name = f"demo {kind}s"
        if name not in present:
            limits: list[Limit] = [
                {"currency": CURRENCY, "window": "payment", "limit_minor": payment_minor},
                {"currency": CURRENCY, "window": "day", "limit_minor": day_minor},
            ]
            await admin.create_mandate(agent_id, name, [kind], limits)


# ---- Asking, and waiting for an end


async def ask(agent: AsyncPaywarden, request: Awaitable[Payment]) -> Payment | str:
    """The payment that a request became, a refused one, too, or the refusal of one that became none.

    What is no refusal ends the demo.
    """
    try:
        return await request
    except PaywardenApiError as refused:
        if refused.code not in _REFUSALS:
            raise
        payment = refused.extra.get("payment")
        return refused.detail if payment is None else await agent.get_payment(payment)


async def settle(
    stage: Stage, agent: AsyncPaywarden, what: str, payments: Payments, moving: frozenset[str] = MOVING
) -> None:
    """Wait until none of these moves any more, or none has come to rest for a while."""
    left = [spot for spot, payment in payments.items() if payment["status"] in moving]
    total, until = len(left), time.monotonic() + _STILL_SECONDS

    async def look(spot: Spot) -> None:
        payments[spot] = await agent.get_payment(payments[spot]["id"])

    while left and time.monotonic() < until:
        await all_of(left, look)
        before, left = len(left), [spot for spot in left if payments[spot]["status"] in moving]
        until = until if len(left) == before else time.monotonic() + _STILL_SECONDS
        stage.progress(what, total - len(left), total)
        if left:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def give_verdict(
    reviewer: AsyncPaywarden, payment: Payment, verdict: Literal["approve", "reject"], reason: str
) -> Payment:
    """A verdict on the payment's open review; the payment after it."""
    review = (await reviewer.list_reviews(payment=payment["id"]))["data"][0]
    await reviewer.give_verdict(review["id"], verdict, reason, action_digest=review["action_digest"])
    return await reviewer.get_payment(payment["id"])


# ---- How it ended


async def outcome(agent: AsyncPaywarden, about: str, amount_minor: int, asked: Payment | str) -> Outcome:
    """What became of a request. A person's no counts as reviewed."""
    if isinstance(asked, str):
        return Outcome(about, amount_minor, "denied", asked, None, None)
    dossier = await agent.get_dossier(asked["id"])
    payment = dossier["payment"]
    until = _extended_until(dossier) if payment["status"] == "denied" else None
    rejected = any(verdict["verdict"] == "reject" for verdict in dossier["verdicts"])
    return Outcome(
        about=about,
        amount_minor=amount_minor,
        result="extended" if until else _result(payment),
        reason=_reason(dossier),
        oversight="reviewed" if rejected else payment["oversight"],
        payment=payment["id"],
        until=until,
    )


def _result(payment: Mapping[str, Any]) -> Result:
    if payment["status"] == "succeeded":
        return "refunded" if payment["kind"] == "refund" else "paid"
    ended: Result = "on_its_way" if payment["status"] in MOVING else "denied"
    return _RESULTS.get(payment["status"], ended)


def _extended_until(dossier: Mapping[str, Any]) -> str | None:
    """The last day of a promise on record that the adviser's no rests on: a fact it cites, never its words."""
    if not dossier["decisions"] or dossier["decisions"][-1]["verdict"] != "deny":
        return None
    evidence = dossier["decisions"][-1]["evidence"]
    stated = [note["facts"] for note in evidence if note["cited"] and note["facts"]]
    today = utc_now().date().isoformat()
    promised = [str(facts["until"]) for facts in stated if facts["type"] == "extension"]
    return max((until for until in promised if until >= today), default=None)


def _reason(dossier: Mapping[str, Any]) -> str:
    """What a reviewer said, else the adviser, else the rule. A limit of a mandate comes before any opinion."""
    payment, decisions = dossier["payment"], dossier["decisions"]
    if dossier["verdicts"]:
        return str(dossier["verdicts"][-1]["reason"])
    over_limit = payment["status"] == "denied" and not str(payment["reason"]).startswith("adviser_")
    if not decisions or over_limit:
        return payment["reason"] or f"permitted by {', '.join(payment['decided_by'])}"
    return str(decisions[-1]["reason"])


# ---- Many at a time


async def each(stage: Stage, what: str, items: Sequence[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do all of them, and tell how far it is."""
    done = 0

    async def one(item: T) -> None:
        nonlocal done
        await work(item)
        done += 1
        stage.progress(what, done, len(items))

    await all_of(items, one)


async def all_of(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
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
