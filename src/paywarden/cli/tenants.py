"""``paywarden tenant``: the kill switch."""

from typing import TYPE_CHECKING

from paywarden.cli.command import command, group

if TYPE_CHECKING:
    from paywarden.cli.session import Session

app = group("The tenant of the key.")


@command(app, "suspend")
def suspend(session: "Session") -> None:
    """The kill switch: nothing more is sent to any provider, and nobody can ask for money."""
    from paywarden.cli.screen import sheet

    session.show(session.desk.suspend_tenant(), lambda tenant: sheet(tenant, ["id", "status"]))


@command(app, "activate")
def activate(session: "Session") -> None:
    """Undo the kill switch."""
    from paywarden.cli.screen import sheet

    session.show(session.desk.activate_tenant(), lambda tenant: sheet(tenant, ["id", "status"]))
