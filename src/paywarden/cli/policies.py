"""``paywarden policy``: the Cedar file that decides, checked before it does. It works on files, without a service."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paywarden.cli.command import CANNOT_RUN, DONE, REFUSED, AsJson, group

if TYPE_CHECKING:
    from paywarden.flow.policy_file import CheckedPolicies

app = group("The policies that decide: check a file, show what is in force.")


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Cedar file, as PAYWARDEN_POLICY_FILE names it.")],
    as_json: AsJson = False,
) -> None:
    """Check a policy file: it parses, fits the schema, and each rule has an @id. Exit status 1 and the lines if not."""
    from paywarden.cli.session import print_json
    from paywarden.flow import policy_file
    from paywarden.kit.errors import ConfigurationError

    try:
        found = policy_file.check(file)
    except ConfigurationError as error:
        raise _cannot(error.detail, as_json) from None
    if as_json:
        print_json(_object(file, found))
    else:
        sys.stdout.writelines(f"{line}\n" for line in _told(file, found))
    raise typer.Exit(REFUSED if found.problems else DONE)


@app.command("show")
def show(as_json: AsJson = False) -> None:
    """Show the policies that a service started from here would use: PAYWARDEN_POLICY_FILE, else the shipped ones."""
    from paywarden.cli.session import print_json
    from paywarden.flow import policy_file
    from paywarden.kit.errors import ConfigurationError
    from paywarden.settings import Settings

    try:
        settings = Settings.load()
        policies, text = policy_file.policies_in_force(settings), policy_file.text_in_force(settings)
    except ConfigurationError as error:
        raise _cannot(error.detail, as_json) from None
    if as_json:
        print_json({"object": "policies", "version": policies.version, "rules": list(policies.rules), "text": text})
        return
    sys.stdout.write(f"// {policies.version}, {settings.policy_file or 'as shipped'}\n{text}")


def _cannot(detail: str, as_json: bool) -> typer.Exit:
    from paywarden.cli.session import complain

    return typer.Exit(complain(CANNOT_RUN, detail, as_json, code="configuration"))


def _object(file: Path, found: "CheckedPolicies") -> dict[str, Any]:
    problems = [{"line": each.line, "rule": each.rule, "what": each.what} for each in found.problems]
    return {
        "object": "policy_check",
        "file": str(file),
        "version": found.version,
        "rules": list(found.rules),
        "problems": problems,
    }


def _told(file: Path, found: "CheckedPolicies") -> list[str]:
    if not found.problems and not found.rules:
        return [f"{found.version}: no rule at all, so every payment would be denied."]
    if not found.problems:
        rules = "1 rule" if len(found.rules) == 1 else f"{len(found.rules)} rules"
        return [f"{found.version}: {rules}, nothing wrong. To use it: PAYWARDEN_POLICY_FILE={file.resolve()}"]
    many = "1 problem" if len(found.problems) == 1 else f"{len(found.problems)} problems"
    return [
        *(f"{file}:{each}".replace(":line ", ":", 1) for each in found.problems),
        f"{many}; it would not be loaded.",
    ]
