"""The sandbox's routes: who may call, what is refused, how long keys live, how the process starts and stops."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from paywarden.kit.tls import trusted_for
from paywarden.sandbox.control import SandboxControl
from tests.contract.waiting import eventually
from tests.sandbox_process import API_KEY, SandboxProcess

ROUTES = [
    ("POST", "/v1/payments"),
    ("GET", "/v1/payments"),
    ("GET", "/v1/payments/x"),
    ("POST", "/v1/payments/x/confirm"),
    ("POST", "/v1/payments/x/refunds"),
    ("GET", "/v1/refunds"),
    ("GET", "/v1/refunds/x"),
    ("GET", "/v1/statement"),
    ("POST", "/_sandbox/faults"),
    ("DELETE", "/_sandbox/faults"),
    ("POST", "/_sandbox/settings"),
    ("POST", "/_sandbox/clock"),
    ("POST", "/_sandbox/webhooks:resend"),
    ("GET", "/_sandbox/book"),
]


@pytest.fixture
async def client(sandbox: SandboxProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with bearer(sandbox) as http:
        yield http


def bearer(sandbox: SandboxProcess) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    return httpx.AsyncClient(
        base_url=sandbox.url, headers=headers, timeout=60, trust_env=False, verify=trusted_for(sandbox.url)
    )


def payment(**fields: object) -> dict[str, Any]:
    return {"amount_cents": 2500, "amount": 2500, "currency": "usd", "customer_id": "user_42", **fields}


async def entries(control: SandboxControl) -> set[str]:
    """What stands in the book, whatever becomes of it: an earlier test's payment may settle meanwhile."""
    book = await control.book()
    return {entry["id"] for entry in book["payments"] + book["refunds"]}


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", API_KEY, f"Bearer {API_KEY}2"])
async def test_every_route_wants_the_key(sandbox: SandboxProcess, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    async with httpx.AsyncClient(base_url=sandbox.url, headers=headers, trust_env=False) as stranger:
        for method, path in ROUTES:
            answer = await stranger.request(method, path, json=payment())
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated"), path


@pytest.mark.parametrize(
    ("body", "field"),
    [
        *(
            (payment(amount_cents=bad, amount=bad), "amount_cents")
            for bad in (0, -1, 10**15 + 1, 1.0, True, "12", None)
        ),
        (payment(amount=2501), "amount"),
        ({"currency": "usd"}, "amount_cents"),
        *((payment(currency=bad), "currency") for bad in ("USD", "us", "usdt", "u5d", "üsd", 840, None)),
        (payment(confirm="yes"), "confirm"),
        (payment(confirm=None), "confirm"),
        (payment(customer_id=7), "customer_id"),
        (payment(customer_id="x" * 256), "customer_id"),
        (payment(metadata=[]), "metadata"),
        (payment(metadata={"internal_payment_id": 7}), "internal_payment_id"),
        (payment(metadata={"internal_payment_id": None}), "metadata"),
        ([], "body"),
    ],
)
async def test_bad_payments_are_refused_with_the_field_named_and_leave_nothing(
    client: httpx.AsyncClient, control: SandboxControl, body: object, field: str
) -> None:
    before = await entries(control)
    answer = await client.post("/v1/payments", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(f"{field} ")
    assert await entries(control) == before


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b'{"amount_cents": NaN}',
        b'{"amount_cents": 1e999, "currency": "usd"}',
        b'{"amount_cents": 1, "amount_cents": 2, "currency": "usd"}',
        b'{"amount_cents": 1, "currency": "usd", "customer_id": "\\ud800"}',
        b'{"amount_cents": 1, "currency": "usd", "metadata": {"\\udfff": "a"}}',
        b"[" * 100_000,
        b'{"amount_cents": ' + b"9" * 5_000 + b"}",
    ],
)
async def test_hostile_bodies_are_refused_and_never_an_error_of_ours(client: httpx.AsyncClient, body: bytes) -> None:
    for path in ("/v1/payments", "/v1/payments/x/refunds", "/v1/payments/x/confirm", "/_sandbox/faults"):
        assert 400 <= (await client.post(path, content=body)).status_code < 500
    assert (
        await client.post("/v1/payments", json=payment(), headers={"Idempotency-Key": "k" * 256})
    ).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/v1/payments",
        "/v1/refunds?internal_payment_id=",
        "/v1/payments/%FF%00%ED%A0%80",
        "/v1/payments?internal_payment_id=%FF%ED%A0%80",
        "/v1/statement",
        "/v1/statement?from=2026-01-01&to=2027-01-01",
        "/v1/statement?from=yesterday&to=today",
        "/v1/statement?from=0001-01-01T00:00:00%2B23:00&to=9999-12-31T23:59:59-23:00",
        "/v1/nothing",
        "/",
    ],
)
async def test_bad_questions_are_answered_below_500(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code < 500


@pytest.mark.parametrize("cursor", ["*", "a", "/w==", "%C3%BC"])
async def test_a_foreign_cursor_is_refused_or_empty(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await client.get(f"/v1/statement?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&cursor={cursor}")
    assert answer.status_code == 400 or answer.json() == {"data": [], "next": None}


async def test_a_replay_is_marked_and_has_the_first_answer(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one-key"}
    first = await client.post("/v1/payments", json=payment(), headers=headers)
    await eventually(lambda: _has_status(client, first.json()["id"], "succeeded"))
    again = await client.post("/v1/payments", json=payment(), headers=headers)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    elsewhere = await client.post(f"/v1/payments/{first.json()['id']}/confirm", json=payment(), headers=headers)
    assert elsewhere.status_code == 422
    assert elsewhere.json()["error"]["code"] == "idempotency_key_reused"


async def _has_status(client: httpx.AsyncClient, payment_id: str, status: str) -> bool:
    return bool((await client.get(f"/v1/payments/{payment_id}")).json()["status"] == status)


@pytest.mark.parametrize(("seconds", "charges"), [(24 * 3600 - 60, 1), (24 * 3600 + 60, 2)])
async def test_a_key_is_kept_for_24_hours_of_the_movable_clock(
    own_sandbox: SandboxProcess, seconds: float, charges: int
) -> None:
    control = own_sandbox.control()
    async with bearer(own_sandbox) as client:
        body = payment(metadata={"internal_payment_id": "pay_1"})
        await client.post("/v1/payments", json=body, headers={"Idempotency-Key": "old"})
        await control.advance_clock(seconds)
        own_sandbox.kill9()
        own_sandbox.restart()
        await client.post("/v1/payments", json=body, headers={"Idempotency-Key": "old"})
        assert (await control.book())["charges"] == {"pay_1": charges}
    await control.close()


async def test_a_statement_never_shows_what_has_not_settled_yet(own_sandbox: SandboxProcess) -> None:
    control = own_sandbox.control()
    await control.change_settings(webhook_delay_seconds=3600)
    now = datetime.now(UTC)
    period = {"from": (now - timedelta(days=1)).isoformat(), "to": (now + timedelta(days=1)).isoformat()}
    async with bearer(own_sandbox) as client:
        created = (await client.post("/v1/payments", json=payment())).json()
        assert created["status"] == "pending"
        assert (await client.get("/v1/statement", params=period)).json()["data"] == []
        await control.advance_clock(3601)
        assert len((await client.get("/v1/statement", params=period)).json()["data"]) == 1
        assert await _has_status(client, created["id"], "succeeded")
    await control.close()


async def test_sigterm_ends_it_cleanly_even_with_a_caller_that_waits_for_ever(own_sandbox: SandboxProcess) -> None:
    control = own_sandbox.control()
    await control.arm("timeout")
    async with bearer(own_sandbox) as client:
        body = payment(metadata={"internal_payment_id": "pay_1"})
        waiting = asyncio.create_task(client.post("/v1/payments", json=body))

        async def charged() -> bool:
            return bool((await control.book())["charges"])

        assert await eventually(charged)
        assert not waiting.done()
        assert await asyncio.to_thread(own_sandbox.stop) == 0
        with pytest.raises(httpx.TransportError):
            await waiting
    await control.close()


def test_a_second_sandbox_gets_neither_the_port_nor_the_book(own_sandbox: SandboxProcess, tmp_path: Path) -> None:
    same_port = _run("--port", str(own_sandbox.port), "--data", str(tmp_path / "other"))
    assert (same_port.returncode, same_port.stdout) == (1, "")
    assert "cannot start" in same_port.stderr
    same_book = _run("--data", str(own_sandbox.data_dir))
    assert (same_book.returncode, same_book.stdout) == (1, "")
    assert "database is locked" in same_book.stderr


@pytest.mark.parametrize("missing", ["PAYMENT_API_KEY", "PAYMENT_WEBHOOK_SECRET"])
def test_it_does_not_start_without_its_secrets(tmp_path: Path, missing: str) -> None:
    done = _run("--data", str(tmp_path / "book"), **{missing: ""})
    assert done.returncode == 2
    assert missing in done.stderr
    assert not (tmp_path / "book").exists()


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    secrets = {"PAYMENT_API_KEY": "k", "PAYMENT_WEBHOOK_SECRET": "s"}
    return subprocess.run(
        [sys.executable, "-m", "paywarden.sandbox", *arguments],
        env={**os.environ, **secrets, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    """What the starter promises to every suite: nothing outlives a killed run."""
    script = (
        "import sys, pathlib, time\n"
        "from tests.sandbox_process import API_KEY, SandboxProcess\n"
        "print(SandboxProcess.start(pathlib.Path(sys.argv[1])).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()

    async def gone() -> bool:
        state = Path(f"/proc/{child}/stat")
        return not state.exists() or state.read_text("utf-8").rpartition(")")[2].split()[0] == "Z"

    assert await eventually(gone)
