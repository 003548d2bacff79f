"""Replay: the snapshot of a stored decision before today's adviser, checks and policies. Nothing moves, and nothing of
the original changes; what the adviser says now is stored as a decision of its own, on which no payment rests.

Only what the advice decides is asked again. Mandates, budgets, approvals, and whether tenant and principal are active
stay out of it: they have their own reasons to change.
"""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from msgspec import structs

from paywarden.audit import events
from paywarden.db.transaction import transaction
from paywarden.decisions import store as decision_store
from paywarden.decisions.advice import Snapshot
from paywarden.decisions.adviser import Adviser, Effort, ModelAdviser
from paywarden.decisions.checks import check_advice
from paywarden.decisions.store import NewDecision, StoredDecision
from paywarden.flow import advise, decision, guard
from paywarden.flow.desk import Actor, Connection, Desk
from paywarden.flow.opinion import opinion
from paywarden.guardrails import oversight
from paywarden.guardrails.oversight import OversightDecision
from paywarden.kit.errors import ForbiddenError, InvalidFieldError, StateConflictError
from paywarden.kit.states import Status
from paywarden.payments import rows
from paywarden.payments.rows import Payment

_STATUS = {"allow": Status.RESERVED, "review": Status.IN_REVIEW, "deny": Status.DENIED}


@dataclass(frozen=True, slots=True)
class Course:
    """What a decision led to, or would lead to.

    ``status`` is what the payment went on to, None where there was no payment to decide. ``pays_minor`` is what goes
    out without another look, in minor units of the request's currency; without a payment, what the advice approves.
    """

    decision: StoredDecision
    status: Status | None
    oversight: str | None
    decided_by: tuple[str, ...]
    pays_minor: int


@dataclass(frozen=True, slots=True)
class Replay:
    """A decision as it was, and as it would be made now."""

    then: Course
    now: Course

    @property
    def difference_minor(self) -> int:
        """Minor units that would go out without another look now and did not then; below zero the other way round."""
        return self.now.pays_minor - self.then.pays_minor


async def replay(
    desk: Desk, actor: Actor, decision_id: UUID, *, model: str | None = None, effort: Effort | None = None
) -> Replay:
    """Ask again, the adviser in force or another model of it. It is paid from the tenant's money for advice.

    Raises ForbiddenError unless the principal administers or reviews: an agent that could ask until some model agrees
    would learn what to say. Raises NotFoundError, InvalidFieldError for a model where none is asked, StateConflictError
    for a decision that is a replay itself.
    """
    if not actor.principal.roles & {"administer", "review"}:
        raise ForbiddenError("A decision is replayed by a principal with the role 'administer' or 'review'.")
    original = await decision.find(desk, actor, decision_id)
    if original.row["replay_of"] is not None:
        raise StateConflictError("This decision is itself a replay; replay the one that it replays.")
    snapshot = Snapshot.from_json(original.row["snapshot"])
    record = await opinion(replace(desk, adviser=_adviser(desk, model, effort)), actor.tenant_id, snapshot)
    new = NewDecision(
        principal_id=actor.principal.id,
        snapshot=snapshot,
        record=record,
        checked=check_advice(snapshot, record),
        policy_version=desk.policies.version,
        replay_of=decision_id,
    )
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await _compare(connection, desk, actor, original, new)


def _adviser(desk: Desk, model: str | None, effort: Effort | None) -> Adviser:
    if model is None and effort is None:
        return desk.adviser
    if not isinstance(desk.adviser, ModelAdviser):
        field = "effort" if model is None else "model"
        raise InvalidFieldError(field, f"cannot be chosen: the adviser in force, '{desk.adviser.name}', asks no model")
    return desk.adviser.of_model(model or desk.settings.adviser_model, effort)


async def _compare(
    connection: Connection, desk: Desk, actor: Actor, original: StoredDecision, new: NewDecision
) -> Replay:
    payment_id = original.row["payment_id"]
    payment = None if payment_id is None else await rows.find(connection, payment_id)
    if payment is None:
        again = await _store(connection, new, None)
        told = Replay(_opinion(original), _opinion(again))
    else:
        moves = await rows.transitions(connection, payment.id)
        judged = await _judge(connection, desk, original, new, payment)
        again = await _store(connection, new, judged)
        told = Replay(_then(original, payment, moves), _now(desk, original, again, judged, payment, moves))
    await _note(connection, actor, original, told)
    return told


def _opinion(stored: StoredDecision) -> Course:
    """A decision that no payment waited for: what it comes to is what it approves."""
    return Course(stored, None, None, (), stored.row["advice"]["amount_minor"])


def _then(original: StoredDecision, payment: Payment, moves: list[dict[str, Any]]) -> Course:
    """The commit that stored the decision moved the payment on, unless somebody else had moved it meanwhile."""
    made_at = original.row["created_at"]
    move = next((each for each in moves if each["created_at"] >= made_at and each["source"] == "guard"), None)
    detail: dict[str, Any] = (move["detail"] if move else None) or {}
    status = Status(move["to_status"]) if move else payment.status
    pays_minor = payment.amount_minor if status is Status.RESERVED else 0
    return Course(original, status, detail.get("oversight"), tuple(detail.get("decided_by", ())), pays_minor)


async def _judge(
    connection: Connection, desk: Desk, original: StoredDecision, new: NewDecision, payment: Payment
) -> OversightDecision:
    """Today's policies on the payment as it was when the original was made."""
    situation = await guard.look(connection, payment, advise.facts_of(new.checked))
    facts = structs.replace(
        situation.facts,
        tenant_active=True,
        principal_active=True,
        approvals=(),
        local_hour=guard.local_hour(situation.mandates, original.row["created_at"]),
    )
    return oversight.decide(desk.policies, facts)


async def _store(connection: Connection, new: NewDecision, judged: OversightDecision | None) -> StoredDecision:
    decision_id = await decision_store.save(connection, new)
    if judged is not None:
        await decision_store.save_checks(
            connection, judged.checks, decision_id=decision_id, policy_version=new.policy_version
        )
    stored = await decision_store.find(connection, decision_id)
    assert stored is not None  # noqa: S101  it was written above
    return stored


def _now(
    desk: Desk,
    original: StoredDecision,
    again: StoredDecision,
    judged: OversightDecision,
    payment: Payment,
    moves: list[dict[str, Any]],
) -> Course:
    status = _STATUS[judged.outcome]
    if status is Status.IN_REVIEW and again.row["advice"]["verdict"] == "need_facts":
        made_at = original.row["created_at"]
        asked = [each for each in moves if each["to_status"] == Status.NEEDS_FACTS and each["created_at"] < made_at]
        status = Status.NEEDS_FACTS if len(asked) < desk.settings.facts_rounds else status
    # What only the budget stopped is no adviser's to let go.
    stopped = payment.status is Status.DENIED and payment.decided_by == [guard.INSUFFICIENT]
    pays_minor = payment.amount_minor if status is Status.RESERVED and not stopped else 0
    return Course(again, status, judged.oversight, judged.determining, pays_minor)


async def _note(connection: Connection, actor: Actor, original: StoredDecision, told: Replay) -> None:
    await events.record(
        connection,
        "decision.replayed",
        ("decision", original.row["id"]),
        principal_id=actor.principal.id,
        request_id=actor.request_id,
        data={"replay": told.now.decision.public_id, "difference_minor": told.difference_minor},
    )
