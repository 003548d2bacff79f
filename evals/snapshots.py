"""From a case to what an adviser sees, as ``paywarden.flow.advise.recall`` does it, with lists in place of tables."""

import hashlib
import re
from collections.abc import Iterable

import numpy as np

from evals.cases import Case, customer
from evals.records import ASKED_AT, USD, KeptNote
from evals.vectors import Vectors
from paywarden.decisions.advice import EvidenceNote, OwnRecord, Snapshot
from paywarden.decisions.record_facts import parse_record_fact
from paywarden.flow.advise import EVIDENCE_NOTES, OWN_RECORDS
from paywarden.memory.embedder import Vector

# As in ``nearest_by_text`` of paywarden/memory/queries.sql.
_FUSION = 60
_WORD = re.compile(r"\w+")


async def learn(cases: Iterable[Case], vectors: Vectors) -> None:
    """Embed what the cases ask with and what is on file."""
    cases = list(cases)
    await vectors.learn([note.content for case in cases for note in case.notes], [case.request for case in cases])


def recall(case: Case, vectors: Vectors) -> Snapshot:
    """The notes that the request finds, every record that states facts, and the newest of our own rows."""
    query = vectors.query(case.request)
    found = search(case, vectors)[:EVIDENCE_NOTES]
    stated = [note for note in case.notes if note.trust == "record" and note.facts is not None]
    together = {note.id: note for note in [*found, *stated]}.values()
    newest = case.rows[-OWN_RECORDS:][::-1]
    return Snapshot(
        request=case.request,
        customer=customer(case),
        kind="refund",
        requested_amount_minor=case.requested_minor,
        currency=USD,
        payment_id=case.payment_id,
        records=tuple(OwnRecord(row.id, parse_record_fact(row.facts)) for row in newest),
        evidence=tuple(_evidence(note, _score(note, query, vectors)) for note in together),
        asked_at=ASKED_AT,
        complete=len(case.rows) < OWN_RECORDS,
    )


def search(case: Case, vectors: Vectors) -> list[KeptNote]:
    """All notes, by the places they have in nearness and among those with all words of the request, merged."""
    query, wanted = vectors.query(case.request), _words(case.request)
    near = sorted(case.notes, key=lambda note: -_score(note, query, vectors))
    merit = {note.id: 1 / (_FUSION + place) for place, note in enumerate(near, start=1)}
    # Among those the database ranks by the closeness of the words; here the nearer comes first.
    worded = [note for note in near if wanted <= _words(note.content)]
    for place, note in enumerate(worded, start=1):
        merit[note.id] += 1 / (_FUSION + place)
    return sorted(near, key=lambda note: -merit[note.id])


def reached(case: Case, snapshot: Snapshot) -> bool:
    """Whether the hostile text of a case is in what the adviser sees."""
    if case.injection is None:
        return False
    return any(
        case.injection.text in text for text in (snapshot.request, *(note.content for note in snapshot.evidence))
    )


def _score(note: KeptNote, query: Vector, vectors: Vectors) -> float:
    return float(np.dot(vectors.note(note.content), query))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _evidence(note: KeptNote, score: float) -> EvidenceNote:
    digest = hashlib.sha256(note.content.encode()).digest()
    return EvidenceNote(note.id, digest, round(score, 6), note.trust, note.content, note.facts)
