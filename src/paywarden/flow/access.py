"""Access: who is calling, and what administrators change about principals, keys, mandates and the kill switch."""

from typing import Any, Literal
from uuid import UUID

from paywarden.audit import events
from paywarden.db.transaction import first_row, system_transaction, transaction
from paywarden.flow.authority import UNKNOWN_KEY
from paywarden.flow.desk import DEFAULT_ACCOUNT, DEFAULT_PROVIDER, Actor, Connection, Desk, Pool
from paywarden.guardrails import mandate_store
from paywarden.guardrails.mandate_terms import MandateTerms
from paywarden.guardrails.mandates import Limit, Mandate
from paywarden.identity import api_keys, principals, tenants
from paywarden.identity.principals import Kind, Principal
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit import ids
from paywarden.kit.errors import AuthenticationError, InvalidFieldError, NotFoundError, StateConflictError
from paywarden.kit.roles import ROLES
from paywarden.kit.text import clean_id
from paywarden.webhooks import inbox

KEYLESS_NAME = "quickstart"
ADMIN_NAME = "admin"
# Stated in shared/api.md: what the quick start may spend.
QUICKSTART_LIMITS = (Limit("usd", "payment", 50_000), Limit("usd", "day", 10_000_000))
_MAX_KEY_SECONDS = 10 * 365 * 24 * 3600


async def authenticate(pool: Pool, key_text: str) -> Principal:
    """The principal of a presented key. Raises AuthenticationError, the same whatever is wrong with it."""
    key = api_keys.read_key(key_text)
    row = await first_row(pool, key.tenant_id, api_keys.HOLDER, api_keys.asked(key))
    if row is None:
        raise AuthenticationError(UNKNOWN_KEY)
    return api_keys.holder(row).principal


async def quickstart_principal(desk: Desk) -> Principal:
    """The keyless principal of the quick start, made with its stated mandate at first use."""
    async with transaction(desk.pool, QUICKSTART_TENANT_ID) as connection:
        known = await principals.by_name(connection, "service", KEYLESS_NAME)
        if known is not None:
            return known
        principal = await principals.ensure(connection, "service", KEYLESS_NAME, ["initiate", "settle"])
        await _ensure_mandate(connection, principal)
    return principal


async def _ensure_mandate(connection: Connection, principal: Principal) -> None:
    """Whoever starts with the quick start has its stated mandate, once."""
    if await mandate_store.of_principal(connection, principal.id):
        return
    terms = MandateTerms(
        principal_id=principal.id,
        name="quick start",
        kinds=("charge", "refund"),
        limits=QUICKSTART_LIMITS,
        timezone="UTC",
    )
    await mandate_store.create(connection, terms)
    await tenants.count_authority_change(connection)


async def create_tenant(
    pool: Pool, name: str, environment: Literal["test", "live"], webhook_variable: str = "PAYMENT_WEBHOOK_SECRET"
) -> dict[str, str]:
    """A new tenant with an administrator (a person with every role), that person's key, and where its events arrive.

    ``webhook_variable`` names the environment variable with the secret of its webhooks. Raises InvalidFieldError,
    StateConflictError when the name is taken.
    """
    clean_id(name, "name")
    if (
        not webhook_variable.isascii()
        or not webhook_variable.isidentifier()
        or not webhook_variable.endswith("_SECRET")
    ):
        raise InvalidFieldError("webhook_variable", "must be the name of a variable that ends in _SECRET")
    tenant_id = ids.new_uuid()
    async with transaction(pool, tenant_id) as connection:
        tenant = await tenants.create(connection, tenant_id, name, environment)
        if tenant is None:
            raise StateConflictError(f"There is a tenant of the name '{name}' already.", param="name")
        _, secret = await _admin_key(connection, tenant)
        endpoint_id = await inbox.add_endpoint(connection, DEFAULT_PROVIDER, DEFAULT_ACCOUNT, webhook_variable)
    return {
        "id": ids.to_text("ten", tenant_id),
        "name": name,
        "environment": environment,
        "admin_key": secret,
        "webhook_path": f"/webhooks/payments/{DEFAULT_PROVIDER}/{ids.to_text('ep', endpoint_id)}",
    }


