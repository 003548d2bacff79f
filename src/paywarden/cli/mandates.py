"""``paywarden mandate``: what a principal may spend."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from paywarden.cli.command import command, group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paywarden.cli.screen import Columns
    from paywarden.cli.session import Session
    from paywarden.client.objects import Limit

app = group("Mandates: what a principal may spend, a payment and a day.")


@command(app, "create")
def create(
    session: "Session",
    principal: Annotated[str, typer.Argument(help="Who may spend: agt_..., per_... or svc_...")],
    name: Annotated[str, typer.Option("--name", help="What it is for, in a few words.")],
    kind: Annotated[
        list[str], typer.Option("--kind", help="charge, refund, payout or gate; may be given several times.")
    ],
    per_day: Annotated[str, typer.Option("--per-day", help="Budget of a calendar day, for example 1000.00.")],
    per_payment: Annotated[str | None, typer.Option("--per-payment", help="The most a single payment may be.")] = None,
    currency: Annotated[str, typer.Option("--currency", help="Lower-case ISO 4217.")] = "usd",
    payee: Annotated[
        list[str] | None, typer.Option("--payee", help="Only for this counterparty; may be given several times.")
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="Whose days count, for example Europe/Berlin.")] = "UTC",
    valid_until: Annotated[str | None, typer.Option("--valid-until", help="An instant with its zone.")] = None,
) -> None:
    """Give a principal a mandate. Without one it can pay nothing."""
    from paywarden.cli.screen import sheet

    made = session.desk.create_mandate(
        principal,
        name,
        kind,
        _limits(currency, per_day, per_payment),
        timezone=timezone,
        payees=payee or None,
        valid_until=valid_until,
    )
    session.show(made, lambda mandate: sheet({**mandate, "limits": _limit_words(mandate)}, _LINES))


@command(app, "list")
def list_(session: "Session") -> None:
    """List all mandates, oldest first."""
    from paywarden.cli.screen import table

    columns: Columns = {
        "id": "id",
        "principal": "principal",
        "name": "name",
        "kinds": "kinds",
        "limits": _limit_words,
        "days in": "timezone",
        "status": "status",
    }
    session.show(session.desk.list_mandates(), lambda page: table(page["data"], columns))


@command(app, "revoke")
def revoke(session: "Session", mandate: Annotated[str, typer.Argument(metavar="ID", help="mdt_...")]) -> None:
    """End a mandate: what was reserved under it and not sent yet is not sent any more."""
    from paywarden.cli.screen import sheet

    session.show(session.desk.revoke_mandate(mandate), lambda ended: sheet(ended, ["id", "name", "status"]))


_LINES = ["id", "principal", "name", "kinds", "limits", "payees", "timezone", "valid_from", "valid_until", "status"]


def _limits(currency: str, per_day: str, per_payment: str | None) -> "list[Limit]":
    from paywarden.cli.amounts import parse_amount

    day_minor = parse_amount(per_day, currency, "--per-day")
    limits: list[Limit] = [{"currency": currency, "window": "day", "limit_minor": day_minor}]
    if per_payment is not None:
        payment_minor = parse_amount(per_payment, currency, "--per-payment")
        limits.append({"currency": currency, "window": "payment", "limit_minor": payment_minor})
    return limits


def _limit_words(mandate: "Mapping[str, Any]") -> list[str]:
    from paywarden.cli.screen import amount

    return [f"{amount(each['limit_minor'], each['currency'])} a {each['window']}" for each in mandate["limits"]]
