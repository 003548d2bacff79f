"""Notes: keeping one, and finding those of a customer who has twenty thousand."""

import asyncio

import httpx
import numpy as np

from bench.case import ServiceCase
from bench.figures import Sample, Tally
from bench.seed_notes import BIG_CUSTOMER, Notes, embedded, seed
from bench.server import number, rows
from bench.service import Service
from bench.world import World

_NOTES, _NOTES_FULL = Notes(200_000, 20_000), Notes(1_000_000, 20_000)
_ASKED = (
    "Why was my transfer charged twice?", "Where is my parcel?", "The cash machine kept my card abroad.",
    "I want my money back for the holidays.", "Who changed the currency of my statement?",
)  # fmt: skip
_FOUND = 10
_BIG = {"customer": BIG_CUSTOMER}
# Scores are of single precision.
_TOLERANCE = 1e-5
_VECTORS = """
    select made.embedding::real[] as vector
    from paywarden.notes as note
    join paywarden.note_vectors as made on made.tenant_id = note.tenant_id and made.note_id = note.id
    where note.customer_id = %(customer)s"""
_COUNT = "select count(*) from paywarden.notes"


def many_notes(world: World) -> Service:
    """The service on 200,000 notes, or with FULL=1 on a million."""
    wanted = _NOTES_FULL if world.full else _NOTES
    return world.service("notes", lambda service: seed(service.superuser_url, wanted))


class NoteInsert(ServiceCase):
    """One note a request, each with another text, into a database that has 200,000 already."""

    def prepare(self, world: World) -> None:
        self.service = many_notes(world)

    def measure(self, seconds: int) -> Sample:
        before = number(self.service.superuser_url, _COUNT)
        reading = self.press("notes", seconds, 16)
        stored = number(self.service.superuser_url, _COUNT) - before
        tally = Tally("notes", reading.acknowledged, stored, 16)
        broken = tuple(filter(None, [tally.broken()])) + reading.broken()
        return Sample(reading.rate, reading.p50_ms, reading.p99_ms, broken, self.memory())


class SearchCustomer(ServiceCase):
    """One search after another, each for another text, among the 20,000 notes of one customer."""

    def prepare(self, world: World) -> None:
        self.service = many_notes(world)

    def measure(self, seconds: int) -> Sample:
        reading = self.press("search", seconds, 1, {"BENCH_CUSTOMER": BIG_CUSTOMER})
        extra = {"p95_ms": reading.p95_ms, **self.memory()}
        return Sample(reading.rate, reading.p50_ms, reading.p99_ms, reading.broken(), extra)

    def prove(self) -> list[str]:
        """What is found is exactly the nearest there is, by a comparison with every vector of the customer."""
        near = asyncio.run(embedded([f'"{text}"' for text in _ASKED]))
        vectors = np.array(
            [row["vector"] for row in rows(self.service.superuser_url, _VECTORS, _BIG)], dtype=np.float32
        )
        nearest = np.sort(near @ vectors.T, axis=1)[:, ::-1][:, :_FOUND]
        with self.service.client() as client:
            found = np.array([_scores(client, text) for text in _ASKED])
        wrong = int((np.abs(found - nearest) > _TOLERANCE).any(axis=1).sum())
        return [f"{wrong} of {len(_ASKED)} searches did not find the nearest notes"] if wrong else []


def _scores(client: httpx.Client, text: str) -> list[float]:
    # In quotes it is a phrase that no note has: only nearness in meaning finds.
    answer = client.post("/v1/notes/search", json={"customer": BIG_CUSTOMER, "q": f'"{text}"', "limit": _FOUND})
    return sorted((each["score"] for each in answer.raise_for_status().json()["data"]), reverse=True)
