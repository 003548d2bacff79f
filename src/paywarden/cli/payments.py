"""``paywarden payment``: look, explain, and the few things a person does to a payment."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paywarden.cli.command import REFUSED, command, group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from paywarden.cli.screen import Columns
    from paywarden.cli.session import Session

app = group("Payments: charges, refunds and payouts, and their whole story.")
Outcome = Literal["succeeded", "failed"]
Id = Annotated[str, typer.Argument(metavar="ID", help="pay_...")]
COLUMNS: "Columns" = {
    "id": "id",
    "kind": "kind",
    "amount >": "display",
    "status": "status",
    "who": lambda row: row.get("payee") or row.get("customer"),
    "agent": "agent",
    "oversight": "oversight",
    "reason": "reason",
    "created (UTC)": lambda row: str(row.get("created_at", ""))[:19].replace("T", " "),
}
LINES = [
    "id", "kind", "amount", "status", "customer", "payee", "agent", "mandate", "purpose", "reference", "refund_of",
    "oversight", "decided_by", "reason", "missing_facts", "facts_until", "provider", "provider_payment_id", "captured",
    "refunded", "refundable", "late", "created_at", "updated_at",
]  # fmt: skip


@command(app, "list")
def list_(
    session: "Session",
    status: Annotated[str | None, typer.Option("--status", help="Only in this status, for example in_review.")] = None,
    kind: Annotated[
        Literal["charge", "refund", "payout"] | None, typer.Option("--kind", help="Only of this kind.")
    ] = None,
    customer: Annotated[str | None, typer.Option("--customer", help="Only of this customer.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many.")] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where the last list ended.")] = None,
) -> None:
    """List payments, newest first."""
    from paywarden.cli.screen import listed

    page = session.desk.list_payments(status=status, kind=kind, customer=customer, limit=limit, cursor=cursor)
    session.show(page, lambda found: listed(found, COLUMNS))


@command(app, "show")
def show(session: "Session", payment: Id) -> None:
    """Show a payment as it stands."""
    _show(session, payment)


@command(app, "explain")
def explain(session: "Session", payment: Id) -> None:
    """Tell the whole story: who asked, what the evidence said, which rule decided, what was held, paid and booked."""
    from paywarden.cli.explain import story

    session.show(session.desk.get_dossier(payment), story)


@command(app, "confirm")
def confirm(session: "Session", payment: Id) -> None:
    """Let the provider complete a payment that waits for its confirmation."""
    session.desk.confirm_payment(payment)
    _show(session, payment)


@command(app, "cancel")
def cancel(session: "Session", payment: Id) -> None:
    """Cancel what was not sent yet; what was held is free again."""
    session.desk.cancel_payment(payment)
    _show(session, payment)


@command(app, "refund")
def refund(
    session: "Session",
    payment: Id,
    request: Annotated[str, typer.Option("--request", help="Why: the customer's words, or yours.")],
    amount: Annotated[
        str | None, typer.Option("--amount", help="For example 12.50; default: all that is left.")
    ] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="Case or order number.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key never refunds twice; default: a fresh one.")
    ] = None,
) -> int | None:
    """Ask for a refund of a charge. Rules, evidence and perhaps another person decide."""
    from paywarden.cli.amounts import parse_amount
    from paywarden.cli.session import complain

    charge = session.desk.get_payment(payment)
    currency, left_minor = charge["currency"], charge["refundable_minor"]
    amount_minor = left_minor if amount is None else parse_amount(amount, currency, "--amount")
    if amount_minor == 0:
        return complain(REFUSED, f"nothing of {payment} is left to refund", session.as_json, code="nothing_refundable")
    made = session.desk.refund(
        payment, amount_minor, currency, request=request, reference=reference, idempotency_key=idempotency_key
    )
    _show(session, made["id"])
    return None


@command(app, "facts")
def facts(
    session: "Session",
    payment: Id,
    contents: Annotated[list[str], typer.Argument(metavar="FACT...", help="What is missing, each as a text.")],
    trust: Annotated[
        str, typer.Option("--trust", help="Who says so: customer, external, or (administrators) staff or record.")
    ] = "customer",
    source: Annotated[str | None, typer.Option("--source", help="Where it comes from.")] = None,
    case: Annotated[str | None, typer.Option("--case", help="The case it is about.")] = None,
    stated: Annotated[
        str | None, typer.Option("--facts", help="JSON object; for one FACT of trust record only.")
    ] = None,
) -> None:
    """Give a payment the facts it waits for, all at once; it is decided anew with them."""
    from paywarden.cli.memory import read_facts
    from paywarden.kit.errors import InvalidFieldError

    if stated is not None and len(contents) > 1:
        raise InvalidFieldError("--facts", "is for one FACT at a time")
    said = {"trust": trust, "source": source, "case": case, "facts": read_facts(stated)}
    known = {name: value for name, value in said.items() if value is not None}
    session.desk.give_facts(payment, [{"content": content, **known} for content in contents])
    _show(session, payment)


@command(app, "attest")
def attest(
    session: "Session",
    payment: Id,
    outcome: Annotated[Outcome, typer.Option("--outcome", help="As you saw it at the provider.")],
    reference: Annotated[str, typer.Option("--reference", help="Where it can be looked up again, e.g. a case number.")],
    provider_payment: Annotated[
        str | None, typer.Option("--provider-payment", help="The provider's id of it; without it no refund later.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="More; it stands in the payment's story.")] = None,
) -> None:
    """Say what became of a payment whose outcome stays unknown; two people who agree settle it."""
    said = session.desk.attest_payment(payment, outcome, reference, provider_payment_id=provider_payment, reason=reason)
    session.show(said, _draw_attestation)


def _draw_attestation(said: "Mapping[str, Any]") -> "RenderableType":
    from paywarden.cli.screen import sheet

    payment = said["payment"]
    waits = payment["status"] == "outcome_unknown"
    words = {
        "payment": payment["id"],
        "amount": payment["display"],
        "status": payment["status"],
        "next": "a second person with the role settle must say the same" if waits else None,
    }
    return sheet(
        {**said, **words}, ["payment", "amount", "outcome", "reference", "provider_payment_id", "status", "next"]
    )


def _show(session: "Session", payment: str) -> None:
    from paywarden.cli.screen import amount, sheet

    found = session.desk.get_payment(payment)
    words = {
        "amount": found["display"],
        "refund_of": found["payment"],
        "captured": amount(found["captured_minor"], found["currency"]),
        "refunded": amount(found["refunded_minor"], found["currency"]),
        "refundable": amount(found["refundable_minor"], found["currency"]),
        "late": found["late"] or None,
    }
    session.show(found, lambda row: sheet({**row, **words}, LINES))
