"""Notes by the hundred. A note is known by what it says, so importing it again, or twice at once, adds nothing."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from paywarden.kit.canonical import digest
from paywarden.memory.embedder import Vector
from paywarden.memory.notes import SQL, Connection, NewNote, insert, keep_vectors, row_of


def digest_of(new: NewNote) -> bytes:
    """What makes an imported note the same: everything it says. Neither its end nor the caller's vector counts."""
    return digest(
        {
            "customer": new.customer_id,
            "content": new.content,
            "trust": new.trust,
            "source": new.source,
            "invoice": new.invoice_id,
            "case": new.case_id,
            "facts": new.facts,
        }
    )


async def known(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, UUID]:
    """The notes that were imported before, by their digests; ended ones too."""
    rows = await (await connection.execute(SQL.imported_notes, {"digests": list(digests)})).fetchall()
    return {row["import_sha256"]: row["id"] for row in rows}


async def add(
    connection: Connection,
    news: Mapping[bytes, NewNote],
    vectors: Sequence[Vector | None],
    embedder_id: str,
    author_id: UUID,
) -> list[UUID]:
    """Keep validated notes of existing customers and their vectors, where there are any; the ids of the new ones."""
    if not news:
        return []
    added = await insert(connection, [row_of(new, author_id, key) for key, new in news.items()])
    by_key = dict(zip(news, vectors, strict=True))
    made = {row["id"]: vector for row in added if (vector := by_key[row["import_sha256"]]) is not None}
    await keep_vectors(connection, embedder_id, made)
    return [row["id"] for row in added]
