"""What a make target installs is what its programs import: on a fresh machine nothing else is there."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"paywarden", "bench", "evals", "examples", "tests"}


def imported(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield str(node.module).partition(".")[0]


def missing(folder: str, target: str) -> set[str]:
    """Packages that no requirements of the target name; its line in the Makefile says which those are."""
    makefile = (ROOT / "Makefile").read_text()
    stage = re.search(rf"^{target}: \$\(VENV\)/\.(run|dev)\b", makefile, re.MULTILINE)
    assert stage, target
    files = ["run.txt"] if stage[1] == "run" else ["run.txt", "dev.txt"]
    pinned = {
        line.partition("==")[0] for file in files for line in (ROOT / "requirements" / file).read_text().splitlines()
    }
    known = packages_distributions()
    needed = set(imported(ROOT / folder)) - OURS - set(sys.stdlib_module_names)
    return {name for name in needed if not {re.sub(r"[-_.]+", "-", each).lower() for each in known[name]} & pinned}


@pytest.mark.parametrize(
    ("folder", "target"),
    [("src", "run"), ("examples", "run"), ("evals", "evals"), ("bench", "bench"), ("tests", "test")],
)
def test_a_target_installs_what_its_programs_import(folder: str, target: str) -> None:
    assert missing(folder, target) == set()
