"""The commands that need the whole program: up, api, worker, migrate, invariants, tenant create, memory reembed ..."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from paywarden.kit.errors import ConfigurationError, PaywardenError

_DATA = typer.Option("--data", help="Data folder; default: /var/lib/paywarden for root, else a per-user folder.")
_JSON = typer.Option("--json", help="Machine-readable output only.")
# Exit statuses: 1 refused or broken, 2 cannot run.
_BROKEN, _CANNOT_RUN = 1, 2


def build() -> typer.Typer:
    """The whole command line: the client's commands and those that run the service."""
    from paywarden.cli import memory, tenants
    from paywarden.cli.application import build as build_cli

    application = build_cli()
    tenants.app.command("create")(tenant_create)
    tenants.app.command("admin-key")(tenant_admin_key)
    memory.app.command("reembed")(reembed)
    application.command()(up)
    application.command()(migrate)
    application.command()(invariants)
    application.command(hidden=True)(prepare)
    application.command()(api)
    application.command()(worker)
    return application


def _guarded(work: Callable[[], Any]) -> Any:
    """The result of ``work``; what is expected to go wrong becomes one line on standard error and an exit status."""
    try:
        return work()
    except PaywardenError as error:
        print(f"paywarden: {' '.join(error.detail.split())}", file=sys.stderr)
        raise typer.Exit(_CANNOT_RUN if isinstance(error, ConfigurationError) else _BROKEN) from None


def _settings(data: Path | None, **given: Any) -> Any:
    from paywarden import logs
    from paywarden.app.database import check_addresses
    from paywarden.app.early_checks import check_embedder, check_provider_address
    from paywarden.settings import Settings

    chosen = {name: value for name, value in given.items() if value is not None}
    settings = Settings.load(**chosen, **({} if data is None else {"data_dir": data}))
    # From here on what nobody catches is told redacted.
    logs.configure(settings.log_level, settings.secrets())
    check_addresses(settings)
    check_provider_address(settings)
    check_embedder(settings)
    return settings


def _process_settings() -> Any:
    """Of the API or a worker alone: complete, and with a database that lets us in."""
    from paywarden.app.database import try_addresses
    from paywarden.app.early_checks import require_provider

    settings = _settings(None)
    require_provider(settings)
    if settings.database_url is None:
        raise ConfigurationError("DATABASE_URL is not set; set it, or start everything with: paywarden up")
    try_addresses(settings)
    return settings


def _migrating(work: Callable[[], Any]) -> Any:
    """``work``; what the database refuses becomes one of our own errors."""
    from psycopg import Error

    try:
        return work()
    except Error as error:
        raise ConfigurationError(f"the database refuses to be migrated: {error}") from error


