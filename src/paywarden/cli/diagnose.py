"""``paywarden doctor``: what stands in the way, and what to do about it."""

import sys
from typing import TYPE_CHECKING

import typer

from paywarden.cli.command import DONE, REFUSED, AsJson, DataFolder, Url

if TYPE_CHECKING:
    from rich.console import RenderableType

    from paywarden.cli.findings import Finding
    from paywarden.cli.screen import Columns


def doctor(url: Url = None, data: DataFolder = None, as_json: AsJson = False) -> None:
    """Check this machine, the configuration and the running service. Exit status 1 when something is broken."""
    from paywarden.cli.findings import examine
    from paywarden.cli.screen import screen
    from paywarden.cli.session import print_json

    findings = examine(url, data)
    if as_json:
        print_json({"object": "diagnosis", "findings": [finding.as_json() for finding in findings]})
    else:
        screen(sys.stdout).print(_draw(findings))
    raise typer.Exit(REFUSED if any(finding.result == "broken" for finding in findings) else DONE)


def _draw(findings: "list[Finding]") -> "RenderableType":
    from paywarden.cli.screen import table

    columns: Columns = {"": "result", "what": "what", "found": "found", "remedy": lambda row: row["remedy"] or ""}
    return table([finding.as_json() for finding in findings], columns)
