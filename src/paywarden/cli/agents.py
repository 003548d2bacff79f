"""``paywarden agent``: who may act."""

from typing import TYPE_CHECKING, Annotated

import typer

from paywarden.cli.command import command, group

if TYPE_CHECKING:
    from paywarden.cli.session import Session

app = group("Agents, people and services of the tenant.")
Id = Annotated[str, typer.Argument(metavar="ID", help="agt_..., per_... or svc_...")]
COLUMNS = {"id": "id", "kind": "kind", "name": "name", "roles": "roles", "status": "status"}


@command(app, "create")
def create(
    session: "Session",
    name: Annotated[str, typer.Argument(help="Its name, unique for its kind.")],
    role: Annotated[
        list[str], typer.Option("--role", help="initiate, review, settle or administer; may be given several times.")
    ],
    kind: Annotated[str, typer.Option("--kind", help="agent, person or service.")] = "agent",
) -> None:
    """Create an agent (or a person, or a service) with its roles."""
    from paywarden.cli.screen import sheet

    session.show(session.desk.create_agent(kind, name, role), lambda made: sheet(made, list(COLUMNS)))


@command(app, "list")
def list_(session: "Session") -> None:
    """List all principals, oldest first."""
    from paywarden.cli.screen import table

    session.show(session.desk.list_agents(), lambda page: table(page["data"], COLUMNS))


@command(app, "suspend")
def suspend(session: "Session", agent: Id) -> None:
    """Stop it at once: its keys no longer work, and what it reserved is not sent."""
    from paywarden.cli.screen import sheet

    session.show(session.desk.suspend_agent(agent), lambda changed: sheet(changed, list(COLUMNS)))


@command(app, "activate")
def activate(session: "Session", agent: Id) -> None:
    """Let a suspended principal act again."""
    from paywarden.cli.screen import sheet

    session.show(session.desk.activate_agent(agent), lambda changed: sheet(changed, list(COLUMNS)))
