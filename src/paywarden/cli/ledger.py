"""``paywarden ledger`` and ``paywarden reconcile``: the books, and the provider's book beside them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from paywarden.cli.command import DONE, REFUSED, command, group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from paywarden.cli.screen import Columns
    from paywarden.cli.session import Session

app = group("The ledger: accounts, transfers, trial balance.")
_STORIES_SHOWN = 3


@command(app, "accounts")
def accounts(session: "Session") -> None:
    """List every account with its balances."""
    from paywarden.cli.screen import amount, table

    columns: Columns = {
        "book": "book",
        "account": "code",
        "normal": "normal",
        "balance >": lambda row: amount(row["balance_minor"], row["asset"]),
        "held >": lambda row: amount(row["held_minor"], row["asset"]),
        "blocked": lambda row: "blocked" if row["blocked"] else None,
    }
    session.show(session.desk.list_accounts(), lambda page: table(page["data"], columns))


@command(app, "transfers")
def transfers(
    session: "Session",
    payment: Annotated[str | None, typer.Option("--payment", help="Only of this payment: pay_...")] = None,
    customer: Annotated[str | None, typer.Option("--customer", help="Only on this customer's credit.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many.")] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where the last list ended.")] = None,
) -> None:
    """List transfers, newest first."""
    from paywarden.cli.screen import listed, moment

    columns: Columns = {
        "at (UTC)": lambda row: moment(row.get("at")),
        "book": "book",
        "debit": "debit",
        "credit": "credit",
        "amount >": "display",
        "payment or hold": lambda row: row.get("payment") or row.get("hold"),
        "late": lambda row: "late" if row.get("late") else None,
    }
    page = session.desk.list_transfers(payment=payment, customer=customer, limit=limit, cursor=cursor)
    session.show(page, lambda found: listed(found, columns))


@command(app, "trial-balance")
def trial_balance(session: "Session") -> int:
    """Sum debits and credits by book; exit status 1 when they differ."""
    from paywarden.cli.screen import amount, table

    columns: Columns = {
        "book": "book",
        "asset": "asset",
        "debits >": lambda row: amount(row["debits_minor"], row["asset"]),
        "credits >": lambda row: amount(row["credits_minor"], row["asset"]),
        "difference >": lambda row: amount(row["difference_minor"], row["asset"]),
    }
    balance = session.desk.trial_balance()
    session.show(balance, lambda page: table(page["data"], columns))
    return REFUSED if any(line["difference_minor"] for line in balance["data"]) else DONE


def add_reconcile(app: typer.Typer) -> None:
    """Register ``reconcile`` at the top."""
    command(app, "reconcile")(reconcile)


def reconcile(
    session: "Session",
    since: Annotated[str | None, typer.Option("--since", help="An instant with its zone; default: a day ago.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="An instant with its zone; default: now.")] = None,
) -> int:
    """Compare the provider's book with the ledger; exit status 1 when they differ."""
    run = session.desk.reconcile(since=since, until=until)
    session.show(run, draw_reconciliation)
    return REFUSED if run["findings"] else DONE


def draw_reconciliation(run: "Mapping[str, Any]") -> "RenderableType":
    """The books side by side, and what differs."""
    from rich.console import Group
    from rich.text import Text

    from paywarden.cli.screen import amount, cell, moment, table

    heading = Text(f"Provider's book against the ledger: {run['matched']} payments match", style="bold")
    period = cell(f"Compared: {moment(run['since'])} to {moment(run['until'])} UTC")
    columns: Columns = {
        "currency": "currency",
        "ledger >": "ledger_display",
        "provider >": "provider_display",
        "difference >": lambda row: amount(row["difference_minor"], row["currency"]),
    }
    parts: list[RenderableType] = [heading, period]
    if not run["has_statement"]:
        parts.append(cell("The provider hands out no statement, so its side is empty.", "yellow"))
    return Group(*parts, table(run["books"], columns), *_differences(run["findings"]))


def _differences(findings: "Sequence[Mapping[str, Any]]") -> "Iterator[RenderableType]":
    """What differs, with what to do about it."""
    from rich.text import Text

    from paywarden.cli.discrepancies import money
    from paywarden.cli.screen import cell, table

    if not findings:
        return
    columns: Columns = {
        "difference": "kind",
        "about": "subject",
        "ledger >": lambda row: money(row["ours_minor"], row["currency"]),
        "provider >": lambda row: money(row["theirs_minor"], row["currency"]),
    }
    yield Text("What differs", style="bold")
    yield table(findings, columns)
    yield cell("Next: `paywarden discrepancy list` says what each of these means and what to do.")
    payments = dict.fromkeys(row["subject"] for row in findings if row["subject"].startswith("pay_"))
    for payment in list(payments)[:_STORIES_SHOWN]:
        yield cell(f"      paywarden payment explain {payment}")
