"""API keys: ``pw_{env}_{tenant}_{secret}``. The tenant stands in the key, so the wall is up before the look-up.

A key is shown once and stored as its SHA-256: the secret has 256 random bits, so a slow hash would add nothing.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db.sql import load
from paywarden.identity.principals import Principal, from_row
from paywarden.kit import ids
from paywarden.kit.errors import AuthenticationError, InvalidFieldError

SQL = load(__package__)
# What finds the holder of a key among the rows of its tenant, for who asks nothing else.
HOLDER = SQL.holder_of_key
Connection = AsyncConnection[dict[str, Any]]
_PARTS = 4
_HINT_CHARACTERS = 4


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A key as somebody presents it: which tenant it claims, and its hash."""

    tenant_id: UUID
    secret_sha256: bytes


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose key it is and until when, and how its tenant stands, at one moment (``now``) of the database's clock."""

    principal: Principal
    key_expires_at: datetime | None
    tenant_active: bool
    authority_version: int
    now: datetime


def read_key(text: str) -> PresentedKey:
    """The tenant and hash of a presented key. Raises AuthenticationError when it cannot be one of ours."""
    parts = text.split("_")
    if len(parts) != _PARTS or parts[0] != "pw" or parts[1] not in {"test", "live"} or not text.isascii():
        raise AuthenticationError("The API key is not of the form pw_{env}_{tenant}_{secret}.")
    try:
        tenant_id = ids.parse("ten", f"ten_{parts[2]}")
    except InvalidFieldError as error:
        raise AuthenticationError("The API key is not of the form pw_{env}_{tenant}_{secret}.") from error
    return PresentedKey(tenant_id, hashlib.sha256(text.encode()).digest())


async def create(
    connection: Connection, *, environment: str, tenant_id: UUID, principal_id: UUID, expires_in_seconds: int | None
) -> tuple[dict[str, Any], str]:
    """A new key of a principal: its row, and the key itself, which nobody can show again."""
    suffix = ids.to_text("ten", tenant_id).removeprefix("ten_")
    text = f"pw_{environment}_{suffix}_{secrets.token_hex(32)}"
    values = {
        "id": ids.new_uuid(),
        "principal_id": principal_id,
        "secret_sha256": hashlib.sha256(text.encode()).digest(),
        "hint": text[-_HINT_CHARACTERS:],
        "expires_in_seconds": expires_in_seconds,
    }
    row = await (await connection.execute(SQL.insert_key, values)).fetchone()
    if row is None:
        raise RuntimeError("the key was not stored")
    return row, text


async def holder_of(connection: Connection, key: PresentedKey) -> Holder | None:
    """Who holds this key, if it is valid: not revoked, not expired, principal active."""
    row = await (await connection.execute(HOLDER, asked(key))).fetchone()
    return None if row is None else holder(row)


def asked(key: PresentedKey) -> dict[str, Any]:
    """The values that HOLDER takes."""
    return {"secret_sha256": key.secret_sha256}


def holder(row: dict[str, Any]) -> Holder:
    """The holder that HOLDER found."""
    return Holder(
        from_row(row), row["key_expires_at"], row["tenant_status"] == "active", row["authority_version"], row["now"]
    )


async def of_tenant(connection: Connection) -> list[dict[str, Any]]:
    """All keys of the tenant without their secrets, newest first."""
    return await (await connection.execute(SQL.list_keys)).fetchall()


async def revoke(connection: Connection, key_id: UUID) -> dict[str, Any] | None:
    """End a key at once; the row, or None when there is no such key. Ending it twice changes nothing."""
    return await (await connection.execute(SQL.revoke_key, {"id": key_id})).fetchone()


async def administrator_remains(connection: Connection) -> bool:
    """Whether an active principal with the role ``administer`` has a key that works now."""
    return (await connection.execute(SQL.administrator_remains)).rowcount == 1
