"""How requests at the billing gate are written: on what is remembered of the caller, and again where that was stale."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from uuid import UUID

import structlog
from msgspec import Struct

from paywarden.db.sql import load
from paywarden.db.transaction import transaction
from paywarden.flow.authority import Standing
from paywarden.flow.desk import Actor, Desk
from paywarden.flow.held import Answer
from paywarden.kit.errors import (
    AuthorityChangedError,
    InternalError,
    NotFoundError,
    PaymentDeniedError,
    PaywardenError,
)
from paywarden.kit.roles import Role
from paywarden.ledger.intents import Intent, Outcome

SQL = load(__package__)
_LOG = structlog.get_logger(__name__)
_TENANT_INACTIVE = "tenant_inactive"
_TRIES = 4


class Planned(Struct, frozen=True):
    """What to ask of the ledger, and what its outcome means."""

    intent: Intent
    meaning: Callable[[Outcome], Answer]


Plan = Callable[[Standing], Planned]


async def write_each(desk: Desk, actor: Actor, plans: Sequence[Plan], *roles: Role) -> list[Answer]:
    """Plan on what is remembered of the caller, write, and do again on a fresh look whatever was stale or refused.

    The caller needs one of ``roles``. Raises AuthenticationError when its key has ended, ForbiddenError,
    PaymentDeniedError while its tenant is suspended, OverloadedError.
    """
    standing = actor.standing or await desk.standings.of_principal(actor.principal)
    answers: dict[int, Answer] = {}
    for _ in range(_TRIES):
        left = {place: plans[place] for place in range(len(plans)) if place not in answers}
        planned, refused = _planned(standing, left, roles)
        if standing is not actor.standing:
            answers |= refused
        answers |= await _written(desk, actor.tenant_id, planned)
        if len(answers) == len(plans):
            return [answers[place] for place in range(len(plans))]
        try:
            standing = await desk.standings.again(standing)
            _require(standing, roles)
        except PaywardenError as error:
            if not answers:
                raise
            return [answers.get(place, error) for place in range(len(plans))]
    restless = AuthorityChangedError("Authority keeps changing; please retry with the same key.", retry_after_seconds=1)
    return [answers.get(place, restless) for place in range(len(plans))]


def _require(standing: Standing, roles: Sequence[Role]) -> None:
    if not standing.principal.roles.intersection(roles):
        standing.principal.require(roles[0])
    if not standing.tenant_active:
        says = "the whole tenant is suspended; an administrator can activate it again"
        raise PaymentDeniedError(f"Denied by {_TENANT_INACTIVE}: {says}.", rule=_TENANT_INACTIVE)


def _planned(
    standing: Standing, plans: Mapping[int, Plan], roles: Sequence[Role]
) -> tuple[dict[int, Planned], dict[int, PaywardenError]]:
    try:
        _require(standing, roles)
    except PaywardenError as error:
        return {}, dict.fromkeys(plans, error)
    planned: dict[int, Planned] = {}
    refused: dict[int, PaywardenError] = {}
    for place, plan in plans.items():
        try:
            planned[place] = plan(standing)
        except PaywardenError as error:
            refused[place] = error
    return planned, refused


async def _written(desk: Desk, tenant_id: UUID, planned: Mapping[int, Planned]) -> dict[int, Answer]:
    """The answers of what was written or refused by the ledger; what was stale is left out."""
    if not planned:
        return {}
    outcomes = await desk.ledger.write(tenant_id, [each.intent for each in planned.values()])
    return {
        place: _failed(outcome) if outcome.result == "error" else each.meaning(outcome)
        for (place, each), outcome in zip(planned.items(), outcomes, strict=True)
        if outcome.result != "stale"
    }


def _failed(outcome: Outcome) -> InternalError:
    _LOG.error("the ledger failed", sqlstate=outcome.detail.get("sqlstate"), reason=outcome.detail.get("reason"))
    return InternalError()


OwnedPlan = Callable[[UUID | None, Standing], Planned]
"""A plan that is also told whose hold it is, None for the caller's own."""


async def change_each(desk: Desk, actor: Actor, hold_ids: Sequence[UUID], plans: Sequence["OwnedPlan"]) -> list[Answer]:
    """The same for holds that are there: the caller's own, and for whoever may settle then anybody's."""
    answers = await write_each(desk, actor, [partial(plan, None) for plan in plans], "initiate", "settle")
    missing = [place for place, answer in enumerate(answers) if isinstance(answer, NotFoundError)]
    if not missing or "settle" not in actor.principal.roles:
        return answers
    owners = await _owners(desk, actor.tenant_id, [hold_ids[place] for place in missing])
    others = [place for place in missing if hold_ids[place] in owners]
    told = await write_each(desk, actor, [partial(plans[place], owners[hold_ids[place]]) for place in others], "settle")
    for place, answer in zip(others, told, strict=True):
        answers[place] = answer
    return answers


async def _owners(desk: Desk, tenant_id: UUID, hold_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Whose these holds are; the hold of a payment is nobody's here."""
    async with transaction(desk.pool, tenant_id) as connection:
        rows = await (await connection.execute(SQL.hold_owners, {"ids": list(hold_ids)})).fetchall()
    return {row["id"]: row["principal_id"] for row in rows}
