"""Retrieval: is the nearest of all other messages of the same intent as the one that is asked with?"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.messages import Message
from evals.vectors import Vectors

MIN_HIT_AT_1 = 0.86
# By embedder, of the published test part.
MIN_PUBLISHED_HIT_AT_1 = {"all-minilm-l6-v2": 0.89}
_DEPTH = 5
_WORST = 4
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Missed:
    """An intent by how many of its held-out messages found another intent first."""

    intent: str
    missed: int
    asked: int


@dataclass(frozen=True, slots=True)
class RetrievalFigures:
    """Shares are 0 to 1. ``hit_at_5``: one of the five nearest has the intent.

    ``interval``: where hit@1 lies with 95 % certainty for messages like these (Wilson).
    """

    embedder: str
    queries: int
    corpus: int
    hit_at_1: float
    interval: tuple[float, float]
    hit_at_5: float
    worst: tuple[Missed, ...]


async def measure(
    queries: Sequence[Message], corpus: Sequence[Message], vectors: Vectors, embedder_id: str
) -> RetrievalFigures:
    """Ask with each message among the corpus, exactly, by cosine."""
    await vectors.learn([message.text for message in corpus], [message.text for message in queries])
    asked = np.stack([vectors.query(message.text) for message in queries])
    kept = np.stack([vectors.note(message.text) for message in corpus])
    nearest = np.argsort(-(asked @ kept.T), axis=1, kind="stable")[:, :_DEPTH]
    found = [[corpus[index].intent for index in row] for row in nearest]
    return figures([message.intent for message in queries], found, embedder_id, len(corpus))


def figures(intents: Sequence[str], found: Sequence[Sequence[str]], embedder_id: str, corpus: int) -> RetrievalFigures:
    """Figures from the intents that were asked for and those that were found, nearest first."""
    hits = [wanted == ranked[0] for wanted, ranked in zip(intents, found, strict=True)]
    among = [wanted in ranked for wanted, ranked in zip(intents, found, strict=True)]
    asked = Counter(intents)
    missed = Counter(wanted for wanted, hit in zip(intents, hits, strict=True) if not hit)
    worst = sorted(missed, key=lambda intent: (-missed[intent], intent))[:_WORST]
    return RetrievalFigures(
        embedder=embedder_id,
        queries=len(intents),
        corpus=corpus,
        hit_at_1=round(sum(hits) / len(hits), 4),
        interval=wilson(sum(hits), len(hits)),
        hit_at_5=round(sum(among) / len(among), 4),
        worst=tuple(Missed(intent, missed[intent], asked[intent]) for intent in worst),
    )


def wilson(hits: int, asked: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    share, spread = hits / asked, _Z * _Z / asked
    middle = share + spread / 2
    half = _Z * math.sqrt(share * (1 - share) / asked + spread / asked / 4)
    return round((middle - half) / (1 + spread), 4), round((middle + half) / (1 + spread), 4)
