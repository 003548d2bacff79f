"""One command's session: the client, where results go, and what an error looks like."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import RenderableType

from paywarden.cli.access import START_IT, find_access
from paywarden.cli.command import CANNOT_RUN, DONE, REFUSED
from paywarden.cli.screen import screen
from paywarden.client import Paywarden, PaywardenApiError, PaywardenUnreachableError, PaywardenUsageError
from paywarden.kit.errors import PaywardenError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """``desk`` is the service; ``show`` prints a result as JSON or as ``draw`` makes it."""

    desk: Paywarden
    as_json: bool

    def show(self, result: T, draw: Callable[[T], RenderableType]) -> None:
        """Print the one result of this command."""
        if self.as_json:
            print_json(result)
        else:
            screen(sys.stdout).print(draw(result))


def print_json(result: Any) -> None:
    """The machine-readable form: JSON on standard output."""
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def run_command(body: Callable[[Session], int | None], url: str | None, data: Path | None, as_json: bool) -> int:
    """Run a command in a session; the exit status. What is expected to go wrong becomes one line on standard error."""
    try:
        access = find_access(url, data)
        with Paywarden(access.url, access.key) as desk:
            return body(Session(desk, as_json)) or DONE
    except PaywardenApiError as error:
        return refuse(error, as_json)
    except PaywardenUnreachableError as error:
        return complain(CANNOT_RUN, error.detail, as_json, hint=START_IT, code="unreachable")
    except PaywardenUsageError as error:
        return complain(CANNOT_RUN, error.detail, as_json, code="wrong_usage")
    except PaywardenError as error:
        return complain(CANNOT_RUN, error.detail, as_json, code=error.code, param=error.param)


def refuse(error: PaywardenApiError, as_json: bool, hint: str | None = None) -> int:
    """Say why the service refused, and below it what to do next if there is a ``hint``; the exit status."""
    return complain(REFUSED, error.detail, as_json, hint=hint, **_facts(error))


def complain(exit_status: int, detail: str, as_json: bool, *, hint: str | None = None, **facts: Any) -> int:
    """Say what is wrong, in one line on standard error, and a ``hint`` below it; the exit status."""
    known = {name: value for name, value in facts.items() if value is not None}
    if as_json:
        said = {"detail": detail, **known, **({"hint": hint} if hint else {})}
        sys.stderr.write(json.dumps(said, ensure_ascii=False) + "\n")
        return exit_status
    named = ", ".join(f"{name} {value}" for name, value in known.items() if name != "status")
    sys.stderr.write(f"paywarden: {' '.join(detail.split())}{f' ({named})' if named else ''}\n")
    if hint:
        sys.stderr.write(f"{hint}\n")
    return exit_status


def _facts(error: PaywardenApiError) -> dict[str, Any]:
    facts = {"code": error.code, "status": error.status, "param": error.param, "request_id": error.request_id}
    return {**facts, **{name: error.extra[name] for name in ("payment", "rule", "candidates") if name in error.extra}}