def up(
    port: Annotated[int | None, typer.Option("--port", help="Port of the API; default 8000.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; default 127.0.0.1.")] = None,
    data: Annotated[Path | None, _DATA] = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Do not play the demo on the first start.")] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Start everything on this machine: PostgreSQL, sandbox provider, API and worker. Ctrl-C stops it."""
    from paywarden import logs
    from paywarden.app import up as stack

    def run() -> None:
        settings = _settings(data, port=port, host=host)
        if not as_json and "log_level" not in settings.model_fields_set:
            # A person is reading: what goes well is not worth a line.
            settings = settings.model_copy(update={"log_level": "warning"})
            logs.configure(settings.log_level, settings.secrets())
        stack.up(stack.Wanted(settings, as_json, not no_demo))

    _guarded(run)


def api() -> None:
    """Serve the HTTP API alone, as the environment says."""
    import uvloop

    from paywarden.app.serve import serve

    _guarded(lambda: uvloop.run(serve(_process_settings())))


def worker() -> None:
    """Do what is due, alone, as the environment says."""
    import uvloop

    from paywarden.app.desk import desk_opener
    from paywarden.worker.loop import run as work

    _guarded(lambda: uvloop.run(work(desk_opener(_process_settings(), preload=False))))


def prepare(key_file: Path) -> None:
    """Migrate and make sure of the administrator's key."""
    from paywarden.app.database import try_addresses
    from paywarden.app.prepare import prepare as run

    def work() -> None:
        settings = _settings(None)
        try_addresses(settings)
        _migrating(lambda: run(settings, key_file))

    _guarded(work)


def migrate() -> None:
    """Bring the database of DATABASE_URL (or PAYWARDEN_OWNER_DATABASE_URL) to the last revision."""
    from paywarden.app.database import try_owner_address
    from paywarden.db.migrate import migrate as run

    def work() -> None:
        settings = _settings(None)
        try_owner_address(settings)
        applied = _migrating(lambda: run(settings.migration_url, settings.service_url))
        print(f"applied {', '.join(applied)}" if applied else "the database is at the last revision")

    _guarded(work)


def tenant_create(
    name: Annotated[str, typer.Argument(help="Its name; no other tenant may have it.")],
    live: Annotated[bool, typer.Option("--live", help="Real money; default is a test tenant.")] = False,
    webhook_variable: Annotated[
        str, typer.Option(help="The variable that holds the secret of its provider's webhooks.")
    ] = "PAYMENT_WEBHOOK_SECRET",
    data: Annotated[Path | None, _DATA] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Create a tenant with an administrator, whose key is shown now and never again. Works on the database itself."""
    made = _guarded(lambda: asyncio.run(_create_tenant(data, name, live, webhook_variable)))
    if as_json:
        print(json.dumps(made))
        return
    for label, value in made.items():
        print(f"{label.replace('_', ' '):18}{value}")


def tenant_admin_key(
    name: Annotated[str, typer.Argument(help="The tenant's name.")] = "quickstart",
    data: Annotated[Path | None, _DATA] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Make a new key for a tenant's administrator, also one who was suspended. Works on the database itself."""
    key = _guarded(lambda: asyncio.run(_create_admin_key(data, name)))
    print(json.dumps({"name": name, "admin_key": key}) if as_json else key)


def reembed(
    tenant: Annotated[str, typer.Argument(help="The tenant's name.")] = "quickstart",
    patience: Annotated[
        int, typer.Option("--patience", min=0, help="Seconds to wait for an embedder that does not answer.")
    ] = 300,
    data: Annotated[Path | None, _DATA] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Let the embedder of PAYWARDEN_EMBEDDER read every note that it has not read yet. Works on the database itself.

    Beside a running service and at any time: what another embedder made stays. Stopped or killed, it goes on where it
    was when it is run again.
    """
    from paywarden.app.reembed import shown

    if not _guarded(lambda: asyncio.run(shown(_settings(data), tenant, patience, as_json))):
        raise typer.Exit(_BROKEN)


async def _create_admin_key(data: Path | None, name: str) -> str:
    from paywarden.app.database import service_url
    from paywarden.db.pool import open_pool
    from paywarden.flow import access

    settings = _settings(data)
    async with open_pool(service_url(settings), settings) as pool:
        return await access.create_admin_key_of(pool, name)


async def _create_tenant(data: Path | None, name: str, live: bool, webhook_variable: str) -> dict[str, str]:
    from paywarden.app.database import service_url
    from paywarden.db.pool import open_pool
    from paywarden.flow import access

    settings = _settings(data)
    async with open_pool(service_url(settings), settings) as pool:
        return await access.create_tenant(pool, name, "live" if live else "test", webhook_variable)


def invariants(data: Annotated[Path | None, _DATA] = None, as_json: Annotated[bool, _JSON] = False) -> None:
    """Ask every invariant of a live database. Exit status 1 and the rows when one is broken, 2 when it cannot look."""
    findings = _guarded(lambda: asyncio.run(_check_invariants(data)))
    if as_json:
        print(json.dumps([_as_json(finding) for finding in findings], default=str))
    else:
        for finding in findings:
            print(f"{'BROKEN' if finding.broken else 'holds '}  {finding.invariant.name}: {finding.invariant.says}")
            for row in finding.broken:
                print(f"        {row}")
    raise typer.Exit(_BROKEN if any(finding.broken for finding in findings) else 0)


def _as_json(finding: Any) -> dict[str, Any]:
    return {"name": finding.invariant.name, "says": finding.invariant.says, "broken": finding.broken}


async def _check_invariants(data: Path | None) -> Any:
    from psycopg import Error

    from paywarden.app.database import service_url
    from paywarden.db.pool import open_pool
    from paywarden.flow import invariants as flow
    from paywarden.kit.errors import OverloadedError

    settings = _settings(data)
    try:
        async with open_pool(service_url(settings), settings) as pool:
            return await flow.check(pool)
    except (Error, OverloadedError) as error:
        raise ConfigurationError(f"cannot look into the database: {type(error).__name__}") from error
