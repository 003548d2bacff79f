"""The client's commands in one application; ``app`` adds those that need the whole program."""

import typer

from paywarden.cli import (
    agents,
    credits,
    decisions,
    demonstrate,
    diagnose,
    discrepancies,
    holds,
    keys,
    ledger,
    mandates,
    memory,
    payments,
    policies,
    reviews,
    tenants,
)

_HELP = """The pay desk that AI agents must go through.

Commands speak to a running service: `--url`, else the one that `paywarden up` runs in the data folder (`--data`).
The key is PAYWARDEN_API_KEY, else the admin key of that folder.

Exit status: 0 done; 1 refused, or something is not as it should be; 2 wrong usage, or the service cannot be reached.
"""


def build() -> typer.Typer:
    """All commands of this door."""
    app = typer.Typer(
        name="paywarden", help=_HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    app.add_typer(payments.app, name="payment")
    app.add_typer(reviews.app, name="review")
    app.add_typer(decisions.app, name="decision")
    app.add_typer(agents.app, name="agent")
    app.add_typer(keys.app, name="key")
    app.add_typer(mandates.app, name="mandate")
    app.add_typer(policies.app, name="policy")
    app.add_typer(memory.app, name="memory")
    app.add_typer(credits.app, name="credit")
    app.add_typer(holds.app, name="hold")
    app.add_typer(ledger.app, name="ledger")
    ledger.add_reconcile(app)
    app.add_typer(discrepancies.app, name="discrepancy")
    app.add_typer(tenants.app, name="tenant")
    app.command("demo")(demonstrate.demo)
    app.command("doctor")(diagnose.doctor)
    return app
