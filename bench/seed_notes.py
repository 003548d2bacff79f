"""Many notes at once: one customer with a tenth of them, the others as Zipf's law has it."""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector

from bench.texts import texts
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit import ids
from paywarden.memory.local_embedder import UniversalSentenceEmbedder

BIG_CUSTOMER = "cust-big"
_CUSTOMERS = 5_000
_SPOKEN = 500
_NEARNESS = 0.35
_EMBEDDER_ID = "use-multilingual-3"
_INDEX = "note_vectors_near_512"
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Notes:
    """So many in all, so many of them about BIG_CUSTOMER."""

    count: int
    of_big_customer: int


def seed(url: str, wanted: Notes) -> None:
    """Write them as the superuser. The index for the search across customers is built afterwards, in one go."""
    near = asyncio.run(embedded(list(islice(texts(1), _SPOKEN))))
    with psycopg.connect(url, autocommit=True) as connection:
        register_vector(connection)
        # Foreign keys hold by construction, and checking each would take longer than everything else.
        connection.execute("set session_replication_role = replica")
        connection.execute("set maintenance_work_mem = '1GB'")
        definition = _definition_of_index(connection)
        connection.execute(f"drop index paywarden.{_INDEX}")
        _write(connection, wanted, near)
        connection.execute(definition)
        connection.execute("vacuum (analyze) paywarden.notes, paywarden.note_vectors, paywarden.customers")


async def embedded(spoken: list[str]) -> Vectors:
    """The vectors of texts by the shipped embedder."""
    embedder = UniversalSentenceEmbedder()
    try:
        return np.array(await embedder.embed(spoken, "note"), dtype=np.float32)
    finally:
        await embedder.close()


def _definition_of_index(connection: psycopg.Connection[Any]) -> bytes:
    found = connection.execute(f"select pg_get_indexdef('paywarden.{_INDEX}'::regclass)").fetchone()
    assert found is not None  # noqa: S101 - regclass has raised already
    return str(found[0]).encode()


def _write(connection: psycopg.Connection[Any], wanted: Notes, near: Vectors) -> None:
    chance = np.random.default_rng(1)
    tenant = QUICKSTART_TENANT_ID
    names = [BIG_CUSTOMER, *(f"cust-{number}" for number in range(_CUSTOMERS))]
    with connection.cursor() as cursor:
        with cursor.copy("copy paywarden.customers (tenant_id, id) from stdin (format binary)") as copy:
            copy.set_types(["uuid", "text"])
            for name in names:
                copy.write_row((tenant, name))
        note_ids = [ids.new_uuid() for _ in range(wanted.count)]
        customers = _customers(chance, wanted, names)
        _copy_notes(cursor, zip(note_ids, customers, texts(2), strict=False))
        _copy_vectors(cursor, zip(note_ids, customers, _vectors(chance, wanted.count, near), strict=True))


def _customers(chance: np.random.Generator, wanted: Notes, names: list[str]) -> list[str]:
    """Whose each note is, in no order."""
    weights = 1 / np.arange(1, _CUSTOMERS + 1)
    others = chance.choice(_CUSTOMERS, wanted.count - wanted.of_big_customer, p=weights / weights.sum()) + 1
    places = np.concatenate([np.zeros(wanted.of_big_customer, dtype=np.int64), others])
    return [names[place] for place in chance.permutation(places)]


def _vectors(chance: np.random.Generator, count: int, near: Vectors) -> Iterator[Vectors]:
    """Each near to the vector of one of a few hundred real sentences, as real notes lie in heaps."""
    for _ in range(0, count, 1000):
        heap = near[chance.integers(len(near), size=1000)]
        noise = chance.standard_normal(heap.shape, dtype=np.float32) * (_NEARNESS / np.sqrt(heap.shape[1]))
        moved = heap + noise
        yield from moved / np.linalg.norm(moved, axis=1, keepdims=True)


def _copy_notes(cursor: psycopg.Cursor[Any], notes: Iterator[tuple[Any, str, str]]) -> None:
    columns = "tenant_id, id, customer_id, trust, content, content_sha256"
    with cursor.copy(f"copy paywarden.notes ({columns}) from stdin (format binary)") as copy:
        copy.set_types(["uuid", "uuid", "text", "text", "text", "bytea"])
        for note_id, customer, content in notes:
            digest = hashlib.sha256(content.encode()).digest()
            copy.write_row((QUICKSTART_TENANT_ID, note_id, customer, "customer", content, digest))


def _copy_vectors(cursor: psycopg.Cursor[Any], vectors: Iterator[tuple[Any, str, Vectors]]) -> None:
    columns = "tenant_id, note_id, customer_id, embedder, embedding"
    with cursor.copy(f"copy paywarden.note_vectors ({columns}) from stdin (format binary)") as copy:
        copy.set_types(["uuid", "uuid", "text", "text", "vector"])
        for note_id, customer, vector in vectors:
            copy.write_row((QUICKSTART_TENANT_ID, note_id, customer, _EMBEDDER_ID, vector))
