"""The desk: everything a flow needs, composed once by ``app``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from paywarden.decisions.adviser import Adviser
from paywarden.guardrails.cedar import PolicySet
from paywarden.identity.principals import Principal
from paywarden.memory.embedder import Embedder
from paywarden.providers.port import Provider
from paywarden.settings import Settings

Connection = AsyncConnection[dict[str, Any]]
Pool = AsyncConnectionPool[Connection]
DEFAULT_ACCOUNT = "default"
DEFAULT_PROVIDER = "rest"


@dataclass(frozen=True, slots=True)
class Desk:
    """What flows work with. ``providers`` by name; each is one account at one provider."""

    settings: Settings
    pool: Pool
    providers: Mapping[str, Provider]
    policies: PolicySet
    adviser: Adviser
    embedder: Embedder

    def provider(self, name: str) -> Provider:
        """The provider of this name; a payment's provider never changes, so a missing one is a fault of set-up."""
        return self.providers[name]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is calling, and under which request id it will be found again in audit and logs."""

    principal: Principal
    request_id: str | None = None

    @property
    def tenant_id(self) -> UUID:
        """The only tenant this call can see."""
        return self.principal.tenant_id
