"""``paywarden memory``: notes about customers."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paywarden.cli.command import DONE, REFUSED, command, group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

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
        facts=read_facts(facts),
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

    page = session.desk.search_notes(customer, query, limit=limit)
    session.show(page, lambda found: table(found["data"], _found_columns()))


@command(app, "search-all")
def search_all(
    session: "Session",
    query: Annotated[str, typer.Argument(help="What to look for, in your words.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=50, help="How many.")] = 5,
) -> None:
    """Find the notes of all customers that mean it; for administrators and reviewers."""
    from paywarden.cli.screen import table

    page = session.desk.search_notes(None, query, limit=limit)
    session.show(page, lambda found: table(found["data"], {**_found_columns(), "customer": "customer"}))


@command(app, "import")
def import_(
    session: "Session",
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv with a heading, or a .jsonl file, in UTF-8.")],
    form: Annotated[str | None, typer.Option("--format", help="csv or jsonl. Default: as FILE ends.")] = None,
    customer: Annotated[
        str, typer.Option("--customer-column", help="What FILE calls your id of the customer.")
    ] = "customer",
    content: Annotated[str, typer.Option("--content-column", help="What FILE calls the note's text.")] = "content",
    trust: Annotated[str, typer.Option("--trust", help="Trust of the notes that state none.")] = "customer",
) -> int:
    """Import notes from a file, each once: a repeated import adds nothing. Every refused line is named in the end.

    Further columns are trust, source, invoice, case, facts (JSON) and valid_until; others are passed over.
    """
    from paywarden.cli.note_files import Lines, count_lines, layout_of, opened, read_notes
    from paywarden.cli.note_import import Report, import_lines
    from paywarden.cli.progress import shown_progress

    layout = layout_of(file, form, customer, content, trust)
    total, report, what = count_lines(file), Report(), f"lines of {file.name}"
    with opened(file) as text, shown_progress(sys.stderr) as tell:
        for line in import_lines(session.desk, read_notes(Lines(text), layout), report):
            tell(what, min(line, total - 1), total)
        tell(what, total, total)
    session.show(report.as_json(), _drawn)
    return REFUSED if report.refused else DONE


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


_REFUSED_SHOWN = 20
_LINES = ["id", "customer", "trust", "source", "content", "valid_until"]


def _found_columns() -> "Columns":
    return {
        "id": "id",
        "score >": lambda row: f"{row['score']:.2f}" if row.get("score") is not None else None,
        "trust": "trust",
        "note": "content",
    }


def _drawn(report: "Mapping[str, Any]") -> "RenderableType":
    """The counts, and the first lines that were refused."""
    from rich.console import Group

    from paywarden.cli.screen import cell, sheet, table

    refused = report["refused"]
    counts = sheet({**report, "refused": len(refused)}, ["added", "already_there", "refused", "stopped_at_line"])
    if not refused:
        return counts
    columns: Columns = {"line >": "line", "field": "field", "problem": "problem"}
    rest = len(refused) - _REFUSED_SHOWN
    more = [cell(f"and {rest} more; --json names them all")] if rest > 0 else []
    return Group(counts, table(refused[:_REFUSED_SHOWN], columns), *more)


def read_facts(text: str | None) -> dict[str, object] | None:
    """The JSON object of ``--facts``. Raises InvalidFieldError."""
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
