"""Authority: mandates, principals and their keys, the tenant itself."""

from collections.abc import Sequence

from paywarden.client import objects
from paywarden.client.calls.sending import at, get, post
from paywarden.client.conversation import Conversation, converse
from paywarden.client.objects import Limit, Page


def create_mandate(
    principal: str,
    name: str,
    kinds: Sequence[str],
    limits: Sequence[Limit],
    *,
    timezone: str = "UTC",
    payees: Sequence[str] | None = None,
    valid_from: str | None = None,
    valid_until: str | None = None,
) -> Conversation[objects.Mandate]:
    """What a principal may spend from now on."""
    return converse(
        post(
            "/v1/mandates",
            principal=principal,
            name=name,
            kinds=list(kinds),
            limits=list(limits),
            timezone=timezone,
            payees=None if payees is None else list(payees),
            valid_from=valid_from,
            valid_until=valid_until,
        )
    )


def list_mandates() -> Conversation[Page[objects.Mandate]]:
    """All mandates."""
    return converse(get("/v1/mandates"))


def revoke_mandate(mandate: str) -> Conversation[objects.Mandate]:
    """End a mandate: what was reserved under it is not sent any more."""
    return converse(post(at("mandates", mandate, "revoke")))


def create_agent(kind: str, name: str, roles: Sequence[str]) -> Conversation[objects.Agent]:
    """A new agent, person or service."""
    return converse(post("/v1/agents", kind=kind, name=name, roles=list(roles)))


def list_agents() -> Conversation[Page[objects.Agent]]:
    """All agents, people and services."""
    return converse(get("/v1/agents"))


def suspend_agent(agent: str) -> Conversation[objects.Agent]:
    """Stop a principal at once."""
    return converse(post(at("agents", agent, "suspend")))


def activate_agent(agent: str) -> Conversation[objects.Agent]:
    """Let a suspended principal act again."""
    return converse(post(at("agents", agent, "activate")))


def create_key(principal: str, *, expires_in_seconds: int | None = None) -> Conversation[objects.NewKey]:
    """A new API key; its ``secret`` is shown this once."""
    return converse(post("/v1/keys", principal=principal, expires_in_seconds=expires_in_seconds))


def list_keys() -> Conversation[Page[objects.Key]]:
    """All keys, without their secrets."""
    return converse(get("/v1/keys"))


def revoke_key(key: str) -> Conversation[objects.Key]:
    """End a key at once."""
    return converse(post(at("keys", key, "revoke")))


def suspend_tenant() -> Conversation[objects.Tenant]:
    """The kill switch: nothing more is sent to any provider."""
    return converse(post("/v1/tenant/suspend"))


def activate_tenant() -> Conversation[objects.Tenant]:
    """Undo the kill switch."""
    return converse(post("/v1/tenant/activate"))
