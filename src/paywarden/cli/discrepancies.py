"""``paywarden discrepancy``: where two truths do not agree, what that means, and what to do next."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from paywarden.cli.command import command, group

if TYPE_CHECKING:
    from rich.console import RenderableType

    from paywarden.cli.screen import Columns
    from paywarden.cli.session import Session

app = group("Differences between the provider, the payments and the ledger that somebody must look at.")


class Meaning(NamedTuple):
    """A kind of discrepancy in plain words."""

    means: str
    next: str


_ASK_PROVIDER = "Ask the provider's support about it and compare with `paywarden payment explain`."
MEANINGS: Mapping[str, Meaning] = {
    "missing_at_provider": Meaning(
        "We say that it succeeded; the provider's statement does not have it.",
        "Run `paywarden reconcile` again later; if it stays missing, ask the provider's support.",
    ),
    "missing_here": Meaning(
        "The provider's statement has a movement that we did not ask for.",
        "Find out who else uses this account at the provider; if nobody does, treat its key as stolen.",
    ),
    "amount_differs": Meaning("The provider moved another amount or currency than we asked for.", _ASK_PROVIDER),
    "not_booked": Meaning(
        "The provider moved the money, and our ledger has not booked it.",
        "Run `paywarden reconcile` again: it books what the statement proves.",
    ),
    "booked_without_provider": Meaning(
        "Our ledger booked it, and the provider's statement does not have it.",
        "Run `paywarden reconcile` again later; if it stays missing, an event lied: change the webhook secret.",
    ),
    "doubled": Meaning(
        "The provider's statement has it more than once: it may have been paid twice.",
        "Look at both movements at the provider and give the second one back there.",
    ),
    "several_at_provider": Meaning(
        "The provider knows several payments under our one reference: it may have been paid twice.",
        "Look at each of them at the provider and give back there what is too much.",
    ),
    "event_kind_differs": Meaning(
        "An event about a charge named a refund, or the other way round; it was not booked.", _ASK_PROVIDER
    ),
    "event_without_payment": Meaning(
        "A signed event names a payment that we do not have.",
        "Find out who else uses this account at the provider; nothing was booked.",
    ),
    "amount_minor_differs": Meaning(
        "The provider reported another amount than we asked for; it was not booked.", _ASK_PROVIDER
    ),
    "currency_differs": Meaning(
        "The provider reported another currency than we asked for; it was not booked.", _ASK_PROVIDER
    ),
    "provider_id_differs": Meaning(
        "The provider reported another id for it than before; it was not booked.", _ASK_PROVIDER
    ),
    "outcome_unknown_past_window": Meaning(
        "Nobody knows whether it was paid, and asking again could pay twice; what is held stays held.",
        "Look it up at the provider, then two people: `paywarden payment attest`.",
    ),
    "attested_otherwise": Meaning(
        "The provider proved another outcome than two people attested; the provider's counts.",
        "Ask both people what they saw: `paywarden payment explain` names them.",
    ),
    "success_without_request": Meaning(
        "The provider reported a success of a payment that we had not sent; the money is booked.",
        "Find out who sent it; if nobody of you did, treat the provider's key as stolen, and refund it.",
    ),
    "below_floor": Meaning(
        "A booking that the provider proved took an account below its floor.",
        "Look at `paywarden ledger accounts`: more was spent there than was allowed.",
    ),
    "refunded_more_than_captured": Meaning(
        "The provider gave back more than the charge had brought in.",
        "Look at the charge's refunds at the provider: one was made there by hand, or twice.",
    ),
}


@command(app, "list")
def list_(
    session: "Session",
    status: Annotated[str, typer.Option("--status", help="open or resolved.")] = "open",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many.")] = 100,
) -> None:
    """List differences, newest first, with what each kind means and what to do next."""
    session.show(session.desk.list_discrepancies(status, limit=limit), _draw)


def _draw(page: "Mapping[str, Any]") -> "RenderableType":
    from rich.console import Group

    from paywarden.cli.screen import listed, moment

    columns: Columns = {
        "what": "kind",
        "about": "subject",
        "payment": lambda row: row["payment"] if row["payment"] != row["subject"] else None,
        "amount >": _amounts,
        "since (UTC)": lambda row: moment(row["created_at"]),
    }
    if any(row["resolved_at"] for row in page["data"]):
        columns = {**columns, "resolved (UTC)": lambda row: moment(row["resolved_at"]) or None}
    return Group(listed(page, columns), *explained(row["kind"] for row in page["data"]))


def _amounts(row: "Mapping[str, Any]") -> str | None:
    """What both sides have, if a comparison found it; else the payment's amount."""
    detail = row["detail"]
    if not detail.get("currency") or "theirs_minor" not in detail:
        shown: str | None = row["display"]
        return shown
    ours, theirs = (money(detail[side], detail["currency"]) for side in ("ours_minor", "theirs_minor"))
    return f"ours {ours or 'none'}, provider's {theirs or 'none'}"


def money(amount_minor: int | None, currency: str) -> str | None:
    """An amount for people; None when a side has none."""
    from paywarden.cli.screen import amount

    return None if amount_minor is None else amount(amount_minor, currency)


def explained(kinds: "Iterable[str]") -> "Iterator[RenderableType]":
    """What each of these kinds means and what to do next, once."""
    from rich.text import Text

    from paywarden.cli.screen import cell

    for kind in dict.fromkeys(kinds):
        meaning = MEANINGS.get(kind)
        if meaning is not None:
            yield Text(f"\n{kind}", style="bold") + cell(f": {meaning.means}")
            yield cell(f"  Next: {meaning.next}")
