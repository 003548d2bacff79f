"""Notes on the real database: found exactly within one customer of one tenant, by our vectors and by the caller's."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paywarden.db.pool import Connection, Pool
from paywarden.db.transaction import transaction
from paywarden.identity import principals, tenants
from paywarden.kit import ids
from paywarden.kit.errors import InvalidFieldError
from paywarden.memory import notes
from paywarden.memory.embedder import Vector
from paywarden.memory.local_embedder import UniversalSentenceEmbedder
from paywarden.memory.notes import NewNote, Note, TextQuery
from paywarden.memory.own_vectors import checked_vector
from tests.conftest import Database

HERE, THERE = ids.new_uuid(), ids.new_uuid()
NOTE = NewNote("cust_001", "The order was returned.")
# Customers of their own for each example; the digits of a random id may be those of a card number.
_NUMBERS = count()
RECORD = replace(NOTE, trust="record", facts={"type": "order"})


def axis(*values: float, dimension: int = 512) -> Vector:
    """A unit vector that leans on the first axes as given."""
    vector = np.zeros(dimension, dtype=np.float32)
    vector[: len(values)] = values
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


async def add(connection: Connection, new: NewNote, vector: Vector | None = None, embedder: str = "test") -> UUID:
    await principals.ensure_customer(connection, new.customer_id)
    return await notes.add(connection, new, embedder, axis(1) if vector is None else vector)


def asked(vector: Vector, words: str = "") -> TextQuery:
    """A query of the test embedder; without words it is the exact search by vectors alone."""
    return TextQuery(words, "test", vector)


def contents(found: list[Note]) -> list[str]:
    return [note.content for note in found]


@pytest.fixture
async def walled(pool: Pool) -> AsyncIterator[Pool]:
    """Two tenants that both know a customer of the same name."""
    for tenant_id, name in ((HERE, "here"), (THERE, "there")):
        async with transaction(pool, tenant_id) as connection:
            await tenants.create(connection, tenant_id, name, "test")
    return pool


async def test_a_note_is_kept_whole(walled: Pool) -> None:
    new = NewNote("cust_001", "Zurück\t\n😀", "record", "crm", "inv_1", "case_1", {"type": "gift", "n": 1}, axis(1, 2))
    async with transaction(walled, HERE) as connection:
        note = await notes.find(connection, await add(connection, new))
    assert note is not None
    assert (note.customer_id, note.content, note.trust) == (new.customer_id, new.content, new.trust)
    assert (note.source, note.invoice_id, note.case_id, note.facts) == ("crm", "inv_1", "case_1", new.facts)
    assert note.content_sha256 == hashlib.sha256(new.content.encode()).digest()
    assert note.public_id.startswith("note_")
    assert note.score is None


async def test_the_nearest_come_first_with_their_cosine(walled: Pool) -> None:
    async with transaction(walled, HERE) as connection:
        for name, vector in {"far": axis(0, 1), "near": axis(3, 4), "same": axis(1), "opposite": axis(-1)}.items():
            await add(connection, replace(NOTE, content=name), vector)
        found = await notes.nearest_by_text(connection, "cust_001", asked(axis(1)), 50)
        assert contents(found) == ["same", "near", "far", "opposite"]
        assert [round(note.score or 0, 5) for note in found] == [1, 0.6, 0, -1]
        assert contents(await notes.nearest_by_text(connection, "cust_001", asked(axis(1)), 2)) == ["same", "near"]


async def test_vectors_of_another_embedder_are_never_compared(walled: Pool) -> None:
    async with transaction(walled, HERE) as connection:
        await add(connection, NOTE, axis(1), "test")
        await add(connection, replace(NOTE, content="other"), axis(1, dimension=8), "other")
        found = await notes.nearest_by_text(connection, "cust_001", asked(axis(1)), 50)
        assert [(note.content, note.score) for note in found] == [(NOTE.content, 1), ("other", None)]
        found = await notes.nearest_by_text(connection, "cust_001", TextQuery("", "other", axis(1, dimension=8)), 50)
        assert [(note.content, note.score) for note in found] == [("other", 1), (NOTE.content, None)]


async def test_own_vectors_are_searched_by_dimension_only(walled: Pool) -> None:
    async with transaction(walled, HERE) as connection:
        await add(connection, NOTE)
        for content, own in (("two", [3.0, 4.0]), ("two more", [1.0, 0.0]), ("three", [1.0, 0.0, 0.0])):
            await add(connection, replace(NOTE, content=content, own_vector=checked_vector(own)))
        found = await notes.nearest_by_own_vector(connection, "cust_001", checked_vector([1, 0]), 50)
        assert contents(found) == ["two more", "two"]
        assert round(found[1].score or 0, 5) == 0.6
        assert contents(await notes.nearest_by_own_vector(connection, "cust_001", axis(1, dimension=3), 50)) == [
            "three"
        ]
        assert await notes.nearest_by_own_vector(connection, "cust_001", axis(1), 50) == []


@pytest.mark.parametrize("length", [9e14, 1.0, 2e-15])
async def test_the_longest_and_shortest_own_vectors_still_have_a_cosine(walled: Pool, length: float) -> None:
    async with transaction(walled, HERE) as connection:
        for number, own in enumerate(([length, 0], [length * 0.8, length * 0.6], [-length, 0])):
            await add(connection, replace(NOTE, content=str(number), own_vector=checked_vector(own)))
        found = await notes.nearest_by_own_vector(connection, "cust_001", checked_vector([length, 0]), 50)
    assert contents(found) == ["0", "1", "2"]
    assert np.allclose([note.score for note in found], [1, 0.8, -1], atol=1e-5)


async def fill(connection: Connection, where: str) -> None:
    for customer in ("cust_001", "cust_002"):
        new = replace(RECORD, customer_id=customer, content=f"{where} {customer}", own_vector=checked_vector([1, 0]))
        await add(connection, new)


async def found_everywhere(connection: Connection, customer_id: str, *, listed: bool = True) -> set[str]:
    """What any way of searching finds for a customer, and what is listed of it."""
    recalled = await notes.recall(connection, customer_id, asked(axis(1)), 50)
    return {
        *contents(await notes.nearest_by_text(connection, customer_id, asked(axis(1)), 50)),
        *contents(
            await notes.nearest_by_text(connection, customer_id, asked(axis(0, 1), '"cust" or here or there'), 50)
        ),
        *contents(await notes.nearest_by_own_vector(connection, customer_id, checked_vector([1, 0]), 50)),
        *contents(await notes.of_customer(connection, customer_id, 50) if listed else []),
        *contents(list(recalled.notes)),
    }


@pytest.mark.both_versions
async def test_nothing_of_another_customer_or_tenant_is_ever_found(walled: Pool) -> None:
    for tenant_id, where in ((HERE, "here"), (THERE, "there")):
        async with transaction(walled, tenant_id) as connection:
            await fill(connection, where)
    for tenant_id, where in ((HERE, "here"), (THERE, "there")):
        async with transaction(walled, tenant_id) as connection:
            assert await found_everywhere(connection, "cust_001") == {f"{where} cust_001"}
            assert await found_everywhere(connection, "cust_00") == set()
            assert await found_everywhere(connection, "%") == set()


SEARCHES = ["nearest_by_text", "nearest_by_own_vector", "records_of_customer", "notes_of_customer"]


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("nearest_by_text", "made.customer_id = %(customer_id)s"),
        ("nearest_by_text", "note.customer_id = %(customer_id)s"),
        *((name, "customer_id = %(customer_id)s") for name in SEARCHES[1:]),
    ],
)
async def test_that_test_sees_a_search_without_its_customer(
    walled: Pool, monkeypatch: pytest.MonkeyPatch, name: str, condition: str
) -> None:
    """The broken twin: the statement, its customer's line made true for everybody."""
    statement = notes.SQL._by_name[name]
    assert condition in statement.sql
    broken = statement.sql.replace(condition, "%(customer_id)s::text is not null")
    monkeypatch.setitem(notes.SQL._by_name, name, replace(statement, sql=broken))
    async with transaction(walled, HERE) as connection:
        await fill(connection, "here")
        assert await found_everywhere(connection, "cust_001") == {"here cust_001", "here cust_002"}


