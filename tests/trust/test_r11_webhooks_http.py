"""R11: webhooks forged or malformed, over keep-alive connections: none accepted, none a failure of ours, no row."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import psycopg
import pytest

from tests.stack import Stack, wait_until

pytestmark = pytest.mark.timeout(180)

ATTEMPTS = 2_000
CONNECTIONS = 8
Hostile = tuple[bytes, list[tuple[bytes, bytes]]]


def sign(body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def forged(body: bytes, secret: str, chance: random.Random) -> Iterator[list[bytes]]:
    """Signature headers of a well-formed event that prove nothing."""
    right = sign(body, secret)
    flipped = chance.randrange(64)
    yield []
    yield [b""]
    yield [sign(body, "another secret").encode()]
    yield [sign(body, secret + "\n").encode()]
    yield [sign(body + b" ", secret).encode()]
    yield [hashlib.sha256(body).hexdigest().encode()]
    yield [(right[:flipped] + ("0" if right[flipped] != "0" else "1") + right[flipped + 1 :]).encode()]
    yield [right[:-1].encode()]
    yield [(right + "0").encode()]
    yield [right.upper().encode() if right.upper() != right else b"0"]
    yield [f"sha256={right}".encode()]
    yield [base64.b64encode(bytes.fromhex(right))]
    yield [bytes(chance.randrange(0x80, 0x100) for _ in range(64))]
    yield [b"a" * 5_000]
    yield ["０".encode() * 21]
    yield [b"NaN"]
    yield [right.encode(), right.encode()]


def malformed(body: bytes, chance: random.Random) -> Iterator[bytes]:
    """Bodies that are no event, whoever signed them."""
    yield body[: chance.randrange(1, len(body) - 1)]
    yield body + b"}"
    yield body.replace(b"2500", b"NaN")
    yield body.replace(b"2500", b"-Infinity")
    yield body.replace(b"2500", b"1e999")
    yield body.replace(b"evt", b"\xff\xfe")
    yield body.replace(b"{", b'{"type": "other", ', 1)
    yield b""
    yield b"null"
    yield b"[" * 5_000 + b"]" * 5_000
    yield json.dumps([json.loads(body)]).encode()
    yield bytes(chance.randrange(256) for _ in range(200))
    yield b"\x00" + body
    yield body.decode().encode("utf-16")


def hostile(payment_id: str, provider_id: str, secret: str) -> Iterator[Hostile]:
    """Forged and malformed success events about a real payment, without end and never the same."""
    chance = random.Random(11)
    number = 0
    while True:
        number += 1
        metadata = {"internal_payment_id": payment_id}
        data = {"id": provider_id, "amount": 2500, "currency": "usd", "metadata": metadata}
        body = json.dumps({"id": f"evt_hostile_{number}", "type": "payment.succeeded", "data": data}).encode()
        for signatures in forged(body, secret, chance):
            yield body, [(b"X-Signature", value) for value in signatures]
        for bad in malformed(body, chance):
            yield bad, [(b"X-Signature", sign(bad, secret).encode())]


async def attack(stack: Stack, attempts: int) -> dict[str, Any]:
    """Send them over a few connections; what was answered, and what it left behind."""
    async with stack.async_client() as http:
        # The provider's own event comes after the test.
        control = stack.sandbox()
        await control.arm("duplicate_webhook", operation="submit", customer="the target", seconds=900, times=1)
        body = {"user_id": "the target", "amount_cents": 2500, "currency": "usd"}
        target = (await http.post("/payments", json=body)).json()
        await control.close()
    known = _foreign_rows(stack)
    arsenal = hostile(target["payment_id"], target["provider_payment_id"], stack.webhook_secret())
    shots = list(islice(arsenal, attempts))
    answers: Counter[int] = Counter()
    began = time.monotonic()
    await asyncio.gather(*(_shoot(stack, shots[part::CONNECTIONS], answers) for part in range(CONNECTIONS)))
    with stack.client() as http:
        status = http.get(f"/payments/{target['payment_id']}").json()["status"]
    return {
        "accepted": sum(count for code, count in answers.items() if code < 300),
        "failures of ours": sum(count for code, count in answers.items() if code >= 500),
        "rows": _foreign_rows(stack) - known,
        "status": status,
        "answers": dict(answers),
        "seconds": round(time.monotonic() - began, 1),
        "target": target,
    }


async def _shoot(stack: Stack, shots: list[Hostile], answers: Counter[int]) -> None:
    async with stack.async_client() as http:
        for body, headers in shots:
            sent = [(b"Content-Type", b"application/json"), *headers]
            answers[(await http.post("/webhooks/payments", content=body, headers=sent)).status_code] += 1


def _foreign_rows(stack: Stack) -> int:
    """Events in the inbox that the sandbox did not send."""
    with psycopg.connect(stack.superuser_url()) as connection:
        query = "select count(*) from paywarden.webhook_inbox where event_key not like 'sbxevt%'"
        return int(connection.execute(query).fetchall()[0][0])


async def test_two_thousand_hostile_events_change_nothing(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    seen = await attack(stack, ATTEMPTS)
    with capsys.disabled():
        print(f"\nR11: {ATTEMPTS} hostile events in {seen['seconds']} s, answers {seen['answers']}")
    assert sum(seen["answers"].values()) == ATTEMPTS
    assert (seen["accepted"], seen["failures of ours"], seen["rows"], seen["status"]) == (0, 0, 0, "pending")
    _the_true_event_is_accepted(stack, seen["target"])


def _the_true_event_is_accepted(stack: Stack, target: dict[str, str]) -> None:
    """The target was in reach all the time: one right signature settles it."""
    event = {"id": "evt_true", "type": "payment.succeeded", "data": {"id": target["provider_payment_id"]}}
    body = json.dumps(event).encode()
    with stack.client() as http:
        headers = {"X-Signature": sign(body, stack.webhook_secret())}
        assert http.post("/webhooks/payments", content=body, headers=headers).status_code == 200
        wait_until(lambda: http.get(f"/payments/{target['payment_id']}").json()["status"] == "succeeded", 20)


async def test_a_door_that_takes_any_signature_is_caught(broken_stack: Stack) -> None:
    seen = await attack(broken_stack, 64)
    assert seen["accepted"] > 0
    assert seen["rows"] > 0
