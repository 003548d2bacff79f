"""Authority: who holds an API key and what that principal may do, remembered between requests, never trusted alone.

A remembered standing may permit: the commit that follows compares the tenant's count of authority changes and every
end of validity under its locks, and answers ``stale`` when anything is different. It never refuses: what it would
refuse is judged again on a fresh one. So a revocation counts at once in every process, and nobody has to be told of it.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from paywarden.db.pool import Pool
from paywarden.db.transaction import transaction
from paywarden.guardrails import mandate_store
from paywarden.guardrails.mandates import Mandate
from paywarden.identity import api_keys, principals, tenants
from paywarden.identity.api_keys import PresentedKey
from paywarden.identity.principals import Principal
from paywarden.kit.errors import AuthenticationError
from paywarden.ledger.intents import Authority

UNKNOWN_KEY = "The API key is not known, has expired or was revoked."
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """A principal with everything its requests may rest on, as it stood at ``seen_at`` by the database's clock.

    ``key`` is what it was recognised by, None where that was no API key; ``key_expires_at`` None: never.
    """

    principal: Principal
    tenant_active: bool
    mandates: tuple[Mandate, ...]
    version: int
    seen_at: datetime
    key: PresentedKey | None = None
    key_expires_at: datetime | None = None
    _own: Authority = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # What rests on no mandate, said once for thousands of requests.
        object.__setattr__(self, "_own", Authority(self.principal.id, self.version, (), self.key_expires_at))

    def authority(self, mandate_ids: Sequence[UUID] = (), until: datetime | None = None) -> Authority:
        """What the ledger checks again; ``until`` is when the judgement made on this standing ends."""
        if not mandate_ids and until is None:
            return self._own
        ends = [end for end in (self.key_expires_at, until) if end is not None]
        return Authority(self.principal.id, self.version, mandate_ids, min(ends, default=None))


class Standings:
    """The standings of the API keys that were used last, ``most`` at most."""

    def __init__(self, pool: Pool, most: int = MOST_REMEMBERED) -> None:
        self._pool = pool
        self._most = most
        self._by_key: OrderedDict[bytes, Standing] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    async def of_key(self, text: str) -> Standing:
        """The standing of whoever presents this key, remembered or read. Raises AuthenticationError."""
        remembered = self._by_key.get(digest := hashlib.sha256(text.encode()).digest())
        if remembered is None:
            return await self._read(api_keys.read_key(text))
        self._by_key.move_to_end(digest)
        return remembered

    async def of_principal(self, principal: Principal) -> Standing:
        """The present standing of a principal that was recognised otherwise. Raises AuthenticationError."""
        async with transaction(self._pool, principal.tenant_id) as connection:
            # The count before what it counts: a change in between makes this standing stale, never newer than it is.
            tenant = await tenants.find(connection, principal.tenant_id)
            present = await principals.find(connection, principal.id)
            if tenant is None or present is None or present.status != "active":
                raise AuthenticationError("The principal is not active.")
            mandates = await mandate_store.of_principal(connection, principal.id)
        return Standing(
            present, tenant["status"] == "active", tuple(mandates), tenant["authority_version"], tenant["now"]
        )

    async def again(self, stale: Standing) -> Standing:
        """The present standing in place of one that is stale. Raises AuthenticationError when the key ended."""
        if stale.key is None:
            return await self.of_principal(stale.principal)
        self._by_key.pop(stale.key.secret_sha256, None)
        return await self._read(stale.key)

    async def _read(self, key: PresentedKey) -> Standing:
        async with transaction(self._pool, key.tenant_id) as connection:
            # The holder with the tenant's count first, for the same reason.
            holder = await api_keys.holder_of(connection, key)
            if holder is None:
                raise AuthenticationError(UNKNOWN_KEY)
            mandates = await mandate_store.of_principal(connection, holder.principal.id)
        standing = Standing(
            holder.principal,
            holder.tenant_active,
            tuple(mandates),
            holder.authority_version,
            holder.now,
            key,
            holder.key_expires_at,
        )
        self._by_key[key.secret_sha256] = standing
        self._by_key.move_to_end(key.secret_sha256)
        if len(self._by_key) > self._most:
            self._by_key.popitem(last=False)
        return standing
