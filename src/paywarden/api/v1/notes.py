"""``/v1/notes``: what is known about a customer."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import Body, FoundCount, Identifier, Text, Trust, Vector, example
from paywarden.api.pages import Page, whole
from paywarden.api.render.notes import NoteObject, new_note_object, note_object
from paywarden.api.requests import KeyRoute
from paywarden.flow import knowledge
from paywarden.flow.words import NewNote, checked_vector
from paywarden.kit import ids

router = APIRouter(route_class=KeyRoute, tags=["memory"], prefix="/v1/notes")


class NewNoteBody(Body):
    """A note to keep. ``facts`` is the machine-readable side of a note of trust ``record``."""

    model_config = example({"customer": "cust_42", "content": "Was charged twice for order 7."})
    customer: Identifier
    content: Text
    trust: Trust = "customer"
    source: Identifier | None = None
    invoice: Identifier | None = None
    case: Identifier | None = None
    facts: dict[str, Any] | None = None
    embedding: Vector | None = None


class NoteSearch(Body):
    """What to look for among a customer's notes: words, or the caller's own vector."""

    model_config = example({"customer": "cust_42", "q": "charged twice", "limit": 3})
    customer: Identifier
    q: Text | None = None
    embedding: Vector | None = None
    limit: FoundCount = 10


@router.post(
    "",
    operation_id="createNote",
    summary="Keep a note about a customer",
    status_code=201,
    response_model=NoteObject,
    responses=documented.WRITE,
)
async def create(desk: TheDesk, actor: TheActor, body: NewNoteBody) -> JSONResponse:
    """Only an administrator's note may be of trust ``record`` or ``staff``: those justify money."""
    new = NewNote(
        customer_id=body.customer,
        content=body.content,
        trust=body.trust,
        source=body.source,
        invoice_id=body.invoice,
        case_id=body.case,
        facts=body.facts,
        own_vector=None if body.embedding is None else checked_vector(body.embedding),
    )
    note_id = await knowledge.add_note(desk, actor, new)
    return JSONResponse(new_note_object(ids.to_text("note", note_id), new), 201)


@router.post(
    "/search",
    operation_id="searchNotes",
    summary="Find a customer's notes by words or by an own vector",
    response_model=Page[NoteObject],
    responses=documented.WRITE,
)
async def search(desk: TheDesk, actor: TheActor, body: NoteSearch) -> JSONResponse:
    """Nearest first, of that customer only. Exactly one of ``q`` and ``embedding``."""
    notes = await knowledge.search(desk, actor, body.customer, text=body.q, vector=body.embedding, limit=body.limit)
    return JSONResponse(whole([note_object(note) for note in notes]))
