"""One aimock for the whole run, and the table that is printed at its end."""

from collections.abc import Iterator

import pytest

from interop.aimock import Aimock

Row = tuple[str, str, str]
_ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    server = Aimock(tmp_path_factory.mktemp("aimock"))
    yield server
    server.stop()


@pytest.fixture
def table(pytestconfig: pytest.Config) -> list[Row]:
    """Rows of what aimock did, what the SDK saw of it, and what became of it."""
    return pytestconfig.stash.setdefault(_ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    terminalreporter.section("the adviser against aimock")
    shown = [("aimock", "HTTP", "the record"), *rows]
    first, second = (max(len(row[column]) for row in shown) for column in (0, 1))
    for row in shown:
        terminalreporter.write_line(f"{row[0]:{first}}  {row[1]:{second}}  {row[2]}")
