"""Notes: validated, hashed, kept beside their vectors, and found again within one customer: exactly, until they end."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from paywarden.db.sql import load
from paywarden.kit import ids
from paywarden.kit.canonical import canonical_json
from paywarden.kit.errors import InvalidFieldError
from paywarden.kit.text import MAX_TEXT_CHARACTERS, clean_id, clean_text
from paywarden.kit.trust import TRUST_TIERS, TrustTier
from paywarden.memory.embedder import MAX_EMBEDDED_CHARACTERS, Vector

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]
MAX_FOUND = 50
MAX_RECORDS = 500
# Longer vectors have no sketch (0004_guardrails.sql).
MAX_SKETCHED_DIMENSION = 1_200
# Nobody asks for more words than that to be in one note; a query of ten thousand words is an attack.
MAX_SEARCHED_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class NewNote:
    """A note to keep. ``facts`` is the machine-readable side of a record note; ``own_vector`` is the caller's.

    From ``valid_until`` on it is neither found nor recalled; None: it does not end. ``payment_id`` is the payment that
    asked for it as a missing fact.
    """

    customer_id: str
    content: str
    trust: TrustTier = "customer"
    source: str | None = None
    invoice_id: str | None = None
    case_id: str | None = None
    facts: Mapping[str, Any] | None = None
    own_vector: Vector | None = None
    valid_until: datetime | None = None
    payment_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A note to keep, an embedder's vector of it if there is one, and who wrote it."""

    new: NewNote
    vector: Vector | None
    author_id: UUID | None


@dataclass(frozen=True, slots=True)
class Note:
    """A kept note. ``score`` is the cosine similarity to what was searched, -1 to 1; None when nothing tells it."""

    id: UUID
    customer_id: str
    content: str
    content_sha256: bytes
    trust: TrustTier
    source: str | None
    invoice_id: str | None
    case_id: str | None
    facts: Mapping[str, Any] | None
    valid_until: datetime | None
    author_id: UUID | None
    created_at: datetime
    score: float | None

    @property
    def public_id(self) -> str:
        """The id as answers show it."""
        return ids.to_text("note", self.id)


@dataclass(frozen=True, slots=True)
class TextQuery:
    """What is looked for: the words as they were written, and an embedder's vector of them, None when it has none.

    In the words quotes bind a phrase, ``or`` means either, and ``-`` excludes; otherwise a note must have them all.
    """

    words: str
    embedder: str
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class Recalled:
    """The evidence for a request.

    ``complete``: every note is among it that must not be missed, and every other was looked at by its meaning. What is
    not complete proves nothing by what it lacks.
    """

    notes: tuple[Note, ...]
    complete: bool


def validate(new: NewNote) -> None:
    """Raises InvalidFieldError naming the field; to be asked before the text is embedded."""
    clean_id(new.customer_id, "customer_id")
    clean_text(new.content, "content")
    for param, value in (("source", new.source), ("invoice_id", new.invoice_id), ("case_id", new.case_id)):
        if value is not None:
            clean_id(value, param)
    if new.trust not in TRUST_TIERS:
        raise InvalidFieldError("trust", f"must be one of {', '.join(TRUST_TIERS)}")
    if new.facts is not None:
        _check_facts(new)


def check_limit(limit: int) -> int:
    """The same limit. Raises InvalidFieldError when it is not 1 to 50."""
    if type(limit) is not int or not 1 <= limit <= MAX_FOUND:
        raise InvalidFieldError("limit", f"must be a whole number from 1 to {MAX_FOUND}")
    return limit


async def add(
    connection: Connection, new: NewNote, embedder_id: str, vector: Vector | None, author_id: UUID | None = None
) -> UUID:
    """Keep a note of an existing customer, and the embedder's vector of its content if there is one; the note's id."""
    validate(new)
    (note_id,) = await add_all(connection, [Written(new, vector, author_id)], embedder_id)
    return note_id


async def add_all(connection: Connection, written: Sequence[Written], embedder_id: str) -> list[UUID]:
    """Keep validated notes of existing customers, and the embedder's vectors of them, if any; their ids in order."""
    rows = [row_of(each.new, each.author_id) for each in written]
    await insert(connection, rows)
    read = zip(rows, written, strict=True)
    await keep_vectors(
        connection, embedder_id, {row["id"]: each.vector for row, each in read if each.vector is not None}
    )
    return [row["id"] for row in rows]


