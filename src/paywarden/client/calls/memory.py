"""Notes, and what is decided on them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from paywarden.client import objects
from paywarden.client.calls.sending import at, get, pay, post
from paywarden.client.conversation import Conversation, converse
from paywarden.client.objects import Page


def add_note(
    customer: str,
    content: str,
    *,
    trust: str = "customer",
    source: str | None = None,
    invoice: str | None = None,
    case: str | None = None,
    facts: Mapping[str, Any] | None = None,
    valid_until: str | None = None,
) -> Conversation[objects.Note]:
    """Keep a note about a customer. Only an administrator writes trust ``record`` (with ``facts``) or ``staff``.

    From ``valid_until`` (an instant in RFC 3339) on it is neither found nor recalled.
    """
    return converse(
        post(
            "/v1/notes",
            customer=customer,
            content=content,
            trust=trust,
            source=source,
            invoice=invoice,
            case=case,
            facts=facts,
            valid_until=valid_until,
        )
    )


def search_notes(customer: str | None, q: str, *, limit: int | None = None) -> Conversation[Page[objects.Note]]:
    """One customer's notes that are near in meaning or have all the words of ``q``, the best first.

    With None, for administrators and reviewers: the notes of all customers, by meaning.
    """
    return converse(post("/v1/notes/search", customer=customer, q=q, limit=limit))


def import_notes(notes: Sequence[Mapping[str, Any]]) -> Conversation[objects.NoteImport]:
    """Keep up to 200 notes (as ``add_note`` names their fields), each once however often it is imported.

    All of them or, when one is refused (``param`` is like ``notes.3.content``), none.
    """
    # The service needs no key to know a repeat; with one the call is sent again when its answer got lost.
    return converse(pay("/v1/notes:import", None, notes=list(notes)))


def expire_note(note: str, *, valid_until: str | None = None) -> Conversation[objects.Note]:
    """Let a note end, at once unless an instant is given; for administrators and the note's author."""
    return converse(post(at("notes", note, "expire"), valid_until=valid_until))


def get_note_embedder() -> Conversation[objects.NoteEmbedder]:
    """What turns notes into vectors, and how many notes wait for it."""
    return converse(get("/v1/notes/embedder"))


def list_note_decisions(
    note: str, *, limit: int | None = None, cursor: str | None = None
) -> Conversation[Page[objects.NoteInfluence]]:
    """The decisions that were given a note, newest first."""
    return converse(get(at("notes", note, "decisions"), limit=limit, cursor=cursor))


def decide(customer: str, request: str, amount_minor: int, currency: str) -> Conversation[objects.Decision]:
    """What would the adviser say? Never pays."""
    return converse(
        post("/v1/decisions", customer=customer, request=request, amount_minor=amount_minor, currency=currency)
    )


def get_decision(decision: str) -> Conversation[objects.Decision]:
    """A stored decision, whole."""
    return converse(get(at("decisions", decision)))


def replay_decision(
    decision: str, *, model: str | None = None, effort: Literal["unset", "low", "medium", "high"] | None = None
) -> Conversation[objects.DecisionReplay]:
    """Make a decision again as of today, or by another model: what would have changed, in money. Nothing moves.

    For administrators and reviewers; paid from the tenant's budget for advice.
    """
    return converse(post(at("decisions", decision, "replay"), model=model, effort=effort))
