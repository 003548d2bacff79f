"""What somebody gets wrong at the first start: one or two plain lines with the remedy, exit status 2, no password."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.stack import PROGRAM, Stack, free_port

pytestmark = pytest.mark.timeout(100)

PROVIDER = {"PAYMENT_API_URL": "http://127.0.0.1:9", "PAYMENT_API_KEY": "k", "PAYMENT_WEBHOOK_SECRET": "s"}
PASSWORD = "hunter2secret"
NOBODY_THERE = {"DATABASE_URL": f"postgresql://u:{PASSWORD}@127.0.0.1:1/x"}
MISREAD = [
    f"mysql://u:{PASSWORD}@127.0.0.1/x",
    f"u:{PASSWORD}@127.0.0.1/x",
    f"postgresql://u:{PASSWORD}@extra@127.0.0.1:1/x",
    f"postgresql://u:{PASSWORD}/extra@127.0.0.1:1/x",
    f"postgresql://u:1/{PASSWORD}@127.0.0.1:1/x",
    f"postgresql://u:%zz{PASSWORD}@127.0.0.1:1/x",
    f"postgresql://u:x@127.0.0.1:{PASSWORD}/x",
    f"host=127.0.0.1 port=1 password={PASSWORD} nonsense",
]


def told(tmp_path: Path, *arguments: str, **environment: str) -> str:
    """The complaint of a command that cannot run, which must be short and show no secret."""
    done = Stack(tmp_path / "data", **environment).command(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr[-2000:]
    assert done.stderr.startswith("paywarden: ")
    assert len(done.stderr.strip().splitlines()) <= 2, done.stderr
    assert PASSWORD not in done.stderr
    return done.stderr


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_process_alone_names_what_it_needs(tmp_path: Path, command: str) -> None:
    assert "PAYMENT_API_URL, PAYMENT_API_KEY and PAYMENT_WEBHOOK_SECRET must be set" in told(tmp_path, command)
    assert "DATABASE_URL is not set" in told(tmp_path, command, **PROVIDER)


@pytest.mark.parametrize("command", [["api"], ["worker"], ["migrate"], ["invariants"], ["up", "--json"]])
def test_an_unreachable_database_is_told_with_host_port_and_reason(tmp_path: Path, command: list[str]) -> None:
    more = ["--data", str(tmp_path / "d"), "--port", str(free_port())] if command[0] == "up" else []
    complaint = told(tmp_path, *command, *more, **PROVIDER, **NOBODY_THERE)
    assert "DATABASE_URL" in complaint
    assert all(fact in complaint for fact in ("127.0.0.1", "port 1", "Connection refused"))


def test_the_owner_is_named_when_it_is_the_owner_who_is_not_let_in(tmp_path: Path) -> None:
    owner = {"PAYWARDEN_OWNER_DATABASE_URL": f"postgresql://o:{PASSWORD}@127.0.0.1:2/x"}
    assert "PAYWARDEN_OWNER_DATABASE_URL: no connection" in told(tmp_path, "migrate", **NOBODY_THERE, **owner)


@pytest.mark.parametrize("address", MISREAD)
def test_an_address_that_is_misread_never_shows_its_password(tmp_path: Path, address: str) -> None:
    complaint = told(tmp_path, "up", "--json", "--data", str(tmp_path / "d"), DATABASE_URL=address)
    assert "DATABASE_URL" in complaint
    assert "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" in complaint


def test_an_address_in_the_env_file_is_as_safe(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL={MISREAD[0]}\n")
    assert "DATABASE_URL is not an address of PostgreSQL" in told(tmp_path, "up", "--data", str(tmp_path / "d"))
    assert "DATABASE_URL is not an address of PostgreSQL" in told(tmp_path, "migrate")


@pytest.mark.parametrize("address", ["notaurl", "ftp://127.0.0.1", "http://", "http://127.0.0.1:port", "http://[::1"])
def test_a_provider_that_has_no_web_address_is_refused(tmp_path: Path, address: str) -> None:
    given = {**PROVIDER, "PAYMENT_API_URL": address}
    assert "PAYMENT_API_URL is not an address" in told(tmp_path, "up", "--data", str(tmp_path / "d"), **given)


def test_a_data_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    assert "cannot be used: File exists" in told(tmp_path, "up", "--data", str(tmp_path / "f"))
    assert "cannot be used" in told(tmp_path, "up", "--data", str(tmp_path / "f" / "below"))
    assert (tmp_path / "f").read_text() == "mine"


@pytest.mark.parametrize("command", ["policy show", "invariants --help", "doctor --json"])
def test_what_cannot_be_written_is_one_line(tmp_path: Path, command: str) -> None:
    """A full disk behind ``>``: a small answer is lost only at the very end."""
    environment = os.environ | {"PAYWARDEN_DATA_DIR": str(tmp_path / "none")}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [PROGRAM, *command.split()], stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False
        )
    complaint = "paywarden: not everything could be written: No space left on device; what was asked for may be done\n"
    assert (done.returncode, done.stderr) == (1, complaint)


def test_a_closed_output_is_no_failure() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec '{PROGRAM}' policy show >&-"], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
