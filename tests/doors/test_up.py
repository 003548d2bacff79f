"""``paywarden up``: one line when ready, everything comes back when killed, nothing is left when it is over."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.stack import CHILDREN, PROGRAM, Stack, answers, free_port, proportional_bytes, wait_until

pytestmark = pytest.mark.timeout(180)

MEMORY_LIMIT_BYTES = 600 * 2**20
BACK_SECONDS = 20.0
FINAL_SECONDS = 30.0


@contextmanager
def running(data: Path, **environment: str) -> Iterator[Stack]:
    stack = Stack(data, **environment)
    try:
        yield stack.start()
        stack.stop()
    finally:
        stack.end()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One service for the tests that leave it as it was, or bring it back."""
    data = tmp_path_factory.mktemp("up") / "data"
    data.mkdir()
    (data / "notes of mine.txt").write_text("mine")
    # Nor does it matter what lies where somebody stands who starts it.
    (data.parent / "json.py").write_text("raise SystemExit('a stranger was imported')")
    with running(data, PAYWARDEN_SETTLED_SECONDS="0.5", PAYWARDEN_EMBEDDER_PRELOAD="true") as started:
        yield started
    assert (data / "notes of mine.txt").read_text() == "mine"


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Iterator[object]:
    """Print a figure that the reader of a test run should see."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}")

    return say


def pay(http: httpx.Client, reference: str, **headers: str) -> httpx.Response:
    body = {"user_id": "user_42", "amount_cents": 2500, "currency": "usd", "reference": reference}
    return http.post("/payments", json=body, headers=headers)


def await_success(stack: Stack, payment_id: str) -> None:
    """Wait until the webhook has come and says that it is paid."""
    with stack.client() as http:
        wait_until(
            lambda: http.get(f"/payments/{payment_id}").json()["status"] == "succeeded", FINAL_SECONDS, payment_id
        )


def charges(stack: Stack) -> dict[str, int]:
    """How often the provider charged for each of our payments."""

    async def look() -> dict[str, int]:
        control = stack.sandbox()
        try:
            return (await control.book())["charges"]
        finally:
            await control.close()

    return asyncio.run(look())


def test_the_ready_line_says_exactly_what_the_outside_relies_on(stack: Stack) -> None:
    assert set(stack.ready) == {"url", "console_url", "admin_key", "database_url", "sandbox_url"}
    assert stack.ready["url"] == f"http://127.0.0.1:{stack.port}"
    assert stack.ready["console_url"] is None
    assert stack.ready["sandbox_url"].startswith("http://127.0.0.1:")
    key_file = stack.data / "admin.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert key_file.read_text().strip() == stack.ready["admin_key"]
    with stack.administrator() as http:
        assert http.get("/v1/payments").status_code == 200
    assert httpx.get(f"{stack.url}/v1/payments", trust_env=False).status_code == 401


def test_secrets_lie_in_files_of_their_owner_and_in_no_command_line(stack: Stack) -> None:
    held = [stack.ready["admin_key"], stack.provider_key(), stack.webhook_secret()]
    held.append((stack.data / "postgres" / "superuser.password").read_text())
    for process in stack.everything():
        commanded = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
        assert not [secret for secret in held if secret in commanded]
    readable = [
        file.name
        for file in stack.data.iterdir()
        if file.is_file() and any(secret in file.read_text() for secret in held) and file.stat().st_mode & 0o077
    ]
    assert readable == []


def test_what_was_paid_can_be_read_with_sql(stack: Stack) -> None:
    with stack.client() as http:
        paid = pay(http, "sql").json()["payment_id"]
        await_success(stack, paid)
        job = http.post("/payments/create", json={"agent_id": "a-1", "amount_cents": 4200, "currency": "usd"}).json()
        note = http.post("/knowledge", json={"customer_id": "cust_001", "content": "Was charged twice."}).json()
    with psycopg.connect(stack.ready["database_url"]) as connection:
        rows = connection.execute("select user_id, amount_cents, status from payments where id = %s", [paid]).fetchall()
        assert rows == [("user_42", 2500, "succeeded")]
        jobs = connection.execute("select agent_id, status from payment_jobs where id = %s", [job["job_id"]]).fetchall()
        assert jobs == [("a-1", "requires_confirmation")]
        notes = connection.execute("select customer_id from knowledge_base where id = %s", [note["id"]]).fetchall()
        assert notes == [("cust_001",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("update payments set amount_cents = 1")


def test_memory_of_everything_but_postgresql(stack: Stack, tell) -> None:
    with stack.client() as http:
        http.post("/knowledge/search", json={"customer_id": "cust_001", "q": "charged twice"}).raise_for_status()
    used = {name: proportional_bytes([process]) for name, process in stack.processes().items()}
    used.pop("postgresql")
    tell(
        f"memory in MB (PSS): { ({name: size // 2**20 for name, size in used.items()}) }, {sum(used.values()) // 2**20}"
    )
    assert set(used) == {"supervisor", "sandbox", "api", "worker"}
    assert sum(used.values()) < MEMORY_LIMIT_BYTES


@pytest.mark.parametrize("name", CHILDREN)
def test_kill_9_of_any_one_process_is_survived(stack: Stack, name: str, tell) -> None:
    with stack.client() as http:
        before = pay(http, f"before {name}").json()["payment_id"]
        killed = stack.kill9(name)
        stack.await_child(name, killed, BACK_SECONDS)
        back_seconds = stack.await_answer(BACK_SECONDS)
        after = pay(http, f"after {name}").json()["payment_id"]
    for payment in (before, after):
        await_success(stack, payment)
    assert {charges(stack)[before], charges(stack)[after]} == {1}
    tell(f"kill -9 of {name}: answers again after {back_seconds:.1f} s")


def test_a_second_service_on_the_same_folder_is_refused(stack: Stack) -> None:
    done = stack.command("up", "--json", "--no-demo", "--port", str(free_port()), "--data", str(stack.data))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"another paywarden already runs on {stack.data}" in done.stderr
    assert stack.await_answer(1) < 1


def test_a_second_start_of_the_same_says_what_runs_and_where(stack: Stack) -> None:
    done = stack.command("up", "--json", "--no-demo", "--port", str(stack.port), "--data", str(stack.data))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"already runs on {stack.data}: pid {stack.pid}, {stack.url}" in done.stderr
    assert "taken by another program" not in done.stderr


def test_start_and_stop_of_each_process_are_in_the_log_and_a_person_gets_a_closing_line(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "data", PAYWARDEN_LOG_LEVEL="info")
    running_up = stack.spawn("up", "--no-demo", "--port", str(stack.port), "--data", str(stack.data))
    try:
        assert running_up.stdout is not None
        wait_until(lambda: "worker ready" in stack.complaints() and "api ready" in stack.complaints(), 90)
        wait_until(lambda: '"event": "ready: ' in stack.complaints(), 30)
        running_up.send_signal(signal.SIGINT)
        said, _ = running_up.communicate(timeout=40)
    finally:
        running_up.kill()
        running_up.wait()
    assert running_up.returncode == 0
    assert said.decode().strip().splitlines()[-1].startswith("Paywarden has stopped.")
    events = [json.loads(line)["event"] for line in stack.complaints().splitlines() if line.startswith("{")]
    for told in ("api starts", "api ready", "api stopped", "worker starts", "worker ready", "worker stopped"):
        assert events.count(told) == 1, (told, events)
    for name in CHILDREN:
        assert [event for event in events if event.startswith(f"{name} started, pid ")], (name, events)
        assert f"{name} ended" in events
    assert (stack.data / ".gitignore").read_text() == "*\n"


def test_a_taken_port_is_refused_in_words(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        done = Stack(tmp_path / "data").command("up", "--json", "--port", str(port), "--data", str(tmp_path / "data"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip().splitlines()[-1].startswith(f"paywarden: port {port} on 127.0.0.1 is taken")


def test_a_stop_answers_what_is_in_flight_and_is_clean(tmp_path: Path, tell) -> None:
    """The provider takes a second and a half over the request during which the stop arrives."""
    with running(tmp_path / "data") as stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.run(_slow_provider(stack, 1.5))
            answered: list[httpx.Response] = []
            waited: list[httpx.Response] = []
            calls = [
                threading.Thread(target=_pay_slowly, args=(stack, number.name, answered)),
                threading.Thread(target=_wait_for_work, args=(stack, waited)),
            ]
            for call in calls:
                call.start()
            wait_until(lambda: "pending" in _statuses(stack))
            began = time.monotonic()
            stack.signal(number)
            for call in calls:
                call.join()
            assert stack.wait() == 0
            assert [response.status_code for response in waited] == [200]
            assert [(response.status_code, response.json()["status"]) for response in answered] == [(200, "pending")]
            tell(f"{number.name} with a request in flight: over after {time.monotonic() - began:.1f} s")
            stack.start()
            await_success(stack, answered[0].json()["payment_id"])
            tell(f"next start: {stack.seconds_to_ready:.1f} s to the ready line")
            assert stack.seconds_to_ready < 45


def _pay_slowly(stack: Stack, reference: str, answered: list[httpx.Response]) -> None:
    with stack.client() as http:
        answered.append(pay(http, reference))


def _wait_for_work(stack: Stack, waited: list[httpx.Response]) -> None:
    with stack.administrator() as http:
        waited.append(http.get("/v1/reviews", params={"wait_seconds": 25}))


async def _slow_provider(stack: Stack, seconds: float) -> None:
    control = stack.sandbox()
    await control.arm("delay", seconds=seconds, times=1, operation="submit")
    await control.close()


def _statuses(stack: Stack) -> list[str]:
    with psycopg.connect(stack.ready["database_url"]) as connection:
        return [row[0] for row in connection.execute("select status from payments").fetchall()]


def test_kill_9_of_all_leaves_nothing_and_the_next_start_carries_on(tmp_path: Path) -> None:
    """Twelve payments are at every stage when everything dies; on another port each of them completes, once."""
    with running(tmp_path / "data") as stack:
        key = stack.ready["admin_key"]
        asyncio.run(_slow_provider(stack, 5))
        callers = [threading.Thread(target=_pay_and_hope, args=(stack, number)) for number in range(12)]
        for caller in callers:
            caller.start()
        wait_until(lambda: len(_statuses(stack)) == 12)
        assert "pending" in _statuses(stack)
        stack.kill9_everything()
        for caller in callers:
            caller.join()
        stack.start(port=free_port())
        assert stack.ready["admin_key"] == key
        wait_until(lambda: _statuses(stack) == ["succeeded"] * 12, FINAL_SECONDS)
        assert sorted(charges(stack).values()) == [1] * 12
        assert stack.command("invariants", "--data", str(stack.data)).returncode == 0


def _pay_and_hope(stack: Stack, number: int) -> None:
    try:
        with stack.client() as http:
            pay(http, f"order-{number}")
    except httpx.TransportError:
        return


def test_invariants_are_asked_beside_the_service(stack: Stack, tmp_path: Path) -> None:
    data = ["--data", str(stack.data)]
    with stack.client() as http:
        paid = pay(http, "one").json()["payment_id"]
    await_success(stack, paid)
    whole = stack.command("invariants", *data)
    assert (whole.returncode, "BROKEN" in whole.stdout) == (0, False)
    _move_revenue(stack, 1)
    broken = stack.command("invariants", *data)
    assert broken.returncode == 1
    assert "BROKEN  balances_match_transfers" in broken.stdout
    told = json.loads(stack.command("invariants", "--json", *data).stdout)
    assert [row for each in told if each["name"] == "balances_match_transfers" for row in each["broken"]]
    _move_revenue(stack, -1)
    none = stack.command("invariants", "--data", str(tmp_path))
    assert (none.returncode, none.stdout) == (2, "")
    assert "no PostgreSQL runs" in none.stderr


def _move_revenue(stack: Stack, by_minor: int) -> None:
    """As somebody with the superuser's password could, behind the ledger's door."""
    with psycopg.connect(stack.superuser_url(), autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute("update paywarden.accounts set balance = balance + %s where code = 'revenue'", [by_minor])


def test_help_is_quick(tell) -> None:
    took = []
    for _ in range(3):
        began = time.monotonic()
        done = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True, env=dict(os.environ))
        took.append(time.monotonic() - began)
        assert "The pay desk" in done.stdout
    tell(f"paywarden --help: {min(took):.2f} s at best of three")


def test_several_api_processes_share_the_port_and_each_may_die(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "data", PAYWARDEN_API_PROCESSES="2")

    def answering() -> str:
        text = httpx.get(f"{stack.url}/metrics", timeout=10, trust_env=False).text
        return text.partition('paywarden_started_seconds{process="')[2][:1]

    try:
        stack.start()
        before = stack.pids("api")
        assert len(before) == 2
        wait_until(lambda: {answering() for _ in range(20)} == {"1", "2"}, 30)
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(stack.pids("api") - {killed}) == 2, 30)
        stack.await_answer()
        wait_until(lambda: {answering() for _ in range(20)} == {"1", "2"}, 30)
        stack.stop()
        assert not answers(f"{stack.url}/healthz")
    finally:
        stack.end()
