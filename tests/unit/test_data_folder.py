"""One run at a time holds a data folder, and no repository around it picks up what lies there."""

import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from paywarden.app import up
from paywarden.app.folder import DataFolder
from paywarden.kit.errors import ConfigurationError


def git(folder: Path, *arguments: str) -> str:
    program = shutil.which("git") or pytest.skip("there is no git")
    return subprocess.run([program, "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout


@contextmanager
def as_somebody_without_rights() -> Iterator[None]:
    """Root may write everywhere."""
    ours = os.geteuid()
    if ours == 0:
        os.seteuid(65_534)
    yield
    os.seteuid(ours)


def test_git_sees_nothing_of_a_data_folder(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    DataFolder(tmp_path / "anywhere").claim("http://127.0.0.1:8000")
    (tmp_path / "anywhere" / "admin.key").write_text("secret")
    assert git(tmp_path, "status", "--short", "--untracked-files=all") == ""


def test_a_gitignore_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    DataFolder(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_a_folder_that_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with as_somebody_without_rights(), pytest.raises(ConfigurationError, match=r"cannot be used: Permission denied"):
        DataFolder(tmp_path)


def test_the_second_run_is_told_who_holds_the_folder_and_where(tmp_path: Path) -> None:
    first = DataFolder(tmp_path)
    first.claim("http://127.0.0.1:8123")
    second = DataFolder(tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        second.claim("http://127.0.0.1:9999", patience_seconds=0)
    assert f"already runs on {tmp_path}: pid {os.getpid()}, http://127.0.0.1:8123" in refused.value.detail


def test_the_sandbox_keeps_its_port_after_connections_that_were_just_closed() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every HTTP server does
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first keeps the address in TIME_WAIT
    assert up._sandbox_port(port) == port


def test_the_log_says_when_the_sandbox_has_to_move(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as stranger, caplog.at_level(logging.WARNING):
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        moved = up._sandbox_port(taken)
    assert moved != taken
    assert f"port {taken} is taken by another program: the sandbox provider listens on {moved}" in caplog.text
    assert up._sandbox_port(65_536) < 65_536
