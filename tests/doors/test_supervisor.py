"""The supervisor with real small programs: what dies comes back, and what is over leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paywarden.kit.errors import ConfigurationError
from paywarden.supervisor import Program, refuse_taken_port

# Writes its pid when it is ready, a line when it is asked to stop, and then ends (or, if stubborn, does not).
CHILD = """
import os, pathlib, signal, sys, time
folder, name, stubborn = pathlib.Path(sys.argv[1]), sys.argv[2], len(sys.argv) > 3
def stop(*_):
    with (folder / "stops").open("a") as stops:
        stops.write(name + "\\n")
    if not stubborn:
        sys.exit()
signal.signal(signal.SIGTERM, stop)
(folder / "secret").write_text(os.environ.get("SECRET", ""))
print("a child talks")
(folder / "pids").mkdir(exist_ok=True)
(folder / "pids" / str(os.getpid())).touch()
part = folder / (name + ".part")
part.write_text(str(os.getpid()))
part.rename(folder / name)
while True:
    time.sleep(60)
"""

SUPERVISOR = """
import json, pathlib, sys
from paywarden.kit.errors import ConfigurationError
from paywarden.supervisor import Program, Supervisor
folder = pathlib.Path(sys.argv[1])
children = {
    name: Program(
        [sys.executable, "-c", each.get("code", pathlib.Path(folder / "child.py").read_text()), str(folder), name,
         *each.get("more", [])],
        {"SECRET": "told by the environment"},
        ready=lambda name=name: (folder / name).exists(),
        ready_limit_seconds=5,
        stop_limit_seconds=each.get("stop_limit", 5),
    )
    for name, each in json.loads(sys.argv[2]).items()
}
try:
    Supervisor(children).run(lambda: print("ready", flush=True))
except ConfigurationError as error:
    sys.exit(error.detail)
