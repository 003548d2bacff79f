"""Notes that come at once share a commit; each keeps its own author, its own tenant and its own outcome."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from psycopg.errors import ForeignKeyViolation

from paywarden.audit import events
from paywarden.db.transaction import transaction
from paywarden.flow import access, knowledge
from paywarden.flow.desk import Actor
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit import ids
from paywarden.memory import notes
from paywarden.memory.notes import NewNote, Note, TextQuery
from tests.flow.world import World

pytestmark = pytest.mark.shared_sandbox

MANY = 30


async def add(world: World, *news: NewNote, actor: Actor | None = None) -> list[UUID | BaseException]:
    """Keep all of them at once, each in a request of its own."""
    who = actor or world.stage.agent
    adding = [
        knowledge.add_note(world.stage.desk, replace(who, request_id=f"req_{number}"), new)
        for number, new in enumerate(news)
    ]
    return await asyncio.gather(*adding, return_exceptions=True)


def numbered(count: int) -> list[NewNote]:
    return [NewNote(f"c{number % 3}", f"note {number}") for number in range(count)]


async def found(world: World, note_id: object, tenant_id: UUID = QUICKSTART_TENANT_ID) -> Note | None:
    assert isinstance(note_id, UUID)
    async with transaction(world.stage.desk.pool, tenant_id) as connection:
        return await notes.find(connection, note_id)


async def test_notes_that_come_at_once_share_commits_and_stay_themselves(world: World) -> None:
    news = numbered(MANY)
    note_ids = await add(world, *news)
    desk = world.stage.desk
    async with transaction(desk.pool, QUICKSTART_TENANT_ID) as connection:
        told = [(await events.of_subject(connection, note_id))[0] for note_id in note_ids if isinstance(note_id, UUID)]
        commits = await (
            await connection.execute("select count(distinct xmin::text) as n from paywarden.notes")
        ).fetchone()
        for new in news[:3]:
            (vector,) = await desk.embedder.embed([new.content], "query")
            asked = TextQuery("", desk.embedder.id, vector)
            (nearest,) = await notes.nearest_by_text(connection, new.customer_id, asked, 1)
            assert nearest.content == new.content
    kept = [await found(world, note_id) for note_id in note_ids]
    assert [(note.customer_id, note.content) for note in kept if note] == [
        (new.customer_id, new.content) for new in news
    ]
    assert {note.author_id for note in kept if note} == {world.stage.agent.principal.id}
    assert [event["request_id"] for event in told] == [f"req_{number}" for number in range(MANY)]
    assert commits is not None
    assert commits["n"] < MANY


async def test_a_note_that_the_database_refuses_keeps_no_other_out(world: World) -> None:
    """Of a payment that is not there: no door lets that through, and the database has the last word."""
    news = numbered(8)
    news[3] = replace(news[3], payment_id=ids.new_uuid())
    outcomes = await add(world, *news)
    assert isinstance(outcomes.pop(3), ForeignKeyViolation)
    assert all([await found(world, outcome) for outcome in outcomes])


async def test_notes_of_several_tenants_that_come_at_once_stay_apart(world: World) -> None:
    desk = world.stage.desk
    other = await access.create_tenant(desk.pool, "other", "test")
    there = Actor(await access.authenticate(desk.pool, other["admin_key"]))
    here, theirs = await asyncio.gather(add(world, *numbered(6)), add(world, *numbered(6), actor=there))
    for note_id in theirs:
        assert await found(world, note_id) is None
        assert await found(world, note_id, there.tenant_id) is not None
    for note_id in here:
        assert await found(world, note_id) is not None
        assert await found(world, note_id, there.tenant_id) is None