async def insert(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Write rows of notes; id and import digest of those that no import has brought before."""
    values: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    return await (await connection.execute(SQL.insert_notes, values)).fetchall()


async def keep_vectors(connection: Connection, embedder_id: str, vectors: Mapping[UUID, Vector]) -> None:
    """Keep an embedder's vectors of notes; one that is there already stays as it is."""
    if not vectors:
        return
    embeddings = [sql_vector(vector) for vector in vectors.values()]
    values = {"embedder": embedder_id, "note_ids": list(vectors), "embeddings": embeddings}
    await connection.execute(SQL.insert_note_vectors, values)


async def without_vector(
    connection: Connection, embedder_id: str, after: UUID | None, limit: int
) -> list[tuple[UUID, str]]:
    """Notes that an embedder has not read yet, by id, after a given one: their ids and as much text as counts."""
    values = {"embedder": embedder_id, "after": after, "limit": limit, "characters": MAX_EMBEDDED_CHARACTERS}
    rows = await (await connection.execute(SQL.notes_without_vector, values)).fetchall()
    return [(row["id"], row["content"]) for row in rows]


async def count_without_vector(connection: Connection, embedder_id: str, customer_id: str | None = None) -> int:
    """How many notes, of a customer or of all, an embedder has not read yet; those that have ended do not count."""
    values = {"embedder": embedder_id, "customer_id": customer_id}
    row = await (await connection.execute(SQL.count_notes_without_vector, values)).fetchone()
    return 0 if row is None else int(row["waiting"])


def row_of(new: NewNote, author_id: UUID | None, import_sha256: bytes | None = None) -> dict[str, Any]:
    """A new row that says what a note says; with the digest of what it says if an import brings it."""
    return {
        "id": ids.new_uuid(),
        "customer_id": new.customer_id,
        "invoice_id": new.invoice_id,
        "case_id": new.case_id,
        "payment_id": new.payment_id,
        "source": new.source,
        "trust": new.trust,
        "content": new.content,
        "content_sha256": hashlib.sha256(new.content.encode()).digest(),
        "facts": None if new.facts is None else canonical_json(new.facts).decode(),
        "own_embedding": None if new.own_vector is None else sql_vector(new.own_vector),
        "valid_until": new.valid_until,
        "author_id": author_id,
        "import_sha256": import_sha256,
    }


async def find(connection: Connection, note_id: UUID) -> Note | None:
    """A note of this tenant by id."""
    row = await (await connection.execute(SQL.note_by_id, {"id": note_id})).fetchone()
    return None if row is None else Note(**row)


async def end(connection: Connection, note_id: UUID, at: datetime | None) -> bool:
    """Let a note end at an instant, at once when that has passed or is None. False where it ends before that already.

    An end is never lifted or put off: what a decision was not given must not seem to have been there.
    """
    return (await connection.execute(SQL.end_note, {"id": note_id, "at": at})).rowcount == 1


async def of_customer(connection: Connection, customer_id: str, limit: int, before: UUID | None = None) -> list[Note]:
    """A customer's notes, ended ones too, newest first; ``before`` is the last id of the previous page."""
    values = {"customer_id": customer_id, "limit": limit, "before": before}
    return await _notes(connection, SQL.notes_of_customer, values)


async def nearest_by_text(connection: Connection, customer_id: str, asked: TextQuery, limit: int) -> list[Note]:
    """The customer's notes that a text finds: near to it by the same embedder's vector, or with all its words."""
    sketched = asked.vector is not None and len(asked.vector) <= MAX_SKETCHED_DIMENSION
    statement = SQL.nearest_by_text if sketched else SQL.nearest_by_text_without_sketch
    return await _notes(connection, statement, _text_search(customer_id, asked, check_limit(limit)))


async def nearest_by_own_vector(connection: Connection, customer_id: str, vector: Vector, limit: int) -> list[Note]:
    """The customer's notes that came with a vector of the same dimension, nearest first."""
    return await _notes(connection, SQL.nearest_by_own_vector, _search(customer_id, vector, check_limit(limit)))


async def recall(
    connection: Connection,
    customer_id: str,
    asked: TextQuery,
    limit: int,
    invoice_id: str | None = None,
    payment_id: UUID | None = None,
) -> Recalled:
    """What to judge a request on: the notes that its text finds, and every record that states facts, found or not.
    For an invoice, what was written about it by those who are trusted, too.

    With ``payment_id`` also what was given as its missing facts, which may be worded like nothing in the request.
    Nearness finds what supports a claim; the refund already made may be worded far from it and must not be missed.
    """
    near = await nearest_by_text(connection, customer_id, asked, limit)
    values = _text_search(customer_id, asked, MAX_RECORDS + 1)
    records = await _notes(connection, SQL.records_of_customer, values)
    words = (
        [] if invoice_id is None else await _notes(connection, SQL.words_on_invoice, values | {"invoice": invoice_id})
    )
    given = await _notes(connection, SQL.notes_given_for, values | {"payment_id": payment_id})
    together = _distinct([*near, *records[-MAX_RECORDS:], *words[-MAX_RECORDS:], *given[:MAX_RECORDS]])
    unread = await count_without_vector(connection, asked.embedder, customer_id)
    looked_at_all = asked.vector is not None and unread == 0
    return Recalled(together, complete=looked_at_all and max(len(records), len(words)) <= MAX_RECORDS)


def sql_vector(vector: Vector) -> str:
    """A vector as PostgreSQL reads it."""
    return msgspec.json.encode(vector.tolist()).decode()


def _check_facts(new: NewNote) -> None:
    if new.trust != "record":
        raise InvalidFieldError("facts", "may only be stated by a note of trust 'record'")
    try:
        encoded = canonical_json(new.facts)
    except InvalidFieldError as error:
        raise InvalidFieldError("facts", "must be JSON with finite numbers and valid Unicode") from error
    if not encoded.startswith(b"{") or len(encoded) > MAX_TEXT_CHARACTERS or rb"\u0000" in encoded:
        raise InvalidFieldError("facts", f"must be a JSON object of at most {MAX_TEXT_CHARACTERS:,} bytes without NUL")


def _search(customer_id: str, vector: Vector | None, limit: int) -> dict[str, Any]:
    compared = None if vector is None else sql_vector(vector)
    return {"customer_id": clean_id(customer_id, "customer_id"), "vector": compared, "limit": limit}


def _text_search(customer_id: str, asked: TextQuery, limit: int) -> dict[str, Any]:
    words = asked.words[:MAX_SEARCHED_CHARACTERS]
    return _search(customer_id, asked.vector, limit) | {"embedder": asked.embedder, "words": words}


def _distinct(notes: Iterable[Note]) -> tuple[Note, ...]:
    return tuple({note.id: note for note in notes}.values())


async def _notes(connection: Connection, statement: str, values: dict[str, Any]) -> list[Note]:
    return [Note(**row) for row in await (await connection.execute(statement, values)).fetchall()]
