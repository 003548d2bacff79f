"""``paywarden policy``: a file is checked before it decides, without a service."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paywarden.cli.application import build
from paywarden.guardrails import cedar

GOOD = cedar.shipped_text()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PAYWARDEN_POLICY_FILE", raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["policy", *arguments])


def test_a_good_file_is_named_with_its_version() -> None:
    Path("mine.cedar").write_text(GOOD)
    done = run("check", "mine.cedar")
    assert done.exit_code == 0, done.stderr
    version = cedar.from_file(Path("mine.cedar")).version
    assert done.stdout.startswith(f"{version}: {len(cedar.shipped().rules)} rules, nothing wrong.")
    assert f"PAYWARDEN_POLICY_FILE={Path('mine.cedar').resolve()}" in done.stdout


def test_a_wrong_file_is_told_line_by_line() -> None:
    Path("mine.cedar").write_text('\n@id("a")\npermit (principal, action, resource) when { context.amount > 1 };\n')
    done = run("check", "mine.cedar")
    assert (done.exit_code, done.stdout) == (
        1,
        "mine.cedar:3, rule a: attribute `amount` in context not found (charge, payout, refund)\n"
        "1 problem; it would not be loaded.\n",
    )
    told = json.loads(run("check", "mine.cedar", "--json").stdout)
    assert (told["object"], told["version"], told["problems"][0]["line"]) == ("policy_check", None, 3)


def test_a_file_that_cannot_be_read_cannot_be_checked() -> None:
    done = run("check", "nowhere.cedar")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "the policy file nowhere.cedar cannot be read" in done.stderr


def test_what_is_in_force_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("show")
    assert done.stdout == f"// {cedar.shipped().version}, as shipped\n{GOOD}"
    Path("mine.cedar").write_text('@id("only") permit (principal, action, resource);\n')
    monkeypatch.setenv("PAYWARDEN_POLICY_FILE", "mine.cedar")
    told = json.loads(run("show", "--json").stdout)
    assert (told["version"].partition("@")[0], told["rules"]) == ("mine", ["only"])
    Path("mine.cedar").write_text("permit")
    assert (run("show").exit_code, run("show").stdout) == (2, "")
