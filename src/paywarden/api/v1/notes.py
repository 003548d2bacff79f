"""``/v1/notes``: what is known about a customer."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import (
    Body,
    FoundCount,
    Identifier,
    Instant,
    PageSize,
    Text,
    Trust,
    Vector,
    example,
    path_id,
)
from paywarden.api.hot import LeanKeyRoute
from paywarden.api.pages import Page, first_of, whole
from paywarden.api.render.notes import (
    EmbedderObject,
    InfluenceObject,
    NoteImportObject,
    NoteObject,
    embedder_object,
    influence_object,
    new_note_object,
    note_import_object,
    note_object,
)
from paywarden.api.requests import KeyRoute
from paywarden.flow import embedding, knowledge, note_import
from paywarden.flow.words import MAX_IMPORTED, NewNote, checked_vector
from paywarden.kit import ids
from paywarden.kit.errors import InvalidFieldError

router = APIRouter(route_class=KeyRoute, tags=["memory"], prefix="/v1/notes")
# What agents do all day.
lean = APIRouter(route_class=LeanKeyRoute, tags=["memory"], prefix="/v1/notes")


class NewNoteBody(Body):
    """A note to keep. ``facts`` is the machine-readable side of a note of trust ``record``.

    From ``valid_until`` on it is neither found nor recalled.
    """

    model_config = example({"customer": "cust_42", "content": "Was charged twice for order 7."})
    customer: Identifier
    content: Text
    trust: Trust = "customer"
    source: Identifier | None = None
    invoice: Identifier | None = None
    case: Identifier | None = None
    facts: dict[str, Any] | None = None
    embedding: Vector | None = None
    valid_until: Instant | None = None

    def as_new_note(self) -> NewNote:
        """The note in the words of the flow."""
        return NewNote(
            customer_id=self.customer,
            content=self.content,
            trust=self.trust,
            source=self.source,
            invoice_id=self.invoice,
            case_id=self.case,
            facts=self.facts,
            own_vector=None if self.embedding is None else checked_vector(self.embedding),
            valid_until=self.valid_until,
        )


class NoteImport(Body):
    """Notes to keep, as many as 200."""

    model_config = example({"notes": [{"customer": "cust_42", "content": "Was charged twice for order 7."}]})
    notes: Annotated[list[NewNoteBody], Field(min_length=1, max_length=MAX_IMPORTED)]


class NoteEnd(Body):
    """When a note ends; at once without an instant, or with one that has passed."""

    model_config = example({"valid_until": "2030-01-31T12:00:00Z"})
    valid_until: Instant | None = None


class NoteSearch(Body):
    """What to look for among a customer's notes: a text, or the caller's own vector.

    Without ``customer`` among the notes of all customers: a text only, by administrators and reviewers only.
    """

    model_config = example({"customer": "cust_42", "q": "charged twice", "limit": 3})
    customer: Identifier | None = None
    q: Text | None = None
    embedding: Vector | None = None
    limit: FoundCount = 10


@lean.post(
    "",
    operation_id="createNote",
    summary="Keep a note about a customer",
    status_code=201,
    response_model=NoteObject,
    responses=documented.WRITE,
)
async def create(desk: TheDesk, actor: TheActor, body: NewNoteBody) -> JSONResponse:
    """Only an administrator's note may be of trust ``record`` or ``staff``: those justify money."""
    new = body.as_new_note()
    note_id = await knowledge.add_note(desk, actor, new)
    return JSONResponse(new_note_object(ids.to_text("note", note_id), new), 201)


@router.post(
    ":import",
    operation_id="importNotes",
    summary="Keep many notes, each once",
    response_model=NoteImportObject,
    responses=documented.WRITE,
)
async def import_notes(desk: TheDesk, actor: TheActor, body: NoteImport) -> JSONResponse:
    """All of them or, when one is refused, none; `param` names it, as in `notes.3.content`.

    A note that an earlier import brought is not kept again, so a call whose answer got lost is simply repeated.
    """
    news = []
    for place, note in enumerate(body.notes):
        with note_import.named(place):
            news.append(note.as_new_note())
    return JSONResponse(note_import_object(await note_import.import_notes(desk, actor, news)))


@lean.post(
    "/search",
    operation_id="searchNotes",
    summary="Find a customer's notes by a text or by an own vector",
    response_model=Page[NoteObject],
    responses=documented.WRITE,
)
async def search(desk: TheDesk, actor: TheActor, body: NoteSearch) -> JSONResponse:
    """The best first, of that customer only. Exactly one of ``q`` and ``embedding``.

    With ``q`` the notes nearest in meaning and those with all its words are merged (reciprocal rank fusion); `"..."`
    is a phrase, `or` means either, `-` excludes. ``score`` is the nearness in meaning alone. Without ``customer`` only
    meaning counts, and finding the nearest of very many notes is nearly, not wholly, certain. While the embedder does
    not answer, a search by ``q`` gets 503 with the code `embedder_unavailable`; a note that it has not read yet is
    found by its words, without a ``score``.
    """
    if body.customer is not None:
        notes = await knowledge.search(desk, actor, body.customer, text=body.q, vector=body.embedding, limit=body.limit)
    elif body.q is None or body.embedding is not None:
        raise InvalidFieldError("customer", "is required: only a search by 'q' alone can do without")
    else:
        notes = await knowledge.search_tenant(desk, actor, body.q, body.limit)
    return JSONResponse(whole([note_object(note) for note in notes]))


@router.get(
    "/embedder",
    operation_id="getNoteEmbedder",
    summary="The embedder, and how many notes wait for it",
    response_model=EmbedderObject,
    responses=documented.READ,
)
async def embedder(desk: TheDesk, actor: TheActor) -> JSONResponse:
    """What turns notes into vectors. A customer with a note that waits is judged by people, not by advice."""
    return JSONResponse(embedder_object(await embedding.state(desk, actor)))


@router.post(
    "/{note_id}/expire",
    operation_id="expireNote",
    summary="Let a note end",
    response_model=NoteObject,
    responses=documented.WRITE,
)
async def expire(desk: TheDesk, actor: TheActor, note_id: str, body: NoteEnd | None = None) -> JSONResponse:
    """For administrators and the note's own author. An end can be brought forward and never be put off."""
    at = None if body is None else body.valid_until
    return JSONResponse(note_object(await knowledge.end_note(desk, actor, _id(note_id), at)))


@router.get(
    "/{note_id}/decisions",
    operation_id="listNoteDecisions",
    summary="The decisions that were given a note",
    response_model=Page[InfluenceObject],
    responses=documented.READ,
)
async def decisions(
    desk: TheDesk,
    actor: TheActor,
    note_id: str,
    limit: Annotated[PageSize, Query()] = 20,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> JSONResponse:
    """Newest first, whether or not they cite it."""
    before = None if cursor is None else ids.parse("dec", cursor, "cursor")
    found = await knowledge.influence_of(desk, actor, _id(note_id), limit + 1, before)
    shown = first_of([influence_object(each) for each in found], limit)
    if shown["has_more"]:
        shown["next_cursor"] = shown["data"][-1]["decision"]
    return JSONResponse(shown)


def _id(text: str) -> UUID:
    return path_id("note", text, "There is no such note.")
