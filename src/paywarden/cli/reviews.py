"""``paywarden review``: what waits for a person, and the verdict on exactly that."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paywarden.cli.command import command, group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from paywarden.cli.screen import Columns
    from paywarden.cli.session import Session

app = group("Payments that wait for another principal's verdict.")
Id = Annotated[str, typer.Argument(metavar="ID", help="rev_...")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the payment's story.")]
Digest = Annotated[
    str | None,
    typer.Option("--digest", help="Action digest of what you looked at; default: of the action as it is now."),
]


@command(app, "list")
def list_(
    session: "Session",
    status: Annotated[str, typer.Option("--status", help="open, approved, rejected, expired or canceled.")] = "open",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many.")] = 20,
) -> None:
    """List reviews, oldest first."""
    from paywarden.cli.screen import moment, table

    columns: Columns = {
        "id": "id",
        "payment": lambda row: _payment(row).get("id"),
        "what": lambda row: _payment(row).get("kind"),
        "amount >": lambda row: _payment(row).get("display"),
        "customer": lambda row: _payment(row).get("customer") or _payment(row).get("payee"),
        "asked by": lambda row: _payment(row).get("agent"),
        "why it waits": "reason",
        "until (UTC)": lambda row: moment(row.get("expires_at")),
    }
    session.show(session.desk.list_reviews(status, limit=limit), lambda page: table(page["data"], columns))


@command(app, "show")
def show(session: "Session", review: Id) -> None:
    """Show a review and the action it is about."""
    session.show(session.desk.get_review(review), _draw)


@command(app, "approve")
def approve(session: "Session", review: Id, reason: Reason, digest: Digest = None) -> None:
    """Let it happen. Whoever asked for a payment can never approve it."""
    _verdict(session, review, "approve", reason, digest)


@command(app, "reject")
def reject(session: "Session", review: Id, reason: Reason, digest: Digest = None) -> None:
    """Refuse it: the payment is denied and what was held is free again."""
    _verdict(session, review, "reject", reason, digest)


def _verdict(
    session: "Session", review: str, verdict: Literal["approve", "reject"], reason: str, digest: str | None
) -> None:
    """The digest goes along, so that the verdict counts for this action and no later one."""
    seen = digest or session.desk.get_review(review)["action_digest"]
    session.show(session.desk.give_verdict(review, verdict, reason, action_digest=seen), _draw)


def _payment(review: "Mapping[str, Any]") -> dict[str, Any]:
    """The payment of a review, whether it came whole or as an id."""
    payment = review.get("payment")
    return payment if isinstance(payment, dict) else {"id": payment}


def _draw(review: "Mapping[str, Any]") -> "RenderableType":
    from paywarden.cli.screen import sheet

    payment = _payment(review)
    about = {
        "payment": payment.get("id"),
        "what": payment.get("kind"),
        "amount": payment.get("display"),
        "customer": payment.get("customer") or payment.get("payee"),
        "asked_by": payment.get("agent"),
        "payment_status": payment.get("status"),
    }
    lines = ["id", "status", *about, "purpose", "reference", "reason", "required_role", "reviewer_kind"]
    return sheet({**payment, **review, **about}, [*lines, "action_digest", "expires_at"])