async def test_a_note_of_another_tenant_cannot_be_read_by_its_id(walled: Pool) -> None:
    async with transaction(walled, THERE) as connection:
        foreign = await add(connection, NOTE)
        assert await notes.find(connection, foreign) is not None
    async with transaction(walled, HERE) as connection:
        assert await notes.find(connection, foreign) is None


async def test_a_note_needs_a_customer_of_its_own_tenant(walled: Pool) -> None:
    async with transaction(walled, THERE) as connection:
        await principals.ensure_customer(connection, "cust_009")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        async with transaction(walled, HERE) as connection:
            await notes.add(connection, replace(NOTE, customer_id="cust_009"), "test", axis(1))


async def test_notes_can_be_neither_changed_nor_deleted(walled: Pool) -> None:
    async with transaction(walled, HERE) as connection:
        await add(connection, NOTE)
    for statement in ("update paywarden.notes set content = 'x'", "delete from paywarden.notes"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with transaction(walled, HERE) as connection:
                await connection.execute(statement)


async def test_an_ended_note_is_found_in_no_way_and_stays_readable(walled: Pool) -> None:
    async with transaction(walled, HERE) as connection:
        ends = datetime.now(UTC) + timedelta(days=1)
        own = checked_vector([1, 0])
        later = await add(connection, replace(RECORD, content="later", own_vector=own, valid_until=ends))
        await add(connection, replace(RECORD, content="past", own_vector=own, valid_until=ends - timedelta(days=2)))
        assert await found_everywhere(connection, "cust_001", listed=False) == {"later"}
        assert await notes.end(connection, later, None)
        assert await found_everywhere(connection, "cust_001", listed=False) == set()
        assert len(await notes.of_customer(connection, "cust_001", 50)) == 2
        ended = await notes.find(connection, later)
    assert ended is not None
    assert ended.valid_until is not None
    assert ended.valid_until < ends


@pytest.mark.parametrize(
    ("name", "condition", "forgotten"),
    [
        ("nearest_by_text", "ended.valid_until <= (select paywarden.clock())", "false"),
        ("nearest_by_text", "note.valid_until > (select paywarden.clock())", "true"),
        ("nearest_by_own_vector", "valid_until > (select paywarden.clock())", "true"),
        ("records_of_customer", "valid_until > (select paywarden.clock())", "true"),
    ],
)
async def test_that_test_sees_a_search_that_forgets_the_end(
    walled: Pool, monkeypatch: pytest.MonkeyPatch, name: str, condition: str, forgotten: str
) -> None:
    statement = notes.SQL._by_name[name]
    assert condition in statement.sql
    monkeypatch.setitem(notes.SQL._by_name, name, replace(statement, sql=statement.sql.replace(condition, forgotten)))
    async with transaction(walled, HERE) as connection:
        past = datetime.now(UTC) - timedelta(days=1)
        await add(connection, replace(RECORD, own_vector=checked_vector([1, 0]), valid_until=past))
        assert await found_everywhere(connection, "cust_001", listed=False) == {NOTE.content}


async def test_an_end_is_brought_forward_and_never_put_off(walled: Pool) -> None:
    async with transaction(walled, HERE) as connection:
        note_id = await add(connection, NOTE)
        soon = datetime.now(UTC) + timedelta(days=1)
        assert await notes.end(connection, note_id, soon + timedelta(days=1))
        assert await notes.end(connection, note_id, soon)
        assert not await notes.end(connection, note_id, soon + timedelta(seconds=1))
        kept = await notes.find(connection, note_id)
        assert kept is not None
        assert kept.valid_until == soon
        assert await notes.end(connection, note_id, soon - timedelta(days=30))
        assert not await notes.end(connection, note_id, None)
    for wrong in ("null", "'infinity'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="brought forward"):
            async with transaction(walled, HERE) as connection:
                await connection.execute(f"update paywarden.notes set valid_until = {wrong}")


def test_not_even_the_owner_changes_what_a_note_says(database: Database) -> None:
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(f"insert into paywarden.tenants (id, name, environment) values ('{HERE}', 'here', 'test')")
        connection.execute(f"insert into paywarden.customers (tenant_id, id) values ('{HERE}', 'c')")
        connection.execute(
            "insert into paywarden.notes (tenant_id, id, customer_id, trust, content, content_sha256)"
            f" values ('{HERE}', gen_random_uuid(), 'c', 'staff', 'x', sha256('x'))"
        )
        connection.execute(
            "insert into paywarden.note_vectors (tenant_id, note_id, customer_id, embedder, embedding)"
            " select tenant_id, id, customer_id, 'test', '[1]' from paywarden.notes"
        )
        for change in ("update paywarden.note_vectors set embedding = '[2]'", "delete from paywarden.note_vectors"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="insert-only"):
                connection.execute(change)
        for change in ("content = 'y'", "trust = 'record'", "facts = '{}'", "created_at = now()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only the end"):
                connection.execute(f"update paywarden.notes set {change}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from paywarden.notes")


async def test_recall_brings_every_record_however_far_its_words_are(walled: Pool) -> None:
    async with transaction(walled, HERE) as connection:
        for number in range(5):
            await add(connection, replace(NOTE, content=f"near {number}"), axis(1, number / 10))
        await add(connection, replace(RECORD, content="refunded already"), axis(0, 1))
        await add(connection, replace(NOTE, content="far, and states nothing", trust="record"), axis(0, 1))
        recalled = await notes.recall(connection, "cust_001", asked(axis(1)), 3)
    assert contents(list(recalled.notes)) == ["near 0", "near 1", "near 2", "refunded already"]
    assert recalled.complete
    assert recalled.notes[-1].score == 0


async def test_recall_for_an_invoice_brings_what_the_trusted_wrote_of_it(walled: Pool) -> None:
    """However far the words are, and whichever embedder read them; the customer's own words only when they are near."""
    about = replace(NOTE, invoice_id="INV-1")
    kept = [
        replace(about, content="paid by wire", trust="staff"),
        replace(about, content="the bank says so", trust="record"),
        replace(NOTE, content="never charge her", trust="staff"),
    ]
    passed_over = [
        replace(about, content="I have paid"),
        replace(about, content="she has paid", trust="external"),
        replace(about, content="another invoice", trust="staff", invoice_id="INV-2"),
        replace(NOTE, content="likes tea", trust="record"),
    ]
    async with transaction(walled, HERE) as connection:
        await add(connection, replace(NOTE, content="near"), axis(1))
        for new in [*kept, *passed_over]:
            await add(connection, new, axis(0, 1), embedder="test" if new is not kept[0] else "before")
        plain = await notes.recall(connection, "cust_001", asked(axis(1)), 1)
        recalled = await notes.recall(connection, "cust_001", asked(axis(1)), 1, "INV-1")
    assert contents(list(plain.notes)) == ["near"]
    assert contents(list(recalled.notes)) == ["near", *(new.content for new in kept)]
    assert not recalled.complete, "one of them the present embedder has not read"


async def test_recall_says_when_it_could_not_bring_them_all(walled: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_RECORDS", 3)
    async with transaction(walled, HERE) as connection:
        for number in range(3):
            await add(connection, replace(RECORD, content=f"record {number}"), axis(0, 1))
        assert (await notes.recall(connection, "cust_001", asked(axis(1)), 1)).complete
        await add(connection, replace(RECORD, content="record 3"), axis(0, 1))
        recalled = await notes.recall(connection, "cust_001", asked(axis(1)), 1)
    assert not recalled.complete
    assert contents(list(recalled.notes)) == ["record 3", "record 1", "record 2"]


async def test_what_the_embedder_has_not_read_is_found_by_its_words_and_leaves_recall_incomplete(walled: Pool) -> None:
    """Also every record that states facts is brought, read or not."""
    async with transaction(walled, HERE) as connection:
        for number in range(3):
            await add(connection, replace(NOTE, content=f"near {number}"), axis(1, number / 10))
        assert (await notes.recall(connection, "cust_001", asked(axis(1)), 1)).complete
        unread = await notes.add(connection, replace(NOTE, content="order 4711 came back"), "test", None)
        await notes.add(connection, replace(RECORD, content="refunded already"), "test", None)
        recalled = await notes.recall(connection, "cust_001", TextQuery("order 4711", "test", axis(1)), 2)
        assert [(note.content, note.score) for note in recalled.notes] == [
            ("order 4711 came back", None), ("near 0", 1), ("refunded already", None)
        ]  # fmt: skip
        assert not recalled.complete
        others = [note_id for note_id, _ in await notes.without_vector(connection, "test", unread, 50)]
        await notes.keep_vectors(connection, "test", dict.fromkeys([unread, *others], axis(0, 1)))
        assert (await notes.recall(connection, "cust_001", asked(axis(1)), 1)).complete


async def test_without_a_vector_to_compare_with_words_find_and_the_newest_follow(walled: Pool) -> None:
    async with transaction(walled, HERE) as connection:
        for content in ("order 4711", "second", "third"):
            await add(connection, replace(NOTE, content=content))
        recalled = await notes.recall(connection, "cust_001", TextQuery("order 4711", "test", None), 2)
    assert [(note.content, note.score) for note in recalled.notes] == [("order 4711", None), ("third", None)]
    assert not recalled.complete


async def test_a_note_that_has_ended_waits_for_no_embedder(walled: Pool) -> None:
    async with transaction(walled, HERE) as connection:
        await principals.ensure_customer(connection, "cust_001")
        note_id = await notes.add(connection, NOTE, "test", None)
        assert await notes.without_vector(connection, "test", None, 9) == [(note_id, NOTE.content)]
        assert await notes.without_vector(connection, "test", note_id, 9) == []
        assert await notes.count_without_vector(connection, "test") == 1
        await notes.end(connection, note_id, None)
        assert await notes.without_vector(connection, "test", None, 9) == []
        assert await notes.count_without_vector(connection, "test") == 0
        assert (await notes.recall(connection, "cust_001", asked(axis(1)), 2)).complete


async def test_pages_of_a_customer_s_notes(walled: Pool) -> None:
    async with transaction(walled, HERE) as connection:
        for number in range(5):
            await add(connection, replace(NOTE, content=str(number)))
        first = await notes.of_customer(connection, "cust_001", 3)
        rest = await notes.of_customer(connection, "cust_001", 3, before=first[-1].id)
    assert contents(first) + contents(rest) == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"customer_id": ""}, "customer_id"),
        ({"customer_id": "x" * 256}, "customer_id"),
        ({"customer_id": "a\nb"}, "customer_id"),
        ({"content": " \n"}, "content"),
        ({"content": "x" * 20_001}, "content"),
        ({"content": "\x00"}, "content"),
        ({"content": "\ud800"}, "content"),
        ({"content": "pay with 4242424242424242"}, "content"),
        ({"trust": "gospel"}, "trust"),
        ({"source": ""}, "source"),
        ({"invoice_id": "x" * 256}, "invoice_id"),
        ({"case_id": "\x07"}, "case_id"),
        ({"facts": {"type": "order"}}, "facts"),
        ({"trust": "staff", "facts": {"type": "order"}}, "facts"),
        ({"trust": "record", "facts": {"n": float("nan")}}, "facts"),
        ({"trust": "record", "facts": {"t": "\x00"}}, "facts"),
        ({"trust": "record", "facts": {"t": "\ud800"}}, "facts"),
        ({"trust": "record", "facts": {"t": "x" * 20_001}}, "facts"),
        ({"trust": "record", "facts": ["a list"]}, "facts"),
    ],
)
async def test_a_wrong_note_is_refused_with_the_field_and_leaves_no_row(
    walled: Pool, changes: dict[str, Any], field: str
) -> None:
    async with transaction(walled, HERE) as connection:
        await principals.ensure_customer(connection, "cust_001")
        with pytest.raises(InvalidFieldError) as caught:
            await notes.add(connection, replace(NOTE, **changes), "test", axis(1))
        assert caught.value.param == field
        assert await notes.of_customer(connection, "cust_001", 50) == []


