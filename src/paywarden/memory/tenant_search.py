"""Search across all customers of one tenant: exactly while there are few notes, by the vector index among many."""

from typing import Any

from paywarden.memory.notes import SQL, Connection, Note, TextQuery, check_limit, sql_vector

INDEXED_EMBEDDER = "use-multilingual-3"
# Comparing so many vectors takes tens of milliseconds.
COMPARED_EXACTLY = 5_000


async def nearest(connection: Connection, asked: TextQuery, limit: int) -> list[Note]:
    """The tenant's notes nearest to a text in meaning, nearest first; its words do not count here.

    When the index does not find as many as asked for, because most of what it holds is others', all are compared.
    """
    values = {"vector": sql_vector(asked.vector), "limit": check_limit(limit), "embedder": asked.embedder}
    if asked.embedder == INDEXED_EMBEDDER and await _are_many(connection):
        await connection.execute(SQL.scan_until_found)
        found = await _notes(connection, SQL.nearest_in_tenant_by_index, values)
        if len(found) == limit:
            return found
    return await _notes(connection, SQL.nearest_in_tenant, values)


async def _are_many(connection: Connection) -> bool:
    row = await (await connection.execute(SQL.notes_counted, {"limit": COMPARED_EXACTLY + 1})).fetchone()
    return row is not None and row["counted"] > COMPARED_EXACTLY


async def _notes(connection: Connection, statement: str, values: dict[str, Any]) -> list[Note]:
    return [Note(**row) for row in await (await connection.execute(statement, values)).fetchall()]
