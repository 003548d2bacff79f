"""The command line as a whole: fast to start, every command alike."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.main import get_command

from paywarden.cli.application import build

HEAVY = ("httpx", "rich", "fastapi", "pydantic", "psycopg", "numpy", "babel")
COMMANDS = {
    "payment list", "payment show", "payment explain", "payment confirm", "payment cancel", "payment refund",
    "payment attest", "decision show", "decision replay", "policy check",
    "policy show", "payment facts",
    "review list", "review show", "review approve", "review reject", "agent create", "agent list", "agent suspend",
    "agent activate", "key create", "key list", "key revoke", "mandate create", "mandate list", "mandate revoke",
    "memory add", "memory search", "memory search-all", "memory import", "memory expire", "memory influence",
    "ledger accounts", "ledger transfers", "ledger trial-balance", "reconcile",
    "credit top-up", "credit reverse", "credit list", "credit show", "hold list", "hold show", "hold release",
    "discrepancy list", "tenant suspend", "tenant activate", "demo", "doctor",
}  # fmt: skip


def _commands(command: object, name: str = "") -> Iterator[tuple[str, object]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for child, inner in below.items():
        yield from _commands(inner, f"{name} {child}".strip())


def test_every_command_is_there_and_takes_the_same_options() -> None:
    found = dict(_commands(get_command(build())))
    assert set(found) == COMMANDS
    for name, command in found.items():
        options = {option for each in command.params for option in each.opts}  # type: ignore[attr-defined]
        on_files = name.startswith("policy ")
        assert {"--json"} <= options if on_files else {"--url", "--data", "--json"} <= options, name
        assert command.help, name  # type: ignore[attr-defined]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom paywarden.cli.application import build\n"
        "try: build()(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "payment" in done.stdout
    assert done.stderr.strip() == "[]"


def test_the_program_adds_its_own_commands() -> None:
    app = build()

    @app.command("up")
    def up() -> None:
        """Start everything."""
        raise typer.Exit(7)

    with pytest.raises(SystemExit, match="7"):
        app(["up"])
