"""Vectors of many texts, each made once by the embedder under test."""

from collections.abc import Iterable

from paywarden.memory.embedder import Embedder, Vector

_BATCH = 256


class Vectors:
    """Texts and their vectors. Notes and queries are kept apart: an embedder may tell them apart."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._notes: dict[str, Vector] = {}
        self._queries: dict[str, Vector] = {}

    async def learn(self, notes: Iterable[str], queries: Iterable[str]) -> None:
        """Embed what is not known yet."""
        new_notes = [text for text in dict.fromkeys(notes) if text not in self._notes]
        for batch in _batches(new_notes):
            self._notes.update(zip(batch, await self._embedder.embed(batch, "note"), strict=True))
        new_queries = [text for text in dict.fromkeys(queries) if text not in self._queries]
        for batch in _batches(new_queries):
            self._queries.update(zip(batch, await self._embedder.embed(batch, "query"), strict=True))

    def note(self, text: str) -> Vector:
        """The vector of a note that was learnt."""
        return self._notes[text]

    def query(self, text: str) -> Vector:
        """The vector of a query that was learnt."""
        return self._queries[text]


def _batches(texts: list[str]) -> Iterable[list[str]]:
    return (texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH))
