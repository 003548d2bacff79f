"""A gate's holds straight through the ledger's door, for tests that are about something else."""

from uuid import UUID

from paywarden.db.transaction import transaction
from paywarden.flow.desk import Actor, Desk
from paywarden.identity import tenants
from paywarden.kit import ids
from paywarden.kit.canonical import digest
from paywarden.ledger import chart, door
from paywarden.ledger.intents import Authority, Gate, Intent, Key, Line, Outcome, Post, Reserve


async def write(desk: Desk, tenant_id: UUID, *intents: Intent) -> list[Outcome]:
    async with transaction(desk.pool, tenant_id) as connection:
        return await door.write(connection, intents)


async def hold(
    desk: Desk, actor: Actor, customer: str, amount_minor: int, *, expires_in_seconds: int = 3600, feature: str = "f"
) -> UUID:
    """Hold some of a customer's granted credit; the hold's id."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        tenant = await tenants.find(connection, actor.tenant_id)
        assert tenant is not None
    hold_id = ids.new_uuid()
    line = Line(chart.granted_credit(customer, "usd"), chart.credit_spent(customer, "usd"))
    wanted = Reserve(
        hold_id,
        None,
        Authority(actor.principal.id, tenant["authority_version"]),
        amount_minor,
        [line],
        gate=Gate(actor.principal.id, "usd", customer_id=customer, feature=feature),
        key=Key(actor.principal.id, str(hold_id), digest([str(hold_id)])),
        expires_in_seconds=expires_in_seconds,
    )
    (outcome,) = await write(desk, actor.tenant_id, wanted)
    assert outcome.result == "ok", outcome
    return hold_id


async def capture(desk: Desk, actor: Actor, hold_id: UUID, amount_minor: int) -> None:
    taken = Post(hold_id, None, f"capture:{ids.to_text('hold', hold_id)}:1", "capture", amount_minor, fact=False)
    (outcome,) = await write(desk, actor.tenant_id, taken)
    assert outcome.result == "ok", outcome
