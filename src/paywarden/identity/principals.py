"""Who acts: an agent, a person or a service of one tenant, with its roles."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db import columns
from paywarden.db.sql import load
from paywarden.kit import ids
from paywarden.kit.errors import ForbiddenError
from paywarden.kit.roles import Role

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]
Kind = Literal["agent", "person", "service"]
ID_PREFIX: dict[Kind, ids.Prefix] = {"agent": "agt", "person": "per", "service": "svc"}


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated actor. ``environment`` is the tenant's: test or live."""

    tenant_id: UUID
    id: UUID
    kind: Kind
    name: str
    roles: frozenset[str]
    status: Literal["active", "suspended"]
    environment: str

    @property
    def public_id(self) -> str:
        """The id as answers show it, its prefix by kind."""
        return ids.to_text(ID_PREFIX[self.kind], self.id)

    def require(self, role: Role) -> None:
        """Raises ForbiddenError unless the principal has this role."""
        if role not in self.roles:
            raise ForbiddenError(f"This needs the role '{role}', which {self.kind} '{self.name}' does not have.")


def from_row(row: dict[str, Any]) -> Principal:
    """A principal from its row."""
    return Principal(
        row["tenant_id"], row["id"], row["kind"], row["name"], frozenset(row["roles"]), row["status"],
        row["environment"],
    )  # fmt: skip


async def find(connection: Connection, principal_id: UUID) -> Principal | None:
    """A principal of the tenant by id."""
    row = await (await connection.execute(SQL.principal_by_id, {"id": principal_id})).fetchone()
    return None if row is None else from_row(row)


async def ensure(connection: Connection, kind: Kind, name: str, roles: Iterable[str]) -> Principal:
    """The principal of this kind and name, created with these roles when it is new; roles of an old one stay."""
    values = {"id": ids.new_uuid(), "kind": kind, "name": name, "roles": sorted(roles)}
    await connection.execute(SQL.insert_principal, values)
    principal = await by_name(connection, kind, name)
    if principal is None:
        raise RuntimeError("the principal was not stored")
    return principal


async def by_name(connection: Connection, kind: Kind, name: str) -> Principal | None:
    """The principal of this kind and name."""
    row = await (await connection.execute(SQL.principal_by_name, {"kind": kind, "name": name})).fetchone()
    return None if row is None else from_row(row)


async def of_tenant(connection: Connection) -> list[Principal]:
    """All principals of the tenant, oldest first."""
    return [from_row(row) for row in await (await connection.execute(SQL.list_principals)).fetchall()]


async def set_status(connection: Connection, principal_id: UUID, status: str) -> bool:
    """Suspend or reactivate; False when there is no such principal. Counts as a change of authority."""
    cursor = await connection.execute(SQL.set_principal_status, {"id": principal_id, "status": status})
    return cursor.rowcount == 1


async def ensure_customer(connection: Connection, customer_id: str) -> bool:
    """Make sure the customer has a row; True when it was there before."""
    cursor = await connection.execute(SQL.insert_customer, {"id": customer_id})
    return cursor.rowcount == 0


async def customer_exists(connection: Connection, customer_id: str) -> bool:
    """Whether the tenant knows this customer."""
    return (await connection.execute(SQL.customer_by_id, {"id": customer_id})).rowcount == 1


async def ensure_customers(connection: Connection, customer_ids: Iterable[str]) -> None:
    """Make sure that each of these customers has a row."""
    await connection.execute(SQL.insert_customers, {"ids": columns.texts(sorted(set(customer_ids)))})
