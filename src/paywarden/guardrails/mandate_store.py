"""Mandates in their tables. Whoever changes one must also count an authority change (``identity.tenants``)."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from paywarden.db.sql import load
from paywarden.guardrails.mandate_terms import MandateTerms, validate
from paywarden.guardrails.mandates import Limit, Mandate
from paywarden.kit import ids
from paywarden.kit.errors import NotFoundError
from paywarden.kit.money import check_amount_minor

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]


async def create(connection: Connection, terms: MandateTerms) -> Mandate:
    """A new active mandate, valid from now on if its terms do not say.

    Raises InvalidFieldError for terms that are not allowed, NotFoundError when the tenant has no such principal.
    """
    if terms.valid_from is None:
        terms = replace(terms, valid_from=await _now(connection))
    validate(terms)
    mandate_id = ids.new_uuid()
    values = {
        "id": mandate_id,
        "principal_id": terms.principal_id,
        "name": terms.name,
        "kinds": sorted(set(terms.kinds)),
        "payees": None if terms.payees is None else sorted(set(terms.payees)),
        "timezone": terms.timezone,
        "valid_from": terms.valid_from,
        "valid_until": terms.valid_until,
    }
    if await (await connection.execute(SQL.insert_mandate, values)).fetchone() is None:
        raise NotFoundError("There is no such principal.", param="principal_id")
    lines = {
        "mandate_id": mandate_id,
        "currencies": [limit.currency for limit in terms.limits],
        "window_kinds": [limit.window for limit in terms.limits],
        "limits_minor": [limit.limit_minor for limit in terms.limits],
    }
    await connection.execute(SQL.insert_mandate_limits, lines)
    return await _existing(connection, mandate_id)


async def find(connection: Connection, mandate_id: UUID) -> Mandate | None:
    """A mandate of this tenant by id."""
    return next(iter(await _mandates(connection, mandate_id=mandate_id)), None)


async def of_principal(connection: Connection, principal_id: UUID) -> list[Mandate]:
    """All mandates of a principal, revoked ones too, oldest first."""
    return await _mandates(connection, principal_id=principal_id)


async def all_mandates(connection: Connection) -> list[Mandate]:
    """All mandates of the tenant, oldest first."""
    return await _mandates(connection)


async def revoke(connection: Connection, mandate_id: UUID) -> Mandate:
    """The mandate, revoked now or before. Raises NotFoundError."""
    await connection.execute(SQL.revoke_mandate, {"id": mandate_id})
    return await _existing(connection, mandate_id)


async def change_limit(connection: Connection, mandate_id: UUID, limit: Limit) -> Mandate:
    """The mandate with another amount on a limit it has; open windows are adjusted by the next payment in them.

    Raises NotFoundError when there is no such mandate, or it is revoked or has no such limit.
    """
    values = {
        "mandate_id": mandate_id,
        "currency": limit.currency,
        "window_kind": limit.window,
        "limit_minor": check_amount_minor(limit.limit_minor, "limit_minor"),
    }
    if await (await connection.execute(SQL.change_limit, values)).fetchone() is None:
        raise NotFoundError("There is no such active mandate with a limit of this currency and window.")
    return await _existing(connection, mandate_id)


async def _now(connection: Connection) -> datetime:
    row = await (await connection.execute(SQL.now)).fetchone()
    if row is None:
        raise RuntimeError("the database shows no time")
    now: datetime = row["now"]
    return now


async def _existing(connection: Connection, mandate_id: UUID) -> Mandate:
    mandate = await find(connection, mandate_id)
    if mandate is None:
        raise NotFoundError("There is no such mandate.")
    return mandate


async def _mandates(
    connection: Connection, mandate_id: UUID | None = None, principal_id: UUID | None = None
) -> list[Mandate]:
    rows = await connection.execute(SQL.mandates, {"id": mandate_id, "principal_id": principal_id})
    return [_from_row(row) for row in await rows.fetchall()]


def _from_row(row: dict[str, Any]) -> Mandate:
    lines = zip(row["currencies"], row["window_kinds"], row["limits_minor"], strict=True)
    return Mandate(
        id=row["id"],
        principal_id=row["principal_id"],
        name=row["name"],
        kinds=frozenset(row["kinds"]),
        payees=None if row["payees"] is None else frozenset(row["payees"]),
        limits=tuple(Limit(currency, window, limit_minor) for currency, window, limit_minor in lines),
        timezone=row["timezone"],
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
        status=row["status"],
        version=row["version"],
    )