async def create_admin_key(pool: Pool, tenant_id: UUID) -> str:
    """A key for the tenant's administrator, who is made when there is none, with the quick start's mandate there.

    It is for whoever holds the database, so it also lets an administrator in again who was suspended.
    """
    async with transaction(pool, tenant_id) as connection:
        tenant = await tenants.find(connection, tenant_id)
        if tenant is None:
            raise NotFoundError("There is no such tenant.")
        admin, secret = await _admin_key(connection, tenant)
        if admin.status != "active":
            await principals.set_status(connection, admin.id, "active")
            await tenants.count_authority_change(connection)
            await events.record(connection, "principal.active", ("principal", admin.id), data={"by": "operator"})
        if tenant_id == QUICKSTART_TENANT_ID:
            await _ensure_mandate(connection, admin)
    return secret


async def create_admin_key_of(pool: Pool, name: str) -> str:
    """The same for the tenant of this name. Raises NotFoundError."""
    return await create_admin_key(pool, await tenant_of(pool, name))


async def tenant_of(pool: Pool, name: str) -> UUID:
    """The tenant of this name. Raises NotFoundError."""
    async with system_transaction(pool) as connection:
        tenant = await tenants.by_name(connection, name)
    if tenant is None:
        raise NotFoundError(f"There is no tenant of the name '{name}'.")
    tenant_id: UUID = tenant["id"]
    return tenant_id


async def _admin_key(connection: Connection, tenant: dict[str, Any]) -> tuple[Principal, str]:
    admin = await principals.ensure(connection, "person", ADMIN_NAME, ROLES)
    _, secret = await api_keys.create(
        connection,
        environment=tenant["environment"],
        tenant_id=tenant["id"],
        principal_id=admin.id,
        expires_in_seconds=None,
    )
    return admin, secret


async def create_agent(desk: Desk, actor: Actor, kind: Kind, name: str, roles: list[str]) -> Principal:
    """A new agent, person or service. Raises ForbiddenError, InvalidFieldError, StateConflictError (name taken)."""
    actor.principal.require("administer")
    clean_id(name, "name")
    if not set(roles) <= set(ROLES):
        raise InvalidFieldError("roles", f"must be among {', '.join(ROLES)}")
    async with transaction(desk.pool, actor.tenant_id) as connection:
        if await principals.by_name(connection, kind, name) is not None:
            raise StateConflictError(f"The name '{name}' is taken by another {kind}.", param="name")
        created = await principals.ensure(connection, kind, name, roles)
        await _note(connection, actor, "principal.created", created.id, kind=kind, roles=sorted(roles))
    return created


