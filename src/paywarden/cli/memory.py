"""``paywarden memory``: notes about customers."""

from typing import TYPE_CHECKING, Annotated

import typer

from paywarden.cli.command import command, group

if TYPE_CHECKING:
    from paywarden.cli.screen import Columns
    from paywarden.cli.session import Session

app = group("Notes about customers: the evidence that decisions rest on.")
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
) -> None:
    """Keep a note about a customer."""
    from paywarden.cli.screen import sheet

    note = session.desk.add_note(
        customer, content, trust=trust, source=source, invoice=invoice, case=case, facts=_facts(facts)
    )
    session.show(note, lambda kept: sheet(kept, ["id", "customer", "trust", "source", "content"]))


@command(app, "search")
def search(
    session: "Session",
    customer: Customer,
    query: Annotated[str, typer.Argument(help="What to look for, in your words.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=50, help="How many.")] = 5,
) -> None:
    """Find the nearest notes of one customer."""
    from paywarden.cli.screen import table

    columns: Columns = {
        "id": "id",
        "score >": lambda row: f"{row['score']:.2f}" if row.get("score") is not None else None,
        "trust": "trust",
        "note": "content",
    }
    page = session.desk.search_notes(customer, query, limit=limit)
    session.show(page, lambda found: table(found["data"], columns))


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
