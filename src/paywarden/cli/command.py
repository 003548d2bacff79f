"""What every command has: ``--url``, ``--data``, ``--json``, one line for an error, and an exit status.

0: done. 1: refused, or what was looked for is not as it should be. 2: wrong usage, or the service cannot be reached.
"""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

if TYPE_CHECKING:
    from paywarden.cli.session import Session

P = ParamSpec("P")
DONE, REFUSED, CANNOT_RUN = 0, 1, 2

Url = Annotated[
    str | None,
    typer.Option("--url", help="Address of the service. Default: the one `paywarden up` runs on, else port 8000."),
]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Data folder of `paywarden up`, for its address and admin key.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
_SHARED: dict[str, tuple[Any, Any]] = {"url": (Url, None), "data": (DataFolder, None), "as_json": (AsJson, False)}


def group(help_text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None)


def command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate["Session", P], int | None]], Callable[Concatenate["Session", P], int | None]]:
    """Register a function of a session as a command with the shared options; it returns an exit status or None."""

    def register(
        body: Callable[Concatenate["Session", P], int | None],
    ) -> Callable[Concatenate["Session", P], int | None]:
        def run(url: str | None, data: Path | None, as_json: bool, **given: Any) -> None:
            from paywarden.cli.session import run_command

            raise typer.Exit(run_command(partial(body, **given), url, data, as_json))

        _show_as(run, body)
        app.command(name)(run)
        return body

    return register


def _show_as(run: Callable[..., None], body: Callable[..., Any]) -> None:
    """Let ``run`` look to typer like ``body`` without its session and with the shared options."""
    _, *own = inspect.signature(body).parameters.values()
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in _SHARED.items()
    ]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + shared
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__ = body.__doc__
