"""``paywarden hold``: what is held at the billing gate, and giving it back."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paywarden.cli.command import command, group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from paywarden.cli.screen import Columns
    from paywarden.cli.session import Session

app = group("Holds at the billing gate: made before a costly call, captured for what it cost.")
Id = Annotated[str, typer.Argument(metavar="ID", help="hold_...")]
Status = Literal["pending", "captured", "released", "expired"]


@command(app, "list")
def list_(
    session: "Session",
    customer: Annotated[str | None, typer.Option("--customer", help="Only of this customer.")] = None,
    status: Annotated[Status | None, typer.Option("--status", help="Only in this status.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many.")] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where the last list ended.")] = None,
) -> None:
    """List holds, newest first."""
    from paywarden.cli.screen import amount, listed, moment

    columns: Columns = {
        "id": "id",
        "customer": "customer",
        "held by": "principal",
        "feature": "feature",
        "held >": "display",
        "captured >": lambda row: amount(row["captured_minor"], row["currency"]),
        "status": "status",
        "expires (UTC)": lambda row: moment(row["expires_at"]),
        "created (UTC)": lambda row: moment(row["created_at"]),
    }
    page = session.desk.list_holds(customer=customer, status=status, limit=limit, cursor=cursor)
    session.show(page, lambda found: listed(found, columns))


@command(app, "show")
def show(session: "Session", hold: Id) -> None:
    """Show a hold as it stands."""
    session.show(session.desk.get_hold(hold), _draw)


@command(app, "release")
def release(session: "Session", hold: Id) -> None:
    """Give back what is held; one's own hold, or with the role settle anybody's."""
    session.show(session.desk.release_hold(hold), _draw)


def _draw(hold: "Mapping[str, Any]") -> "RenderableType":
    from paywarden.cli.screen import amount, moment, sheet

    words = {
        "held by": hold.get("principal"),
        "held": hold["display"],
        "captured": amount(hold["captured_minor"], hold["currency"]),
        "expires (UTC)": moment(hold["expires_at"]),
        "created (UTC)": moment(hold["created_at"]),
        "closed (UTC)": moment(hold.get("closed_at")),
    }
    lines = ["id", "status", "customer", "mandate", "feature", *words]
    return sheet({**hold, **words}, lines)
