"""``paywarden credit``: what customers may use through the billing gate."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paywarden.cli.command import command, group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from paywarden.cli.screen import Columns
    from paywarden.cli.session import Session

app = group("Credit: what customers were given to use, and what is left of it.")
Customer = Annotated[str, typer.Argument(help="Your id of the customer.")]
Funding = Literal["prepaid", "granted"]


@command(app, "top-up")
def top_up(
    session: "Session",
    customer: Customer,
    amount: Annotated[str, typer.Argument(help="For example 50.00.")],
    currency: Annotated[str, typer.Option("--currency", help="Lower-case ISO 4217.")] = "usd",
    funding: Annotated[
        Funding, typer.Option("--funding", help="Cash that came outside a provider (with --reference), or a gift.")
    ] = "prepaid",
    reference: Annotated[
        str | None, typer.Option("--reference", help="Where the cash can be looked up, e.g. a bank statement's line.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept with the top-up.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key never tops up twice; default: a fresh one.")
    ] = None,
) -> None:
    """Give a customer credit; for the roles settle and administer."""
    from paywarden.cli.amounts import parse_amount

    made = session.desk.top_up_credit(
        customer,
        parse_amount(amount, currency, "AMOUNT"),
        currency,
        funding=funding,
        reference=reference,
        reason=reason,
        idempotency_key=idempotency_key,
    )
    session.show(made, _draw_top_up)


@command(app, "reverse")
def reverse(
    session: "Session",
    top_up: Annotated[str, typer.Argument(metavar="ID", help="top_..., as 'paywarden credit list' shows it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept for the people who read the books.")],
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key reverses once; default: a fresh one.")
    ] = None,
) -> None:
    """Take a wrong top-up back, whole, from what is left and not held; for the roles settle and administer."""
    session.show(session.desk.reverse_top_up(top_up, reason=reason, idempotency_key=idempotency_key), _draw_top_up)


def _draw_top_up(made: "Mapping[str, Any]") -> "RenderableType":
    from paywarden.cli.screen import moment, sheet

    lines = ["id", "customer", "amount", "funding", "reference", "reason", "made (UTC)", "made by"]
    words = {"amount": made["display"], "made (UTC)": moment(made["created_at"]), "made by": made["principal"]}
    return sheet({**made, **words, "reversed (UTC)": _reversed(made)}, [*lines, "reversed (UTC)"])


def _reversed(made: "Mapping[str, Any]") -> str | None:
    """When, by whom and why a top-up was taken back; None while it stands."""
    from paywarden.cli.screen import moment

    undone = made["reversal"]
    return undone and f"{moment(undone['created_at'])} by {undone['principal']}: {undone['reason']}"


@command(app, "list")
def list_(
    session: "Session",
    customer: Annotated[str | None, typer.Option("--customer", help="Only of this customer.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many.")] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where the last list ended.")] = None,
) -> None:
    """List top-ups, newest first: how much, for whom, by whom, where the cash can be looked up, what was taken back."""
    from paywarden.cli.screen import listed, moment

    columns: Columns = {
        "id": "id",
        "customer": "customer",
        "amount >": "display",
        "funding": "funding",
        "reference": "reference",
        "reason": "reason",
        "made by": "principal",
        "made (UTC)": lambda row: moment(row["created_at"]),
        "reversed (UTC)": _reversed,
    }
    page = session.desk.list_top_ups(customer=customer, limit=limit, cursor=cursor)
    session.show(page, lambda found: listed(found, columns))


@command(app, "show")
def show(session: "Session", customer: Customer) -> None:
    """Show what a customer has, what is held of it, and what is left to use."""
    session.show(session.desk.get_credit(customer), _draw)


def _draw(credit: "Mapping[str, Any]") -> "RenderableType":
    from paywarden.cli.screen import amount, table

    columns: Columns = {
        "funding": "funding",
        "currency": "currency",
        "balance >": lambda row: amount(row["balance_minor"], row["currency"]),
        "held >": lambda row: amount(row["held_minor"], row["currency"]),
        "available >": "available",
        "blocked": lambda row: "blocked" if row["blocked"] else None,
    }
    return table(credit["balances"], columns)
