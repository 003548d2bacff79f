"""A small client of the control routes, for tests and the demo."""

from typing import Any

import httpx

from paywarden.kit.tls import trusted_for
from paywarden.sandbox.faults import Fault, Operation


class SandboxControl:
    """Drives one running sandbox. A refused call raises httpx.HTTPStatusError."""

    def __init__(self, url: str, api_key: str) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        self._client = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=30, trust_env=False, verify=trusted_for(url)
        )

    async def arm(
        self,
        fault: Fault | str,
        *,
        rate: float = 1.0,
        times: int | None = None,
        operation: Operation | None = None,
        reference: str | None = None,
        customer: str | None = None,
        seconds: float | None = None,
    ) -> None:
        """Let a fault strike the requests that match; without an operation, every one that moves money."""
        match = {"reference": reference, "customer": customer}
        body = {"fault": fault, "rate": rate, "times": times, "operation": operation, "seconds": seconds}
        await self._call("POST", "/_sandbox/faults", {**body, "match": match})

    async def disarm(self) -> None:
        """Disarm every fault."""
        await self._call("DELETE", "/_sandbox/faults")

    async def change_settings(self, **changes: Any) -> dict[str, Any]:
        """Change ``webhook_url, webhook_delay_seconds, duplicate_webhooks, shuffle_webhooks``; returns all of them."""
        return await self._call("POST", "/_sandbox/settings", changes)

    async def advance_clock(self, seconds: float) -> None:
        """Move the sandbox's clock forward."""
        await self._call("POST", "/_sandbox/clock", {"advance_seconds": seconds})

    async def resend_webhooks(self, reference: str | None = None) -> int:
        """Deliver due events once more; returns how many."""
        answer = await self._call("POST", "/_sandbox/webhooks:resend", {"reference": reference})
        return int(answer["deliveries"])

    async def book(self) -> dict[str, Any]:
        """The provider's truth: ``payments, refunds, charges, refunded, undelivered``."""
        return await self._call("GET", "/_sandbox/book")

    async def close(self) -> None:
        await self._client.aclose()

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = await self._client.request(method, path, json=body)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer
