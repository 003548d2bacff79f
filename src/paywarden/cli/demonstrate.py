"""``paywarden demo``: play the demo against a running service and show what became of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paywarden.cli.command import CANNOT_RUN, DONE, REFUSED, AsJson, DataFolder, Url
from paywarden.demo.cases import DEFAULT_COUNT, SAMPLE_SIZE

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

    from paywarden.demo.report import Course, Outcome, Report, Result, Story

_WORDS: "dict[Result, str]" = {
    "paid": "paid",
    "refunded": "refunded",
    "extended": "extended, not now",
    "in_review": "held for a person",
    "needs_facts": "held for missing facts",
    "denied": "refused",
    "on_its_way": "not confirmed yet",
    "not_asked": "not asked for",
}
_COURSES: "dict[Course, str]" = {
    "moved": "moved",
    "postponed": "is to be asked for later",
    "held": "is held",
    "refused": "was refused",
    "on_its_way": "is not confirmed yet",
}
_EXPLAINED: "tuple[Result, ...]" = ("paid", "refunded", "extended", "in_review", "needs_facts", "denied")
_REASONS_SHOWN = 3


def demo(
    url: Url = None,
    data: DataFolder = None,
    count: Annotated[int, typer.Option("--count", min=1, max=SAMPLE_SIZE, help="How many messages.")] = DEFAULT_COUNT,
    mark_done: Annotated[Path | None, typer.Option("--mark-done", hidden=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Play three stories through the service: a bank's real support messages, overdue invoices, carts at a checkout.

    It may be run again at any time: every run has its own customers and moves its own money.
    """
    from paywarden.cli.session import complain
    from paywarden.client import PaywardenApiError, PaywardenUnreachableError, PaywardenUsageError
    from paywarden.kit.errors import PaywardenError

    try:
        matched = _play_and_show(url, data, count, as_json)
    except PaywardenApiError as error:
        raise typer.Exit(complain(REFUSED, error.detail, as_json, code=error.code, param=error.param)) from None
    except PaywardenUnreachableError as error:
        raise typer.Exit(complain(CANNOT_RUN, error.detail, as_json, code="unreachable")) from None
    except PaywardenUsageError as error:
        raise typer.Exit(complain(CANNOT_RUN, error.detail, as_json, code="wrong_usage")) from None
    except PaywardenError as error:
        raise typer.Exit(complain(CANNOT_RUN, error.detail, as_json, code=error.code, param=error.param)) from None
    if mark_done is not None:
        mark_done.touch()
    raise typer.Exit(DONE if matched else REFUSED)


def _play_and_show(url: str | None, data: Path | None, count: int, as_json: bool) -> bool:
    """Play, print, and say whether the provider's book and ours agree."""
    import asyncio

    from paywarden.cli.access import find_access
    from paywarden.cli.progress import shown_progress
    from paywarden.cli.screen import screen
    from paywarden.cli.session import print_json
    from paywarden.demo.play import play
    from paywarden.kit.errors import InvalidFieldError

    access = find_access(url, data)
    if access.key is None:
        raise InvalidFieldError("PAYWARDEN_API_KEY", "must be set to an administrator's key, or --data to its folder")
    with shown_progress(sys.stderr) as progress:
        report = asyncio.run(play(access.url, access.key, progress, count))
    if as_json:
        print_json(report.as_json())
    else:
        screen(sys.stdout).print(draw(report))
    return not report.reconciliation["findings"]


def draw(report: "Report") -> "Group":
    """A section for each story, the books over everything, and one payment from its beginning to its end."""
    from rich.console import Group
    from rich.text import Text

    from paywarden.cli.explain import story as whole_story
    from paywarden.cli.ledger import draw_reconciliation

    parts: list[RenderableType] = [Text(f"{len(report.stories)} stories in {report.seconds:.0f} s", style="bold")]
    for story in report.stories:
        parts += [Text(), Text(story.says, style="bold"), _outcomes(story), _money(story), _why(story)]
    parts += [Text(), draw_reconciliation(report.reconciliation)]
    if report.dossier is not None:
        said = f"One of them: paywarden payment explain {report.dossier['payment']['id']}"
        parts += [Text(), Text(said, style="bold"), whole_story(report.dossier)]
    return Group(*parts)


def _outcomes(story: "Story") -> "RenderableType":
    """Requests by outcome and oversight, with the money."""
    from paywarden.cli.screen import table
    from paywarden.demo.cases import CURRENCY
    from paywarden.demo.report import asked_minor
    from paywarden.kit.money import display

    rows = [("paid before", "policy alone", len(story.charged), sum(story.charged))] if story.charged else []
    for result, oversight in story.lines():
        found = story.line(result, oversight)
        rows.append((_WORDS[result], _decider(found[0]), len(found), asked_minor(found)))
    names = ("outcome", "decided by", "requests >", "money >")
    shown = [dict(zip(names, (*row[:3], display(row[3], CURRENCY)), strict=True)) for row in rows]
    return table(shown, {name: name for name in names})


def _money(story: "Story") -> "Text":
    """What was asked for, by where it went, in one line."""
    from paywarden.cli.screen import cell
    from paywarden.demo.cases import CURRENCY
    from paywarden.kit.money import display

    went = story.money()
    told = [f"{display(went[course], CURRENCY)} {words}" for course, words in _COURSES.items() if course in went]
    return cell(f"Of what was asked for: {', '.join(told)}.")


def _decider(outcome: "Outcome") -> str:
    if outcome.result in {"denied", "extended"}:
        return "a reviewer's no" if outcome.oversight == "reviewed" else "a rule"
    words = {"autonomous": "policy alone", "advised": "policy, on advice", "reviewed": "a reviewer's yes"}
    return words.get(outcome.oversight or "", "nobody yet")


def _why(story: "Story") -> "Table":
    """The most frequent reasons of each outcome."""
    from rich.table import Table

    from paywarden.cli.screen import cell

    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(justify="right")
    drawn.add_column()
    for result in _EXPLAINED:
        reasons = story.reasons(result)
        if reasons:
            drawn.add_row("", cell(f"{_WORDS[result]}, most often because:", "bold"))
        for reason, count in reasons[:_REASONS_SHOWN]:
            drawn.add_row(str(count), cell(reason))
    return drawn
