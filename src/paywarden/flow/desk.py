"""The desk: everything a flow needs, composed once by ``app``."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from paywarden.decisions.adviser import Adviser
from paywarden.flow.authority import Standing, Standings
from paywarden.flow.groups import Groups
from paywarden.flow.ledger_group import LedgerGroup
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
    """What flows work with. ``providers`` by name; each is one account at one provider.

    ``stopping`` is set when the process shall end: who only waits for something comes back then.
    """

    settings: Settings
    pool: Pool
    providers: Mapping[str, Provider]
    policies: PolicySet
    adviser: Adviser
    embedder: Embedder
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    standings: Standings = field(init=False)
    ledger: LedgerGroup = field(init=False)
    groups: Groups = field(default_factory=Groups)
    # Rows of webhook endpoints by their id (flow/provider_event.py).
    known_endpoints: dict[UUID, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Both belong to the pool that they work with.
        object.__setattr__(self, "standings", Standings(self.pool))
        object.__setattr__(self, "ledger", LedgerGroup(self.pool))

    def provider(self, name: str) -> Provider:
        """The provider of this name; a payment's provider never changes, so a missing one is a fault of set-up."""
        return self.providers[name]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is calling, and under which request id it will be found again in audit and logs.

    ``standing`` is what is remembered of the caller's key, where a route works with that.
    """

    principal: Principal
    request_id: str | None = None
    standing: Standing | None = None

    @property
    def tenant_id(self) -> UUID:
        """The only tenant this call can see."""
        return self.principal.tenant_id
