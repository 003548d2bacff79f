"""``paywarden memory``: notes about customers."""

from typing import TYPE_CHECKING, Annotated

import typer

from paywarden.cli.command import command, group

if TYPE_CHECKING:
    from paywarden.cli.screen import Columns
    from paywarden.cli.session import Session

app = group("Notes about customers: the evidence that decisions rest on.")
NoteId = Annotated[str, typer.Argument(metavar="NOTE_ID", help="note_...")]
Customer = Annotated[str, typer.Argument(help="Your id of the customer.")]


@command(app, "add")
def add(
    session: "Session",
    customer: Customer,
    content: Annotated[str, typer.Argument(help="The note.")],
    trust: Annotated[str, typer.Option("--trust", help="Who says so: record, staff, customer or external.")] = "staff",
    source: Annotated[str | None, typer.Option("--source", help="Where it comes from.")] = None,
    invoice: Annotated[str | None, typer.Option("--invoice", help="The invoice it is about.")] = None,
    case: Annotated[str | None, typer.Option("--case", help="The case it is about.")] = None,
    facts: Annotated[str | None, typer.Option("--facts", help="JSON object; for trust record only.")] = None,
    valid_until: Annotated[
        str | None, typer.Option("--valid-until", help="When it ends, for example 2030-01-31T12:00:00Z.")
    ] = None,
) -> None:
    """Keep a note about a customer."""
    from paywarden.cli.screen import sheet

    note = session.desk.add_note(
        customer,
        content,
        trust=trust,
        source=source,
        invoice=invoice,
        case=case,
        facts=_facts(facts),
        valid_until=valid_until,
    )
    session.show(note, lambda kept: sheet(kept, _LINES))


@command(app, "search")
def search(
    session: "Session",
    customer: Customer,
    query: Annotated[str, typer.Argument(help="What to look for, in your words.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=50, help="How many.")] = 5,
) -> None:
    """Find the notes of one customer that mean it, or have all its words."""
    from paywarden.cli.screen import table

    columns: Columns = {
        "id": "id",
        "score >": lambda row: f"{row['score']:.2f}" if row.get("score") is not None else None,
        "trust": "trust",
        "note": "content",
    }
    page = session.desk.search_notes(customer, query, limit=limit)
    session.show(page, lambda found: table(found["data"], columns))


@command(app, "expire")
def expire(
    session: "Session",
    note: NoteId,
    at: Annotated[str | None, typer.Option("--at", help="When it ends, as 2030-01-31T12:00:00Z. Default: now.")] = None,
) -> None:
    """Let a note end: from then on no search finds it and no decision is given it. It stays readable where it was."""
    from paywarden.cli.screen import sheet

    session.show(session.desk.expire_note(note, valid_until=at), lambda ended: sheet(ended, _LINES))


@command(app, "influence")
def influence(
    session: "Session",
    note: NoteId,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many.")] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where the last list ended.")] = None,
) -> None:
    """List the decisions that were given a note, newest first, and what their payments came to."""
    from paywarden.cli.screen import amount, listed, moment

    columns: Columns = {
        "id": "decision",
        "verdict": "verdict",
        "cites it": "cited",
        "approved >": lambda row: amount(row["amount_minor"], row["currency"]),
        "payment": "payment",
        "payment is": "payment_status",
        "adviser": "adviser",
        "decided (UTC)": lambda row: moment(row.get("created_at")),
    }
    page = session.desk.list_note_decisions(note, limit=limit, cursor=cursor)
    session.show(page, lambda found: listed(found, columns))


_LINES = ["id", "customer", "trust", "source", "content", "valid_until"]


def _facts(text: str | None) -> dict[str, object] | None:
    from paywarden.kit.canonical import loads_strict
    from paywarden.kit.errors import InvalidFieldError

    if text is None:
        return None
    try:
        value = loads_strict(text.encode("utf-8", "surrogateescape"))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidFieldError("--facts", "must be a JSON object")
    return value
