"""``paywarden decision``: what the adviser saw and said, and what would be said today."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from paywarden.cli.command import command, group

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rich.console import RenderableType

    from paywarden.cli.session import Session

app = group("Decisions: an adviser's opinion on a request, with all it rested on.")
Id = Annotated[str, typer.Argument(metavar="ID", help="dec_...")]
_COMPARED = {
    "verdict": "verdict",
    "approves": "approves",
    "confidence": "confidence",
    "payment": "status",
    "oversight": "oversight",
    "rules": "decided_by",
    "pays at once": "pays",
    "adviser": "adviser",
    "model": "model",
    "prompt": "prompt_version",
    "policies": "policy_version",
}


@command(app, "show")
def show(session: "Session", decision: Id) -> None:
    """Show a decision whole: evidence, advice as given and as it counts, checks, and what it took."""
    from paywarden.cli.judgement import whole_decision

    session.show(session.desk.get_decision(decision), whole_decision)


@command(app, "replay")
def replay(
    session: "Session",
    decision: Id,
    model: Annotated[str | None, typer.Option("--model", help="Another model than the adviser's own.")] = None,
    effort: Annotated[
        Literal["unset", "low", "medium", "high"] | None,
        typer.Option("--effort", help="How long it may think; unset for models that have no such setting."),
    ] = None,
) -> None:
    """Make a decision again with today's adviser, checks and policies: what would have changed, in money.

    Nothing moves. It takes a key with the role administer or review, and is paid from the budget for advice.
    """
    session.show(session.desk.replay_decision(decision, model=model, effort=effort), _compared)


def _compared(told: "Mapping[str, Any]") -> "RenderableType":
    from rich.console import Group

    from paywarden.cli.screen import amount, cell, table

    courses = {
        side: {**told[side], "approves": amount(told[side]["amount_minor"], told["currency"])}
        for side in ("then", "now")
    }
    rows = [{"what": name, **{side: courses[side][key] for side in courses}} for name, key in _COMPARED.items()]
    known = [row for row in rows if (row["then"], row["now"]) not in ((None, None), ([], []))]
    reasons = [cell(f"{side.capitalize()}: {course['reason']}") for side, course in courses.items()]
    return Group(
        table(known, {"": "what", "then": "then", "now": "now"}), *reasons, cell(_sentence(told), style="bold")
    )


def _sentence(told: "Mapping[str, Any]") -> str:
    """What it comes to in money."""
    if told["difference_minor"] == 0:
        return "It makes no difference in money." if told["changed"] else "Nothing would change."
    way = "more" if told["difference_minor"] > 0 else "less"
    does = "go out without another look" if told["payment"] else "be approved; there was no payment to decide"
    return f"{told['difference'].lstrip('-')} {way} would {does}."