@pytest.mark.parametrize("limit", [0, -1, 51, True, 2.0])
async def test_a_search_has_a_limit(walled: Pool, limit: Any) -> None:
    async with transaction(walled, HERE) as connection:
        for search in (
            notes.nearest_by_text(connection, "cust_001", asked(axis(1)), limit),
            notes.nearest_by_own_vector(connection, "cust_001", axis(1), limit),
        ):
            with pytest.raises(InvalidFieldError) as caught:
                await search
            assert caught.value.param == "limit"


numbers = st.floats(-1e10, 1e10, width=32) | st.sampled_from([0.0, 1.0, -1.0])
vectors = st.integers(1, 3).flatmap(lambda dimension: st.lists(numbers, min_size=dimension, max_size=dimension))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), vectors), max_size=8), vectors)
async def test_the_search_is_the_exact_one(
    walled: Pool, kept: list[tuple[str, list[float]]], asked: list[float]
) -> None:
    """Whatever vectors are kept: the answer is what comparing them one by one in Python gives."""
    try:
        query = checked_vector(asked)
        own = [(customer, checked_vector(values)) for customer, values in kept]
    except InvalidFieldError:
        return
    same = [vector for customer, vector in own if customer == "a" and len(vector) == len(query)]
    expected = sorted((_cosine(vector, query) for vector in same), reverse=True)
    number = next(_NUMBERS)
    names = {"a": f"a {number}", "b": f"b {number}"}
    async with transaction(walled, HERE) as connection:
        for customer, vector in own:
            await add(connection, replace(NOTE, customer_id=names[customer], own_vector=vector))
        found = await notes.nearest_by_own_vector(connection, names["a"], query, 50)
    assert {note.customer_id for note in found} <= {names["a"]}
    assert np.allclose([note.score for note in found], expected, atol=1e-3)


def _cosine(one: Vector, other: Vector) -> float:
    wide, wider = one.astype(float), other.astype(float)
    return float(wide @ wider / np.linalg.norm(wide) / np.linalg.norm(wider))


async def test_real_messages_are_found_by_their_meaning(walled: Pool, embedder: UniversalSentenceEmbedder) -> None:
    texts = [
        "I was charged twice for the same purchase at the restaurant.",
        "My new card has not arrived yet.",
        "How do I change my PIN?",
        "Could I get an extension on the invoice until Friday?",
    ]
    async with transaction(walled, HERE) as connection:
        for text, vector in zip(texts, await embedder.embed(texts, "note"), strict=True):
            await add(connection, replace(NOTE, content=text), vector, embedder.id)
        for question, answer in (("there is a duplicate charge on my card", 0), ("may I pay the bill later?", 3)):
            (vector,) = await embedder.embed([question], "query")
            found = await notes.nearest_by_text(connection, "cust_001", TextQuery(question, embedder.id, vector), 1)
            assert contents(found) == [texts[answer]]
