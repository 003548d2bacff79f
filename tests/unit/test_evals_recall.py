"""The evals recall with lists what the desk recalls with tables: the same notes, on the real database."""

from evals import cases as labelled
from evals import messages
from evals.cases import customer
from evals.snapshots import learn, recall
from evals.vectors import Vectors

from paywarden.db.pool import Pool
from paywarden.db.transaction import transaction
from paywarden.flow.advise import EVIDENCE_NOTES
from paywarden.identity import principals, tenants
from paywarden.kit import ids
from paywarden.memory import notes
from paywarden.memory.local_embedder import UniversalSentenceEmbedder
from paywarden.memory.notes import NewNote, TextQuery

SOME = 24
TENANT = ids.new_uuid()


async def test_the_desk_finds_the_same_notes(pool: Pool, embedder: UniversalSentenceEmbedder) -> None:
    vectors = Vectors(embedder)
    some = labelled.make(messages.load())[:SOME]
    await learn(some, vectors)
    async with transaction(pool, TENANT) as connection:
        await tenants.create(connection, TENANT, "evals", "test")
        for case in some:
            await principals.ensure_customer(connection, customer(case))
            for note in case.notes:
                new = NewNote(customer(case), note.content, note.trust, facts=note.facts)
                await notes.add(connection, new, embedder.id, vectors.note(note.content))
        for case in some:
            asked = TextQuery(case.request, embedder.id, vectors.query(case.request))
            found = await notes.recall(connection, customer(case), asked, EVIDENCE_NOTES)
            here = recall(case, vectors).evidence
            assert sorted(note.content for note in found.notes) == sorted(note.content for note in here)
            assert {(note.trust, note.content) for note in found.notes} == {(note.trust, note.content) for note in here}
