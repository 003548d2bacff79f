"""``/knowledge``: notes about a customer, kept and found again within that customer only."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import Body, FoundCount, FoundLimit, Identifier, Text, Trust, Vector, example
from paywarden.api.render.quickstart import FoundNotes, KeptNote, found_notes
from paywarden.api.requests import QuickstartRoute
from paywarden.flow import knowledge
from paywarden.flow.words import NewNote, checked_vector
from paywarden.kit import ids

router = APIRouter(route_class=QuickstartRoute, tags=["quick start"], prefix="/knowledge")
_DEFAULT_FOUND = 3


class NewQuickNote(Body):
    """A note. ``embedding`` is the caller's own vector; it is kept beside ours."""

    model_config = example({"customer_id": "cust_001", "content": "Was charged twice for order 7."})
    customer_id: Identifier
    content: Text
    embedding: Vector | None = None
    trust: Trust = "customer"
    source: Identifier | None = None
    invoice_id: Identifier | None = None
    case_id: Identifier | None = None


class QuickSearch(Body):
    """What to look for among a customer's notes: words, or the caller's own vector."""

    model_config = example({"customer_id": "cust_001", "q": "charged twice", "limit": 3})
    customer_id: Identifier
    q: Text | None = None
    embedding: Vector | None = None
    limit: FoundCount = _DEFAULT_FOUND


@router.post(
    "",
    operation_id="quickAddNote",
    summary="Keep a note about a customer",
    status_code=201,
    response_model=KeptNote,
    responses=documented.WRITE,
)
async def add(desk: TheDesk, actor: TheActor, body: NewQuickNote) -> JSONResponse:
    """Only an administrator's note may be of trust ``record`` or ``staff``: those justify money."""
    new = NewNote(
        customer_id=body.customer_id,
        content=body.content,
        trust=body.trust,
        source=body.source,
        invoice_id=body.invoice_id,
        case_id=body.case_id,
        own_vector=None if body.embedding is None else checked_vector(body.embedding),
    )
    return JSONResponse({"id": ids.to_text("note", await knowledge.add_note(desk, actor, new))}, 201)


@router.get(
    "/search",
    operation_id="quickSearchNotes",
    summary="Find a customer's notes by a text",
    response_model=FoundNotes,
    responses=documented.READ,
)
async def search(
    desk: TheDesk,
    actor: TheActor,
    customer_id: Annotated[Identifier, Query()],
    q: Annotated[Text, Query()],
    limit: Annotated[FoundLimit, Query()] = _DEFAULT_FOUND,
) -> JSONResponse:
    """Found by meaning and by words, of that customer only; nearest in meaning (``score``) first."""
    notes = await knowledge.search(desk, actor, customer_id, text=q, vector=None, limit=limit)
    return JSONResponse(found_notes(notes))


@router.post(
    "/search",
    operation_id="quickSearchNotesByBody",
    summary="Find a customer's notes by a text or by an own vector",
    response_model=FoundNotes,
    responses=documented.READ,
)
async def search_by_body(desk: TheDesk, actor: TheActor, body: QuickSearch) -> JSONResponse:
    """Exactly one of ``q`` and ``embedding``."""
    notes = await knowledge.search(desk, actor, body.customer_id, text=body.q, vector=body.embedding, limit=body.limit)
    return JSONResponse(found_notes(notes))
