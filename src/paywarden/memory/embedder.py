"""Texts to vectors, behind one port."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from paywarden.kit.errors import EmbedderUnavailableError, InvalidFieldError

Vector = NDArray[np.float32]
TextKind = Literal["note", "query"]

# Of every embedder, so that a note which one can read can be read by all. Cut there, no text has more than 8,000 bytes,
# and so no more tokens, which every hosted model takes.
MAX_EMBEDDED_CHARACTERS = 2_000


class RefusedTextError(EmbedderUnavailableError):
    """The embedder takes exception to these very texts; asking again is of no use, others may be welcome."""


class Embedder(Protocol):
    """Makes unit-length float32 vectors of one dimension; vectors of different ``id`` must never be compared."""

    @property
    def id(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def at_once(self) -> int:
        """So many texts are well given together: more would keep others waiting for too long."""
        ...

    async def embed(self, texts: Sequence[str], kind: TextKind) -> list[Vector]:
        """One vector for each text, in order. Raises InvalidFieldError for a text that cannot be embedded.

        Raises EmbedderUnavailableError when no vectors are to be had now, RefusedTextError when not of these texts.
        """
        ...

    async def preload(self) -> None:
        """Be ready before the first text comes."""
        ...

    async def close(self) -> None:
        """Give back threads and connections."""
        ...


def embeddable(text: str) -> str:
    """As much of a text as counts. Raises InvalidFieldError when that is blank or no text."""
    cut = text[:MAX_EMBEDDED_CHARACTERS]
    if not cut.strip() or any("\ud800" <= character <= "\udfff" for character in cut):
        raise InvalidFieldError("text", "must not be blank or contain lone surrogates")
    return cut


def unit(vector: Vector) -> Vector:
    """The same direction at length one, not to be changed any more."""
    scaled: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    scaled.flags.writeable = False
    return scaled
