"""R21: whoever is stopped in one process is stopped in all of them at once, also where a key is remembered."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

import httpx
import pytest

from paywarden.kit.children import ended_with_parent
from tests.conftest import Database
from tests.stack import PROGRAM, answers, free_port, wait_until
from tests.trust.twin import Mistake, broken_package

NOTHING_IS_COUNTED: Mistake = (
    "identity/queries.sql",
    "update paywarden.tenants set authority_version = authority_version + 1 where",
    "update paywarden.tenants set authority_version = authority_version + 0 where",
)
LIMITS = [{"currency": "usd", "window": "day", "limit_minor": 10_000}]


@contextmanager
def api(database: Database, folder: Path, port: int, package: Path | None = None) -> Iterator[str]:
    """One API process on this database and port; its address."""
    environment = {
        "PATH": str(Path(sys.executable).parent),
        "DATABASE_URL": database.service_url,
        "PAYMENT_API_URL": "http://127.0.0.1:9",
        "PAYMENT_API_KEY": "unused",
        "PAYMENT_WEBHOOK_SECRET": "unused",
        "PAYWARDEN_PORT": str(port),
        **({} if package is None else {"PYTHONPATH": str(package)}),
    }
    process = subprocess.Popen(
        [PROGRAM, "api"],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=ended_with_parent(SIGKILL),  # noqa: PLW1509 - one system call, and no import or lock
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: process.poll() is not None or answers(f"{url}/readyz"), 60)
        assert process.poll() is None, "the process ended"
        yield url
    finally:
        process.terminate()
        assert process.wait(30) == 0


class Attack:
    """An agent whose key both processes remember, and its administrator at the first of them."""

    def __init__(self, admin: httpx.Client, second: str) -> None:
        self.admin, self.second = admin, second

    def agent(self, name: str) -> tuple[httpx.Client, dict[str, str]]:
        """A new agent at the second process, and the ids of everything that can be taken from it."""
        agent = self.admin.post("/v1/agents", json={"name": name, "roles": ["initiate"]}).json()["id"]
        key = self.admin.post("/v1/keys", json={"principal": agent}).json()
        terms = {"principal": agent, "name": "n", "kinds": ["gate"], "limits": LIMITS, "timezone": "UTC"}
        mandate = self.admin.post("/v1/mandates", json=terms).json()["id"]
        there = httpx.Client(
            base_url=self.second, headers={"Authorization": f"Bearer {key['secret']}"}, timeout=30, trust_env=False
        )
        return there, {"agent": agent, "key": key["id"], "mandate": mandate}

    def after(self, name: str, ending: str) -> list[int]:
        """The statuses of the hold before and of three holds after something was ended in the first process."""
        there, made = self.agent(name)
        with there:
            before = self.hold(there, made, f"{name}-0")
            assert self.admin.post(ending.format(**made)).status_code == 200
            return [before, *(self.hold(there, made, f"{name}-{number}") for number in range(1, 4))]

    def hold(self, there: httpx.Client, made: dict[str, str], key: str) -> int:
        body: dict[str, Any] = {"mandate": made["mandate"], "amount_minor": 1, "currency": "usd"}
        return there.post("/v1/holds", json=body, headers={"Idempotency-Key": key}).status_code


@contextmanager
def attack(database: Database, folder: Path, package: Path | None = None) -> Iterator[Attack]:
    """Two processes of the service, or of its twin."""
    with ExitStack() as running:
        first, second = (running.enter_context(api(database, folder, free_port(), package)) for _ in range(2))
        key = subprocess.run(
            [PROGRAM, "tenant", "admin-key"],
            env={"DATABASE_URL": database.service_url},
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        bearer = {"Authorization": f"Bearer {key}"}
        admin = running.enter_context(httpx.Client(base_url=first, headers=bearer, timeout=30, trust_env=False))
        yield Attack(admin, second)


ENDINGS = {
    "key": ("/v1/keys/{key}/revoke", 401),
    "principal": ("/v1/agents/{agent}/suspend", 401),
    "mandate": ("/v1/mandates/{mandate}/revoke", 403),
    "tenant": ("/v1/tenant/suspend", 403),
}


@pytest.mark.timeout(180)
def test_what_ends_in_one_process_has_ended_in_the_other(database: Database, tmp_path: Path) -> None:
    with attack(database, tmp_path) as two:
        for name, (ending, status) in ENDINGS.items():
            assert (name, two.after(name, ending)) == (name, [201, status, status, status])


@pytest.mark.timeout(180)
def test_broken_twin_a_change_that_is_not_counted_goes_on_working_elsewhere(database: Database, tmp_path: Path) -> None:
    package = broken_package(tmp_path / "package", NOTHING_IS_COUNTED)
    with attack(database, tmp_path, package) as two:
        assert two.after("key", ENDINGS["key"][0]) == [201] * 4
