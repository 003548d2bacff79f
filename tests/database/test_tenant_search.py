"""Search across a tenant's customers: the index and the exact way agree, and neither sees another tenant."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from paywarden.db.pool import Connection, Pool
from paywarden.db.transaction import transaction
from paywarden.identity import principals, tenants
from paywarden.kit import ids
from paywarden.memory import notes, tenant_search
from paywarden.memory.embedder import Vector
from paywarden.memory.notes import NewNote

HERE, THERE = ids.new_uuid(), ids.new_uuid()
RANDOM = np.random.default_rng(7)


def vectors(count: int, near: Vector | None = None, dimension: int = 512) -> list[Vector]:
    """Unit vectors; with ``near`` close to it."""
    raw = RANDOM.normal(size=(count, dimension)) + (0 if near is None else 50 * near)
    return [np.asarray(one / np.linalg.norm(one), dtype=np.float32) for one in raw]


async def fill(pool: Pool, tenant_id: UUID, name: str, kept: list[Vector]) -> None:
    async with transaction(pool, tenant_id) as connection:
        await tenants.create(connection, tenant_id, name, "test")
        for number, vector in enumerate(kept):
            customer = f"cust_{number % 7}"
            await principals.ensure_customer(connection, customer)
            await notes.add(connection, NewNote(customer, f"{name} {number}"), "test", vector)


async def use_the_index(connection: Connection, query: Vector) -> None:
    """So small a table would rather be read whole."""
    for setting in ("enable_seqscan", "enable_sort", "enable_hashjoin", "enable_mergejoin"):
        await connection.execute("select set_config(%s, 'off', true)", [setting])
    plan = await by_index(connection, query, "explain ")
    assert f"note_vectors_near_{len(query)}" in "".join(line["QUERY PLAN"] for line in plan)


async def by_index(connection: Connection, query: Vector, prefix: str = "") -> list[dict[str, Any]]:
    values = {"vector": notes.sql_vector(query), "limit": 10, "embedder": "test"}
    values |= {"candidates": tenant_search.CANDIDATES}
    return await (await connection.execute(prefix + tenant_search.INDEXED[len(query)], values)).fetchall()


@pytest.mark.both_versions
@pytest.mark.parametrize("dimension", sorted(tenant_search.INDEXED))
async def test_the_index_finds_the_own_notes_among_many_nearer_ones(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, dimension: int
) -> None:
    """The other tenant's notes lie around the query: an index that stops at its first finds would find nothing."""
    (query,) = vectors(1, dimension=dimension)
    mine = vectors(120, dimension=dimension)
    await fill(pool, HERE, "here", mine)
    await fill(pool, THERE, "there", vectors(400, near=query, dimension=dimension))
    nearest = [f"here {number}" for number in np.argsort([-(vector @ query) for vector in mine])[:10]]
    async with transaction(pool, HERE) as connection:
        exact = await tenant_search.nearest(connection, "test", query, 10)
        assert [note.content for note in exact] == nearest
        monkeypatch.setattr(tenant_search, "COMPARED_EXACTLY", 0)
        monkeypatch.setattr(tenant_search, "CANDIDATES", 100)
        await use_the_index(connection, query)
        assert len(await by_index(connection, query)) < 10, "the test is too easy: any index finds them"
        await connection.execute(tenant_search.SQL.scan_until_found)
        assert len(await by_index(connection, query)) == 10
        found = await tenant_search.nearest(connection, "test", query, 10)
        assert {note.content.split()[0] for note in found} == {"here"}
        assert len({note.content for note in found} & set(nearest)) >= 9
        assert len(await tenant_search.nearest(connection, "test", query, 50)) == 50
        # An index that gives up early, as among very many notes of others: then all are compared.
        statement = tenant_search.SQL._by_name["scan_until_found"]
        gives_up = replace(statement, sql=statement.sql.replace("relaxed_order", "off").replace("'400'", "'450'"))
        monkeypatch.setitem(tenant_search.SQL._by_name, "scan_until_found", gives_up)
        assert [note.content for note in await tenant_search.nearest(connection, "test", query, 10)] == nearest


async def test_what_the_index_does_not_hold_is_found_all_the_same(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_search, "COMPARED_EXACTLY", 0)
    (query,) = vectors(1)
    await fill(pool, HERE, "here", vectors(3))
    async with transaction(pool, HERE) as connection:
        assert len(await tenant_search.nearest(connection, "test", query, 50)) == 3
        await notes.add(connection, NewNote("cust_0", "of another embedder"), "other", vectors(1)[0][:8])
        found = await tenant_search.nearest(connection, "other", query[:8], 50)
    assert [note.content for note in found] == ["of another embedder"]
