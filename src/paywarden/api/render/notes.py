"""A note about a customer, and the decisions that it influenced."""

from collections.abc import Sequence
from typing import Literal

from typing_extensions import TypedDict

from paywarden.api.render.values import instant, public_id
from paywarden.flow.words import EmbedderState, ImportedNote, Influence, NewNote, Note
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339


class NoteObject(TypedDict):
    """A note. ``score`` is the cosine similarity to what was searched, null when nothing was or nothing tells it yet.

    From ``valid_until`` on it is neither found nor recalled.
    """

    object: Literal["note"]
    id: str
    customer: str
    content: str
    trust: str
    source: str | None
    invoice: str | None
    case: str | None
    valid_until: str | None
    score: float | None


class EmbedderObject(TypedDict):
    """What turns notes into vectors. ``notes_waiting``: the tenant's notes that it has not read yet."""

    object: Literal["embedder"]
    id: str
    dimension: int
    notes_waiting: int


class InfluenceObject(TypedDict):
    """A decision that was given the note. ``score`` is the note's cosine similarity to the request then.

    ``amount_minor`` is what the checked advice approved; ``payment_status`` is that of the payment now.
    """

    object: Literal["note_influence"]
    decision: str
    cited: bool
    score: float
    payment: str | None
    payment_status: str | None
    customer: str | None
    adviser: str
    verdict: str
    amount_minor: int
    currency: str
    created_at: str


class ImportedNoteObject(TypedDict):
    """A note that is there now. ``added`` is false when an earlier line or import has brought it."""

    id: str
    added: bool


class NoteImportObject(TypedDict):
    """What became of the notes of an import, in their order."""

    object: Literal["note_import"]
    added: int
    already_there: int
    notes: list[ImportedNoteObject]


def note_object(note: Note) -> NoteObject:
    """A found note."""
    return {
        "object": "note",
        "id": note.public_id,
        "customer": note.customer_id,
        "content": note.content,
        "trust": note.trust,
        "source": note.source,
        "invoice": note.invoice_id,
        "case": note.case_id,
        "valid_until": instant(note.valid_until),
        "score": note.score,
    }


def new_note_object(public_id: str, new: NewNote) -> NoteObject:
    """A note that was just kept."""
    return {
        "object": "note",
        "id": public_id,
        "customer": new.customer_id,
        "content": new.content,
        "trust": new.trust,
        "source": new.source,
        "invoice": new.invoice_id,
        "case": new.case_id,
        "valid_until": instant(new.valid_until),
        "score": None,
    }


def embedder_object(state: EmbedderState) -> EmbedderObject:
    """The embedder of this service."""
    return {
        "object": "embedder",
        "id": state.id,
        "dimension": state.dimension,
        "notes_waiting": state.notes_waiting,
    }


def influence_object(influence: Influence) -> InfluenceObject:
    """A decision beside a note."""
    return {
        "object": "note_influence",
        "decision": ids.to_text("dec", influence.decision_id),
        "cited": influence.cited,
        "score": round(influence.score, 4),
        "payment": public_id("pay", influence.payment_id),
        "payment_status": influence.payment_status,
        "customer": influence.customer_id,
        "adviser": influence.adviser,
        "verdict": influence.verdict,
        "amount_minor": influence.amount_minor,
        "currency": influence.currency,
        "created_at": rfc3339(influence.created_at),
    }


def note_import_object(imported: Sequence[ImportedNote]) -> NoteImportObject:
    """The answer to an import."""
    added = sum(note.added for note in imported)
    return {
        "object": "note_import",
        "added": added,
        "already_there": len(imported) - added,
        "notes": [{"id": ids.to_text("note", note.id), "added": note.added} for note in imported],
    }
