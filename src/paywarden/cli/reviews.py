"""``paywarden review``: what waits for a person, and the verdict on exactly that."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paywarden.cli.command import REFUSED, command, group

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

_DONE = {"approve": "approved by", "reject": "rejected by"}
_ANOTHER_PERSON = """Next: another person with the role review decides. If there is nobody yet:
  paywarden agent create NAME --kind person --role review
  paywarden key create ID    (the id that the first command prints)
and that person runs this command with that key in PAYWARDEN_API_KEY."""


@command(app, "list")
def list_(
    session: "Session",
    status: Annotated[str, typer.Option("--status", help="open, approved, rejected, expired or canceled.")] = "open",
    customer: Annotated[str | None, typer.Option("--customer", help="Only of this customer.")] = None,
    payment: Annotated[str | None, typer.Option("--payment", help="Only of this payment: pay_...")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many.")] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where the last list ended.")] = None,
) -> None:
    """List reviews, oldest first."""
    from paywarden.cli.screen import listed, moment

    columns: Columns = {
        "id": "id",
        "payment": lambda row: _payment(row).get("id"),
        "what": lambda row: _payment(row).get("kind"),
        "amount >": lambda row: _payment(row).get("display"),
        "who": lambda row: _payment(row).get("payee") or _payment(row).get("customer"),
        "asked by": lambda row: _payment(row).get("agent"),
        "why it waits": "reason",
        "until (UTC)": lambda row: moment(row.get("expires_at")),
    }
    page = session.desk.list_reviews(status, customer=customer, payment=payment, limit=limit, cursor=cursor)
    session.show(page, lambda found: listed(found, columns))


@command(app, "show")
def show(session: "Session", review: Id) -> int | None:
    """Show a review, the action it is about, and what a verdict can rest on."""
    if review.startswith("pay_"):
        return _name_the_review(session, review)
    found = session.desk.get_review(review)
    session.show(found, lambda shown: draw(shown, **_background(session, shown["payment"])))
    return None


def _background(session: "Session", payment: "Mapping[str, Any]") -> dict[str, str]:
    """What the adviser thinks of a payment, if one was asked, and the charge that a refund gives back."""
    from paywarden.cli.judgement import opinion

    background = {}
    if payment["payment"] is not None:
        background["refund_of"] = _charge(session.desk.get_payment(payment["payment"]))
    decisions = session.desk.get_dossier(payment["id"])["decisions"]
    if decisions:
        background["adviser"] = opinion(decisions[-1]).plain
    return background


def _charge(charge: "Mapping[str, Any]") -> str:
    from paywarden.cli.screen import amount, moment

    left = amount(charge["refundable_minor"], charge["currency"])
    about = ", ".join(charge[name] for name in ("purpose", "reference") if charge[name])
    told = f"{charge['display']} of {moment(charge['created_at'])} UTC{f' for {about}' if about else ''}"
    return f"{charge['id']}: {told}; {charge['status']}, {left} left to refund"


@command(app, "approve")
def approve(session: "Session", review: Id, reason: Reason, digest: Digest = None) -> int | None:
    """Let it happen. Whoever asked for a payment can never approve it."""
    return _verdict(session, review, "approve", reason, digest)


@command(app, "reject")
def reject(session: "Session", review: Id, reason: Reason, digest: Digest = None) -> int | None:
    """Refuse it: the payment is denied and what was held is free again."""
    return _verdict(session, review, "reject", reason, digest)


def _verdict(
    session: "Session", review: str, verdict: Literal["approve", "reject"], reason: str, digest: str | None
) -> int | None:
    """The digest goes along, so that the verdict counts for this action and no later one."""
    from paywarden.cli.session import refuse
    from paywarden.client import PaywardenApiError

    if review.startswith("pay_"):
        return _name_the_review(session, review)
    seen = digest or session.desk.get_review(review)["action_digest"]
    try:
        given = session.desk.give_verdict(review, verdict, reason, action_digest=seen)
    except PaywardenApiError as error:
        if error.code != "forbidden":
            raise
        return refuse(error, session.as_json, _ANOTHER_PERSON)
    session.show(given, draw)
    return None


def _name_the_review(session: "Session", payment: str) -> int:
    """Somebody gave the payment's id: say so, and which review of it is open."""
    from paywarden.cli.session import complain

    session.desk.get_payment(payment)
    waiting = session.desk.list_reviews(payment=payment, limit=1)["data"]
    open_one = f"its open review is {waiting[0]['id']}" if waiting else "it has no open review"
    detail = f"{payment} is a payment and not a review; {open_one}"
    return complain(REFUSED, detail, session.as_json, code="not_a_review")


def _payment(review: "Mapping[str, Any]") -> dict[str, Any]:
    """The payment of a review, whether it came whole or as an id."""
    payment = review.get("payment")
    return payment if isinstance(payment, dict) else {"id": payment}


def draw(review: "Mapping[str, Any]", refund_of: str | None = None, adviser: str | None = None) -> "RenderableType":
    """All that a verdict rests on, and the verdicts that were given."""
    from paywarden.cli.screen import moment, sheet

    payment, verdicts = _payment(review), review.get("verdicts", [])
    about = {
        "payment": payment.get("id"),
        "what": payment.get("kind"),
        "amount": payment.get("display"),
        "payee": payment.get("payee"),
        "customer": payment.get("customer"),
        "asked_by": payment.get("agent"),
        "payment_status": payment.get("status"),
        "refund_of": refund_of or payment.get("payment"),
        "purpose": payment.get("purpose"),
        "reference": payment.get("reference"),
        "customer says": review.get("request"),
        "adviser": adviser,
        "why it waits": review.get("reason"),
        "until (UTC)": moment(review.get("expires_at")),
    }
    said = {word: [_said(row) for row in verdicts if row["verdict"] == verdict] for verdict, word in _DONE.items()}
    lines = ["id", "status", *about, "required_role", "reviewer_kind", "action_digest", *said, "see also"]
    also = {"see also": f"paywarden payment explain {payment.get('id')}"}
    return sheet({**review, **about, **said, **also}, lines)


def _said(verdict: "Mapping[str, Any]") -> str:
    from paywarden.cli.screen import moment

    who = f"{verdict['reviewer_name']} ({verdict['reviewer_kind']})"
    return f"{who}, {moment(verdict['created_at'])} UTC: {verdict['reason']}"
