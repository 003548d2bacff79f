"""Which service a command speaks to, and with which key."""

import json
from pathlib import Path

import pytest

from paywarden.cli.access import Access, find_access
from paywarden.kit.errors import InvalidFieldError

READY_URL = "http://127.0.0.1:8123"
HERE = "http://127.0.0.1:9000"
AWAY = "https://pay.example.com"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PAYWARDEN_API_KEY", "PAYWARDEN_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a service that has run."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "ready.json").write_text(json.dumps({"url": READY_URL, "sandbox_url": None}) + "\n")
    (folder / "admin.key").write_text("pw_test_admin\n")
    return folder


def test_the_folder_knows_address_and_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_access(None, folder) == Access(READY_URL, "pw_test_admin")
    monkeypatch.setenv("PAYWARDEN_DATA_DIR", str(folder))
    assert find_access(None, None) == Access(READY_URL, "pw_test_admin")


def test_the_environment_comes_before_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYWARDEN_API_KEY", "pw_test_mine")
    assert find_access(None, folder) == Access(READY_URL, "pw_test_mine")
    assert find_access(AWAY, None) == Access(AWAY, "pw_test_mine")


def test_the_folders_key_stays_on_this_machine(folder: Path) -> None:
    assert find_access(HERE, folder) == Access(HERE, "pw_test_admin")
    assert find_access(AWAY, folder) == Access(AWAY, None)
    (folder / "ready.json").write_text(json.dumps({"url": AWAY}))
    assert find_access(AWAY, folder) == Access(AWAY, "pw_test_admin")


@pytest.mark.parametrize("text", [None, "", "not json", "[]"])
def test_without_a_ready_line_port_8000_is_asked(folder: Path, text: str | None) -> None:
    (folder / "ready.json").unlink()
    if text is not None:
        (folder / "ready.json").write_text(text)
    (folder / "admin.key").unlink()
    assert find_access(None, folder) == Access("http://127.0.0.1:8000", None)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", ""])
def test_an_address_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(InvalidFieldError, match="--url must start with http"):
        find_access(url, None)
