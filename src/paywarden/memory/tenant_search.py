"""Search across all customers of one tenant: exactly while there are few notes, by the vector index among many."""

from collections.abc import Sequence
from typing import Any

from paywarden.memory.embedder import Vector
from paywarden.memory.notes import SQL, Connection, Note, check_limit, sql_vector

# By the length of the vectors that an index holds; others are always compared exactly.
INDEXED = {
    384: SQL.nearest_in_tenant_by_index_384,
    512: SQL.nearest_in_tenant_by_index_512,
    1024: SQL.nearest_in_tenant_by_index_1024,
    1536: SQL.nearest_in_tenant_by_index_1536,
}
# Comparing so many vectors takes tens of milliseconds.
COMPARED_EXACTLY = 5_000
# So many of what an index finds are compared in full: eight times what is asked for at most.
CANDIDATES = 400


async def nearest(connection: Connection, embedder_id: str, vector: Vector, limit: int) -> list[Note]:
    """The tenant's notes nearest to an embedder's vector of a text, nearest first; its words do not count here.

    When the index does not find enough candidates, because most of what it holds is others', all are compared.
    """
    values = {"vector": sql_vector(vector), "limit": check_limit(limit), "embedder": embedder_id}
    by_index = INDEXED.get(len(vector))
    if by_index is not None and await _are_many(connection):
        await connection.execute(SQL.scan_until_found)
        near = await _near(connection, by_index, values | {"candidates": CANDIDATES})
        if near and near[0]["candidates"] == CANDIDATES:
            return await _notes(connection, near)
    return await _notes(connection, await _near(connection, SQL.nearest_in_tenant, values))


async def _are_many(connection: Connection) -> bool:
    row = await (await connection.execute(SQL.notes_counted, {"limit": COMPARED_EXACTLY + 1})).fetchone()
    return row is not None and row["counted"] > COMPARED_EXACTLY


async def _near(connection: Connection, statement: str, values: dict[str, object]) -> list[dict[str, Any]]:
    return await (await connection.execute(statement, values)).fetchall()


async def _notes(connection: Connection, near: Sequence[dict[str, Any]]) -> list[Note]:
    places = {"ids": [row["id"] for row in near], "distances": [row["distance"] for row in near]}
    return [Note(**row) for row in await (await connection.execute(SQL.found_notes, places)).fetchall()]
