"""Search by meaning and by words within one customer: never worse than meaning alone, safe on hostile text."""

import csv
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import numpy as np
import pytest

from paywarden.db.pool import Connection, Pool
from paywarden.db.transaction import transaction
from paywarden.identity import principals, tenants
from paywarden.kit import ids
from paywarden.memory import notes
from paywarden.memory.embedder import Vector, unit
from paywarden.memory.local_embedder import UniversalSentenceEmbedder
from paywarden.memory.notes import NewNote, TextQuery
from tests.database.test_notes import axis

HERE = ids.new_uuid()
KEPT = 200


@pytest.fixture
async def here(pool: Pool) -> Pool:
    async with transaction(pool, HERE) as connection:
        await tenants.create(connection, HERE, "here", "test")
        await principals.ensure_customer(connection, "cust_001")
    return pool


async def keep(connection: Connection, **contents: Vector) -> None:
    for name, vector in contents.items():
        await notes.add(connection, NewNote("cust_001", name.replace("_", " ")), "test", vector)


async def found(connection: Connection, words: str, vector: Vector | None = None, limit: int = 50) -> list[str]:
    asked = TextQuery(words, "test", axis(1) if vector is None else vector)
    return [note.content for note in await notes.nearest_by_text(connection, "cust_001", asked, limit)]


async def test_a_note_with_all_the_words_comes_before_nearer_ones(here: Pool) -> None:
    async with transaction(here, HERE) as connection:
        await keep(connection, nearest=axis(1), near_order_4711=axis(1, 1), order_4712=axis(1, 2), far=axis(-1))
        assert await found(connection, "") == ["nearest", "near order 4711", "order 4712", "far"]
        assert await found(connection, "order 4711") == ["near order 4711", "nearest", "order 4712", "far"]
        assert await found(connection, "order 4713") == ["nearest", "near order 4711", "order 4712", "far"]
        assert await found(connection, "Order, 4711!", limit=1) == ["near order 4711"]


async def test_a_note_far_from_the_meaning_is_found_by_its_words(here: Pool) -> None:
    async with transaction(here, HERE) as connection:
        for number in range(60):
            await notes.add(connection, NewNote("cust_001", f"near {number}"), "test", axis(1, number / 100))
        await keep(connection, invoice_77=axis(-1))
        assert "invoice 77" not in await found(connection, "")
        assert (await found(connection, "invoice 77"))[:2] in (["invoice 77", "near 0"], ["near 0", "invoice 77"])


async def test_words_that_only_exclude_find_nothing_by_themselves(here: Pool) -> None:
    async with transaction(here, HERE) as connection:
        await keep(connection, nearest=axis(1), second=axis(1, 1), refund=axis(1, 2))
        by_meaning = await found(connection, "")
        for words in ("-refund", "-nearest -second", "nearest or -second", "refund or -refund"):
            assert await found(connection, words) == by_meaning, words
        assert (await found(connection, "refund -nearest"))[0] == "refund"


HOSTILE = [
    "", " ", "the and of", "!!! ??? ...", "' \" \\ '' \\'", '"', '"""', '" or "', "or", "or or or", "-", "- - -",
    "& | ! ( ) <-> :*", "a & | b", "!!!a", "a:*", "((((", "%s %(words)s {0}", "<script>&lt;", "\u202e\u200b\ufeff",
    "日本語 返金 😀", "é" * 500, "x" * 20_000, "a " * 10_000, "a or " * 5_000, "-a " * 6_000, '"a b" ' * 3_000,
    "a-b-c-d/e/f@g.h " * 1_000, "http://a.b/c?d=e&f=" * 1_000, "1e999 -1.5 NaN", "\ta\r\nb", "not null; drop table",
]  # fmt: skip


@pytest.mark.both_versions
async def test_no_text_breaks_the_search_and_nothing_is_lost_by_it(here: Pool) -> None:
    async with transaction(here, HERE) as connection:
        await keep(connection, a_b=axis(1), the_and_of=axis(1, 1), refund=axis(1, 2))
        for words in HOSTILE:
            assert sorted(await found(connection, words)) == ["a b", "refund", "the and of"], words[:40]


async def test_any_content_can_be_kept_and_searched(here: Pool) -> None:
    async with transaction(here, HERE) as connection:
        for content in (text[:20_000] for text in HOSTILE if text.strip()):
            await notes.add(connection, NewNote("cust_001", content), "test", axis(1))
        assert len(await found(connection, "a b")) > 20


