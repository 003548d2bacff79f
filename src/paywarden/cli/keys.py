"""``paywarden key``: the API keys of principals."""

from typing import TYPE_CHECKING, Annotated

import typer

from paywarden.cli.command import command, group

if TYPE_CHECKING:
    from paywarden.cli.screen import Columns
    from paywarden.cli.session import Session

app = group("API keys. A key is shown once and stored hashed.")
LINES = ["id", "principal", "status", "expires_at", "revoked_at", "created_at"]


@command(app, "create")
def create(
    session: "Session",
    principal: Annotated[str, typer.Argument(help="Whose key: agt_..., per_... or svc_...")],
    expires_in_seconds: Annotated[
        int | None, typer.Option("--expires-in-seconds", min=1, help="Lifetime; default: until it is revoked.")
    ] = None,
) -> None:
    """Create a key. Its secret is printed now and never again."""
    from paywarden.cli.screen import sheet

    made = session.desk.create_key(principal, expires_in_seconds=expires_in_seconds)
    session.show(made, lambda key: sheet(key, ["id", "principal", "secret", "expires_at"]))


@command(app, "list")
def list_(session: "Session") -> None:
    """List all keys, without their secrets."""
    from paywarden.cli.screen import moment, table

    columns: Columns = {
        "id": "id",
        "principal": "principal",
        "ends in": "hint",
        "status": "status",
        "expires (UTC)": lambda key: moment(key["expires_at"]) or None,
        "revoked (UTC)": lambda key: moment(key["revoked_at"]) or None,
        "created (UTC)": lambda key: moment(key["created_at"]),
    }
    session.show(session.desk.list_keys(), lambda page: table(page["data"], columns))


@command(app, "revoke")
def revoke(session: "Session", key: Annotated[str, typer.Argument(metavar="ID", help="key_...")]) -> None:
    """End a key at once."""
    from paywarden.cli.screen import sheet

    session.show(session.desk.revoke_key(key), lambda ended: sheet(ended, LINES))
