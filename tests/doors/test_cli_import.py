"""``paywarden memory import`` against a whole running service: every line is kept once or named, whatever happens."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paywarden.cli import note_import
from paywarden.cli.application import build
from paywarden.client import Paywarden, PaywardenUnreachableError
from tests.stack import Stack

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PAYWARDEN_API_KEY", "PAYWARDEN_DATA_DIR", "PAYMENT_API_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def run(stack: Stack, *arguments: str) -> Result:
    return CliRunner().invoke(build(), ["memory", "import", *arguments, "--data", str(stack.data)])


def report(stack: Stack, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    done = run(stack, *arguments, "--json")
    assert done.exit_code == exit_code, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def found(stack: Stack, customer: str) -> set[str]:
    with Paywarden(stack.url, stack.ready["admin_key"]) as desk:
        return {note["content"] for note in desk.search_notes(customer, "message", limit=50)["data"]}


def test_a_thousand_lines_once(stack: Stack, tmp_path: Path) -> None:
    with (tmp_path / "tickets.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ticket", "user", "text"])
        rows.writerows([number, f"mass-{number % 25}", f"message {number}\nof somebody"] for number in range(1_000))
    words = ("tickets.csv", "--customer-column", "user", "--content-column", "text")
    first = run(stack, *words)
    assert first.exit_code == 0, first.stderr
    assert "lines of tickets.csv: 2001" in first.stderr
    assert "1000" in first.stdout
    again = report(stack, *words)
    assert (again["added"], again["already_there"], again["refused"]) == (0, 1_000, [])
    assert found(stack, "mass-7") == {f"message {number}\nof somebody" for number in range(7, 1_000, 25)}


def test_wrong_lines_are_named_and_the_others_are_kept(stack: Stack, tmp_path: Path) -> None:
    lines = [{"customer": "mixed", "content": f"message {number}"} for number in range(12)]
    lines[2] |= {"trust": "gospel"}
    lines[5] |= {"trust": "record", "facts": {"type": "charge"}}
    lines[7] |= {"valid_until": "tomorrow"}
    lines[8] |= {"facts": {"type": "x"}}
    text = [*map(json.dumps, lines), "{"]
    (tmp_path / "a.jsonl").write_text("\n".join(text))
    told = report(stack, "a.jsonl", exit_code=1)
    assert (told["added"], told["already_there"]) == (8, 0)
    assert [(each["line"], each["field"]) for each in told["refused"]] == [
        (3, "trust"), (6, "facts"), (8, "valid_until"), (9, "facts"), (13, None),
    ]  # fmt: skip
    assert len(found(stack, "mixed")) == 8
    drawn = run(stack, "a.jsonl")
    assert (drawn.exit_code, "must be an RFC 3339 instant" in drawn.stdout) == (1, True)


def test_an_import_that_broke_off_goes_on_where_it_was(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"customer": "cut", "content": f"message {number}"}) + "\n" for number in range(40))
    )
    monkeypatch.setattr(note_import, "BATCH_NOTES", 10)
    real, sent = Paywarden.import_notes, []

    def cut(desk: Paywarden, notes: Any) -> Any:
        sent.append(notes)
        if len(sent) == 3:
            raise PaywardenUnreachableError("The line is cut.")
        return real.__get__(desk, Paywarden)(notes)

    with monkeypatch.context() as broken:
        broken.setattr(Paywarden, "import_notes", cut)
        stopped = run(stack, "a.jsonl")
    assert (stopped.exit_code, stopped.stdout) == (2, "")
    assert "20 notes were added and 0 were there up to line 20; run the same command again" in stopped.stderr
    told = report(stack, "a.jsonl")
    assert (told["added"], told["already_there"]) == (20, 20)
    assert len(found(stack, "cut")) == 40


def test_the_wrong_file_stops_early(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(note_import, "MAX_REFUSED", 5)
    (tmp_path / "a.jsonl").write_text("no json\n" * 100)
    told = report(stack, "a.jsonl", exit_code=1)
    assert (len(told["refused"]), told["stopped_at_line"]) == (5, 5)
    assert run(stack, "absent.csv").exit_code == 2
    assert run(stack, "a.jsonl", "--format", "csv").exit_code == 2