"""


class Run:
    """A supervisor in its own process, with children that report into ``folder``."""

    def __init__(self, folder: Path, children: dict[str, dict[str, Any]]) -> None:
        self.folder = folder
        (folder / "child.py").write_text(CHILD)
        command = [sys.executable, "-c", SUPERVISOR, str(folder), json.dumps(children)]
        with (folder / "output").open("w") as output, (folder / "complaints").open("w") as complaints:
            self.process = subprocess.Popen(command, stdout=output, stderr=complaints, start_new_session=True)

    def await_ready(self) -> None:
        wait_until(lambda: self.output() == "ready\n")

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def complaints(self) -> str:
        return (self.folder / "complaints").read_text()

    def pid(self, name: str) -> int:
        return int((self.folder / name).read_text())

    def stops(self) -> list[str]:
        return (self.folder / "stops").read_text().split()

    def end(self) -> None:
        """End the supervisor, and the children that a broken one has left behind."""
        self.process.kill()
        self.process.wait()
        for report in (self.folder / "pids").glob("*"):
            if running(int(report.name)):
                os.kill(int(report.name), signal.SIGKILL)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[dict[str, dict[str, Any]]], Run]]:
    runs: list[Run] = []

    def run(children: dict[str, dict[str, Any]]) -> Run:
        runs.append(Run(tmp_path, children))
        return runs[-1]

    yield run
    for each in runs:
        each.end()


def running(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool], limit_seconds: float = 5) -> None:
    deadline = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def test_a_killed_child_comes_back_and_the_other_is_left_alone(start: Callable[..., Run]) -> None:
    run = start({"one": {}, "two": {}})
    run.await_ready()
    first, other = run.pid("one"), run.pid("two")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: run.pid("one") != first and running(run.pid("one")))
    assert run.pid("two") == other
    assert running(other)


def test_a_child_that_keeps_dying_is_started_ever_more_slowly(start: Callable[..., Run]) -> None:
    count = "import pathlib, sys\nfolder = pathlib.Path(sys.argv[1])\n(folder / 'starts').open('a').write('x')\n"
    once = count + "(folder / 'one').write_text('0')\nimport time\ntime.sleep(0.2)"
    run = start({"one": {"code": once}})
    run.await_ready()
    starts = run.folder / "starts"
    wait_until(lambda: len(starts.read_text()) >= 3)
    seen, since = len(starts.read_text()), time.monotonic()
    wait_until(lambda: len(starts.read_text()) >= seen + 2, limit_seconds=10)
    assert time.monotonic() - since > 1.5, "the pause does not grow"


def test_kill_9_of_the_supervisor_leaves_nothing(start: Callable[..., Run]) -> None:
    run = start({"one": {}, "two": {"more": ["stubborn"]}})
    run.await_ready()
    children = [run.pid("one"), run.pid("two")]
    assert all(running(pid) for pid in children)
    os.kill(run.process.pid, signal.SIGKILL)
    wait_until(lambda: not any(running(pid) for pid in children), limit_seconds=2)


@pytest.mark.parametrize("demand", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_request_reaches_the_children_last_started_first(start: Callable[..., Run], demand: int) -> None:
    run = start({"one": {}, "two": {}, "three": {}})
    run.await_ready()
    children = [run.pid(name) for name in ("one", "two", "three")]
    run.process.send_signal(demand)
    assert run.process.wait(10) == 0
    assert run.stops() == ["three", "two", "one"]
    assert not any(running(pid) for pid in children)


def test_a_child_that_does_not_stop_is_killed_at_its_limit(start: Callable[..., Run]) -> None:
    run = start({"one": {}, "two": {"more": ["stubborn"], "stop_limit": 0.3}})
    run.await_ready()
    stubborn = run.pid("two")
    run.process.send_signal(signal.SIGTERM)
    wait_until((run.folder / "stops").exists)
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(10) == 0
    assert run.stops() == ["two", "one"]
    assert not running(stubborn)


def test_stop_returns_only_when_the_program_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path), "one", "stubborn"]
    program = Program(command, {}, ready=(tmp_path / "one").exists, stop_limit_seconds=0.2)
    program.start()
    pid = program.pid
    assert pid is not None
    program.stop()
    assert not running(pid)


def test_a_stop_request_during_the_start_stops_what_was_started(start: Callable[..., Run]) -> None:
    run = start({"one": {}, "never": {"code": "import time\ntime.sleep(60)"}})
    wait_until((run.folder / "one").exists)
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(10) == 0
    assert run.stops() == ["one"]
    assert not running(run.pid("one"))


def test_a_child_that_cannot_start_ends_the_run_with_its_name(start: Callable[..., Run]) -> None:
    run = start({"one": {}, "broken": {"code": "raise SystemExit(3)"}})
    assert run.process.wait(20) == 1
    assert "broken does not start: it ended before it was ready" in run.complaints()
    assert run.stops() == ["one"]


def test_only_the_supervisor_writes_to_standard_output_and_secrets_are_in_no_command(start: Callable[..., Run]) -> None:
    run = start({"one": {}})
    run.await_ready()
    assert (run.folder / "secret").read_text() == "told by the environment"
    assert b"told by the environment" not in Path(f"/proc/{run.pid('one')}/cmdline").read_bytes()
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(10) == 0
    assert run.output() == "ready\n"
    assert "a child talks" not in run.complaints()


@pytest.mark.parametrize("option", [None, socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_a_port_with_a_listener_is_refused_even_one_that_shares(option: int | None) -> None:
    with socket.socket() as stranger:
        if option is not None:
            stranger.setsockopt(socket.SOL_SOCKET, option, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1 is taken"):
            refuse_taken_port("127.0.0.1", port, patience_seconds=0.1)
    refuse_taken_port("127.0.0.1", port, patience_seconds=0)


def test_the_remains_of_closed_connections_do_not_take_a_port() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every HTTP server does
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first keeps the address in TIME_WAIT
    refuse_taken_port("127.0.0.1", port, patience_seconds=0)


def test_an_address_that_is_not_ours_is_refused_in_words() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot listen on 192\.0\.2\.1 port 8000"):
        refuse_taken_port("192.0.2.1", 8000)
