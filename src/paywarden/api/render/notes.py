"""A note about a customer."""

from typing import Literal

from typing_extensions import TypedDict

from paywarden.flow.words import NewNote, Note


class NoteObject(TypedDict):
    """A note. ``score`` is the cosine similarity to what was searched, null when nothing was."""

    object: Literal["note"]
    id: str
    customer: str
    content: str
    trust: str
    source: str | None
    invoice: str | None
    case: str | None
    score: float | None


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
        "score": None,
    }
