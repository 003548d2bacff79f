"""Idempotency keys: the same key and request get the stored answer, another request is refused; kept for 24 hours."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paywarden.sandbox.book import Transaction
from paywarden.sandbox.refusals import RefusedError

KEY_WINDOW_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Request:
    """What a key is bound to: the path and the exact bytes of the body."""

    path: str
    body: bytes
    key: str | None

    @property
    def fingerprint(self) -> bytes:
        return hashlib.sha256(self.path.encode() + b"\n" + self.body).digest()


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, and whether it was replayed from an earlier call."""

    body: dict[str, Any]
    replayed: bool


def answer_once(transaction: Transaction, request: Request, work: Callable[[], dict[str, Any]]) -> Answer:
    """The stored answer of this key, else that of ``work``, stored with it. Refusals are not stored.

    Raises RefusedError 422 when the key belongs to another request, and whatever ``work`` raises.
    """
    if request.key is None:
        return Answer(work(), replayed=False)
    transaction.run("DELETE FROM idempotency_keys WHERE created_at <= ?", transaction.now_ms - KEY_WINDOW_MS)
    row = transaction.one("SELECT fingerprint, answer FROM idempotency_keys WHERE key = ?", request.key)
    if row is not None:
        if row["fingerprint"] != request.fingerprint:
            raise RefusedError(422, "idempotency_key_reused", "the idempotency key belongs to another request")
        return Answer(json.loads(row["answer"]), replayed=True)
    body = work()
    transaction.run(
        "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?)",
        request.key,
        request.fingerprint,
        json.dumps(body),
        transaction.now_ms,
    )
    return Answer(body, replayed=False)