def messages() -> list[dict[str, str]]:
    """The project's sample of Banking77 in its own order, which is that of a hash."""
    text = resources.files("paywarden.demo").joinpath("banking77_sample.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


async def right_intents(connection: Connection, embedder: UniversalSentenceEmbedder, *, with_words: bool) -> int:
    """For how many of the sample's last 100 messages the first note found among the 200 others has the same intent."""
    asked = messages()[KEPT:]
    intents = {message["text"]: message["category"] for message in messages()}
    right = 0
    for message, vector in zip(asked, await embedder.embed([each["text"] for each in asked], "query"), strict=True):
        query = TextQuery(message["text"] if with_words else "", embedder.id, vector)
        (first,) = await notes.nearest_by_text(connection, "cust_001", query, 1)
        right += intents[first.content] == message["category"]
    return right


WEBSEARCH = "websearch_to_tsquery('simple', %(words)s)"
EITHER = f"cast(replace(cast({WEBSEARCH} as text), ' & ', ' | ') as tsquery)"


async def test_words_beside_meaning_find_no_less_than_meaning_alone(
    here: Pool, embedder: UniversalSentenceEmbedder, monkeypatch: Any
) -> None:
    """The broken twin asks for any of the words instead of all of them, which measurably hurts."""
    texts = [message["text"] for message in messages()[:KEPT]]
    async with transaction(here, HERE) as connection:
        for text, vector in zip(texts, await embedder.embed(texts, "note"), strict=True):
            await notes.add(connection, NewNote("cust_001", text), embedder.id, vector)
        exact = await right_intents(connection, embedder, with_words=False)
        both = await right_intents(connection, embedder, with_words=True)
        statement = notes.SQL._by_name["nearest_by_text"]
        assert statement.sql.count(WEBSEARCH) == 1
        twin = replace(statement, sql=statement.sql.replace(WEBSEARCH, EITHER))
        monkeypatch.setitem(notes.SQL._by_name, "nearest_by_text", twin)
        either = await right_intents(connection, embedder, with_words=True)
    print(f"first note has the intent: meaning {exact}, meaning and all words {both}, meaning and any word {either}")
    assert both >= exact > 85
    assert either < exact


async def in_full(connection: Connection, vector: Vector, words: str = "") -> list[str]:
    """The same search without sketches and indexes of words: every vector compared, and every note read."""
    asked = TextQuery(words, "test", vector)
    values = notes._text_search("cust_001", asked, 50)
    rows = await (await connection.execute(notes.SQL.nearest_by_text_without_sketch, values)).fetchall()
    return [row["content"] for row in rows]


async def close_together(connection: Connection) -> list[Vector]:
    """Notes whose distances differ by less than half the bits can tell; some have ended, some nobody has read."""
    chance = np.random.default_rng(7)
    middle = chance.standard_normal(512)
    middle /= np.linalg.norm(middle)
    past = datetime.now(UTC) - timedelta(days=1)
    for number in range(300):
        vector = unit(middle + chance.standard_normal(512) * 0.0005)
        ended = past if number % 7 == 0 else None
        note = NewNote("cust_001", f"note {number}", valid_until=ended)
        await notes.add(connection, note, "test", None if number % 5 == 0 else vector)
    return [unit(middle + chance.standard_normal(512) * 0.02) for _ in range(20)]


async def test_a_search_by_sketches_finds_exactly_what_a_comparison_of_all_finds(here: Pool) -> None:
    async with transaction(here, HERE) as connection:
        for vector in await close_together(connection):
            assert await found(connection, "", vector) == await in_full(connection, vector)


async def test_that_test_sees_sketches_that_are_believed(here: Pool, monkeypatch: Any) -> None:
    statement = notes.SQL._by_name["nearest_by_text"]
    assert " + 0.003" in statement.sql
    twin = replace(statement, sql=statement.sql.replace(" + 0.003", ""))
    monkeypatch.setitem(notes.SQL._by_name, "nearest_by_text", twin)
    async with transaction(here, HERE) as connection:
        queries = await close_together(connection)
        differ = [await found(connection, "", vector) != await in_full(connection, vector) for vector in queries]
        assert any(differ)


async def test_vectors_that_are_too_long_for_a_sketch_are_compared_in_full(here: Pool) -> None:
    async with transaction(here, HERE) as connection:
        await keep(connection, far=axis(-1, dimension=1536), nearest=axis(1, dimension=1536))
        assert await found(connection, "", axis(1, dimension=1536)) == ["nearest", "far"]


LONG_NAME = "".join(chr(0x4E00 + number) for number in range(255))
MANY_WORDS = " ".join(f"order{number}" for number in range(2_000))


@pytest.mark.parametrize("dimension", [512, 1200, 1900])
@pytest.mark.parametrize("customer_id", ["cust_001", LONG_NAME], ids=["short", "long"])
async def test_notes_that_fit_into_no_line_of_an_index_are_found_all_the_same(
    here: Pool, customer_id: str, dimension: int
) -> None:
    """Whatever is longest: the customer's name, the vector, what the note says."""
    vector = unit(np.random.default_rng(3).standard_normal(dimension))
    async with transaction(here, HERE) as connection:
        await principals.ensure_customer(connection, customer_id)
        for content, near in ((MANY_WORDS, vector), ("refund", vector), ("far", -vector)):
            await notes.add(connection, NewNote(customer_id, content), "test", near)
        asked = TextQuery("order7 order1999", "test", vector)
        found = [note.content for note in await notes.nearest_by_text(connection, customer_id, asked, 4)]
    assert found == [MANY_WORDS, "refund", "far"]


QUERIES = ("refunded", "refunded twice", '"refunded twice"', "once or 8", "order -twice", "order7 10", "none")


async def test_words_find_the_same_by_the_index_and_by_the_notes_themselves(here: Pool) -> None:
    """Short notes and those of very many words, of which some have ended."""
    past = datetime.now(UTC) - timedelta(days=1)
    async with transaction(here, HERE) as connection:
        for number in range(80):
            content = f"order {number} was refunded {'twice' if number % 3 else 'once'}"
            padded = f"{content} {MANY_WORDS}" if number % 5 == 0 else content
            note = NewNote("cust_001", padded, valid_until=past if number % 7 == 0 else None)
            # Far enough from one another for sketches to tell which is nearer.
            await notes.add(connection, note, "test", axis(1, 0.5 + number / 20))
        for words in QUERIES:
            assert await found(connection, words) == await in_full(connection, axis(1), words), words


async def test_few_notes_with_a_vector_are_followed_by_those_without(here: Pool) -> None:
    async with transaction(here, HERE) as connection:
        await notes.add(connection, NewNote("cust_001", "older"), "test", None)
        await keep(connection, far=axis(-1), near=axis(1))
        await notes.add(connection, NewNote("cust_001", "newer"), "test", None)
        assert await found(connection, "") == ["near", "far", "newer", "older"]