async def list_principals(desk: Desk, actor: Actor) -> list[Principal]:
    """All principals of the tenant, oldest first."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await principals.of_tenant(connection)


async def set_principal_status(
    desk: Desk, actor: Actor, principal_id: UUID, status: Literal["active", "suspended"]
) -> Principal:
    """Suspend (its keys stop at once, what it reserved is not sent) or reactivate a principal.

    Raises NotFoundError, StateConflictError for the last administrator.
    """
    actor.principal.require("administer")
    async with transaction(desk.pool, actor.tenant_id) as connection:
        # Also the tenant's lock: two administrators cannot stop each other at the same moment.
        await tenants.count_authority_change(connection)
        if not await principals.set_status(connection, principal_id, status):
            raise NotFoundError("There is no such principal.")
        await _require_administrator(connection)
        await _note(connection, actor, f"principal.{status}", principal_id)
        changed = await principals.find(connection, principal_id)
    assert changed is not None  # noqa: S101  it was just changed
    return changed


async def _require_administrator(connection: Connection) -> None:
    """Nobody may lock a tenant out of its own kill switch."""
    if not await api_keys.administrator_remains(connection):
        raise StateConflictError(
            "This would leave nobody who may administer this tenant: give another principal the role 'administer' "
            "and a key first."
        )


async def create_key(
    desk: Desk, actor: Actor, principal_id: UUID, expires_in_seconds: int | None
) -> tuple[dict[str, Any], str]:
    """A new API key for a principal: its row and the key, which is shown this once."""
    actor.principal.require("administer")
    if expires_in_seconds is not None and not 1 <= expires_in_seconds <= _MAX_KEY_SECONDS:
        raise InvalidFieldError("expires_in_seconds", f"must be 1 to {_MAX_KEY_SECONDS}")
    async with transaction(desk.pool, actor.tenant_id) as connection:
        if await principals.find(connection, principal_id) is None:
            raise NotFoundError("There is no such principal.")
        row, secret = await api_keys.create(
            connection,
            environment=actor.principal.environment,
            tenant_id=actor.tenant_id,
            principal_id=principal_id,
            expires_in_seconds=expires_in_seconds,
        )
        await _note(connection, actor, "key.created", row["id"])
    return row, secret


async def list_keys(desk: Desk, actor: Actor) -> list[dict[str, Any]]:
    """All keys of the tenant, without their secrets."""
    actor.principal.require("administer")
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await api_keys.of_tenant(connection)


async def revoke_key(desk: Desk, actor: Actor, key_id: UUID) -> dict[str, Any]:
    """End a key at once. Raises NotFoundError, StateConflictError for the last administrator's last key."""
    actor.principal.require("administer")
    async with transaction(desk.pool, actor.tenant_id) as connection:
        await tenants.count_authority_change(connection)
        row = await api_keys.revoke(connection, key_id)
        if row is None:
            raise NotFoundError("There is no such key.")
        await _require_administrator(connection)
        await _note(connection, actor, "key.revoked", key_id)
    return row


async def create_mandate(desk: Desk, actor: Actor, terms: MandateTerms) -> Mandate:
    """What a principal may spend from now on. Raises InvalidFieldError that names the field, NotFoundError."""
    actor.principal.require("administer")
    async with transaction(desk.pool, actor.tenant_id) as connection:
        if await principals.find(connection, terms.principal_id) is None:
            raise NotFoundError("There is no such principal.", param="principal")
        mandate = await mandate_store.create(connection, terms)
        await tenants.count_authority_change(connection)
        await _note(connection, actor, "mandate.created", mandate.id)
    return mandate


async def list_mandates(desk: Desk, actor: Actor) -> list[Mandate]:
    """All mandates of the tenant, oldest first."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await mandate_store.all_mandates(connection)


async def revoke_mandate(desk: Desk, actor: Actor, mandate_id: UUID) -> Mandate:
    """End a mandate: what was reserved under it is not sent any more. Raises NotFoundError."""
    actor.principal.require("administer")
    async with transaction(desk.pool, actor.tenant_id) as connection:
        mandate = await mandate_store.revoke(connection, mandate_id)
        await tenants.count_authority_change(connection)
        await _note(connection, actor, "mandate.revoked", mandate_id)
    return mandate


async def set_tenant_status(desk: Desk, actor: Actor, status: Literal["active", "suspended"]) -> None:
    """The kill switch: a suspended tenant sends nothing more to any provider."""
    actor.principal.require("administer")
    async with transaction(desk.pool, actor.tenant_id) as connection:
        await tenants.set_status(connection, status)
        await _note(connection, actor, f"tenant.{status}", actor.tenant_id)


async def _note(connection: Connection, actor: Actor, event_type: str, subject_id: UUID, **data: Any) -> None:
    await events.record(
        connection,
        event_type,
        (event_type.partition(".")[0], subject_id),
        principal_id=actor.principal.id,
        request_id=actor.request_id,
        data=data,
    )
