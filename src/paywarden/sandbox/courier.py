"""Delivers due events to the receiver, signed over the raw body, until it answers 2xx."""

import asyncio
import contextlib
import hashlib
import hmac

import httpx

from paywarden.sandbox import outbox
from paywarden.sandbox.book import Book

_AT_ONCE = 32
_ATTEMPT_SECONDS = 5.0


def sign(body: bytes, secret: str) -> str:
    """The ``X-Signature`` of a body: hex HMAC-SHA256."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Courier:
    """Carries what is due from the outbox, up to 32 at once. Without a webhook URL the events wait."""

    def __init__(self, book: Book, secret: str) -> None:
        self._book, self._secret = book, secret

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with httpx.AsyncClient(timeout=_ATTEMPT_SECONDS, trust_env=False) as client:
            while True:
                self._book.written.clear()
                if not await self._round(client):
                    await self._rest()

    async def _rest(self) -> None:
        """Until the next delivery is due, or until somebody writes into the book."""
        seconds = await self._book.run(outbox.seconds_to_next) if self._book.settings.webhook_url else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._book.written.wait()

    async def _round(self, client: httpx.AsyncClient) -> bool:
        """Attempt what is due once; whether there was anything."""
        url = self._book.settings.webhook_url
        due = await self._book.run(lambda tx: outbox.due_deliveries(tx, _AT_ONCE)) if url else []
        if not url or not due:
            return False
        taken = await asyncio.gather(*(self._deliver(client, url, row["body"].encode()) for row in due))
        delivered = [row["id"] for row, ok in zip(due, taken, strict=True) if ok]
        refused = [row["id"] for row, ok in zip(due, taken, strict=True) if not ok]
        await self._book.run(lambda tx: outbox.record_attempts(tx, delivered, refused))
        return True

    async def _deliver(self, client: httpx.AsyncClient, url: str, body: bytes) -> bool:
        headers = {"Content-Type": "application/json", "X-Signature": sign(body, self._secret)}
        try:
            response = await client.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL):
            return False
        return response.is_success
