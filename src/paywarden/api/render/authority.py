"""Who may do what: mandates, principals, keys, the tenant."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypedDict

from paywarden.api.render.values import instant
from paywarden.flow.words import Mandate, Principal
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339


class LimitObject(TypedDict):
    """The most a single payment may be (``payment``) or the budget of a calendar day (``day``)."""

    currency: str
    window: str
    limit_minor: int


class MandateObject(TypedDict):
    """What a principal may spend. ``payees`` null means any counterparty; ``valid_until`` is exclusive."""

    object: Literal["mandate"]
    id: str
    principal: str
    name: str
    kinds: list[str]
    payees: list[str] | None
    limits: list[LimitObject]
    timezone: str
    valid_from: str
    valid_until: str | None
    status: str
    version: int


class AgentObject(TypedDict):
    """An agent, a person or a service."""

    object: Literal["agent"]
    id: str
    kind: str
    name: str
    roles: list[str]
    status: str


class KeyObject(TypedDict):
    """An API key without its secret; ``hint`` are its last characters."""

    object: Literal["key"]
    id: str
    principal: str
    hint: str
    status: str
    expires_at: str | None
    revoked_at: str | None
    created_at: str


class NewKeyObject(KeyObject):
    """A key as it is shown once."""

    secret: str


class TenantObject(TypedDict):
    """The tenant of the key. Suspended, it sends nothing more to any provider."""

    object: Literal["tenant"]
    id: str
    status: str


def mandate_object(mandate: Mandate, principals: Mapping[UUID, str]) -> MandateObject:
    """A mandate; ``principals`` are public ids."""
    return {
        "object": "mandate",
        "id": ids.to_text("mdt", mandate.id),
        "principal": principals[mandate.principal_id],
        "name": mandate.name,
        "kinds": sorted(mandate.kinds),
        "payees": None if mandate.payees is None else sorted(mandate.payees),
        "limits": [
            {"currency": limit.currency, "window": limit.window, "limit_minor": limit.limit_minor}
            for limit in mandate.limits
        ],
        "timezone": mandate.timezone,
        "valid_from": rfc3339(mandate.valid_from),
        "valid_until": instant(mandate.valid_until),
        "status": mandate.status,
        "version": mandate.version,
    }


def agent_object(principal: Principal) -> AgentObject:
    """A principal."""
    return {
        "object": "agent",
        "id": principal.public_id,
        "kind": principal.kind,
        "name": principal.name,
        "roles": sorted(principal.roles),
        "status": principal.status,
    }


def key_object(row: Mapping[str, Any], principals: Mapping[UUID, str]) -> KeyObject:
    """A key's row. Whether it has expired is told by this machine's clock; it is the database's that counts."""
    return {
        "object": "key",
        "id": ids.to_text("key", row["id"]),
        "principal": principals[row["principal_id"]],
        "hint": row["hint"],
        "status": _key_status(row),
        "expires_at": instant(row["expires_at"]),
        "revoked_at": instant(row["revoked_at"]),
        "created_at": rfc3339(row["created_at"]),
    }


def _key_status(row: Mapping[str, Any]) -> str:
    if row["revoked_at"] is not None:
        return "revoked"
    expired = row["expires_at"] is not None and row["expires_at"] <= datetime.now(UTC)
    return "expired" if expired else "active"


def tenant_object(tenant_id: UUID, status: str) -> TenantObject:
    """The tenant."""
    return {"object": "tenant", "id": ids.to_text("ten", tenant_id), "status": status}
