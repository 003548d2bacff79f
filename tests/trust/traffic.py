"""Callers that pay as a careful program does: one idempotency key a payment, asked again until it is answered."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from paywarden.kit.tls import trusted_for

_PAUSE_SECONDS = (0.05, 0.4)


@dataclass
class Traffic:
    """``wanted`` payments by ``clients`` callers at once, at most ``limit_seconds`` long."""

    url: Callable[[], str]
    wanted: int
    clients: int
    limit_seconds: float
    name: str = "run"
    # What was acknowledged with 2xx, by idempotency key; and by status, how often something else was answered.
    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    contradicted: list[str] = field(default_factory=list)
    declined: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Returns when every payment is acknowledged."""
        numbers = iter(range(self.wanted))
        async with asyncio.timeout(self.limit_seconds), asyncio.TaskGroup() as callers:
            for _ in range(self.clients):
                callers.create_task(self._caller(numbers))

    async def _caller(self, numbers: Iterator[int]) -> None:
        async with httpx.AsyncClient(timeout=20, trust_env=False, verify=trusted_for(self.url())) as http:
            for number in numbers:
                await self._pay(http, number)

    async def _pay(self, http: httpx.AsyncClient, number: int) -> None:
        key = f"{self.name}-{number}"
        body = {"user_id": f"user_{number % 50}", "amount_cents": 100 + number, "currency": "usd", "reference": key}
        while True:
            answer = await self._ask(http, key, body)
            if answer is not None:
                if answer:
                    self._acknowledge(key, str(answer["payment_id"]))
                return
            await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))

    async def _ask(self, http: httpx.AsyncClient, key: str, body: dict[str, object]) -> dict[str, object] | None:
        try:
            response = await http.post(f"{self.url()}/payments", json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError as error:
            self._count(type(error).__name__)
            return None
        if response.is_success:
            answer: dict[str, object] = response.json()
            return answer
        self._count(str(response.status_code))
        if response.status_code == 402:
            self.declined.append(key)
            return {}
        patience = response.headers.get("retry-after", "")
        if response.status_code not in {409, 503} or not patience.isdigit():
            self.unexpected.append(f"{response.status_code} {response.text}")
        return None

    def _acknowledge(self, key: str, payment_id: str) -> None:
        if self.acknowledged.setdefault(key, payment_id) != payment_id:
            self.contradicted.append(key)

    def _count(self, what: str) -> None:
        self.refused[what] = self.refused.get(what, 0) + 1


async def until(condition: Callable[[], bool], limit_seconds: float) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + limit_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.2)
    return True
