"""A real provider, watched: every request it was handed, and a word in before or after the real call."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from paywarden.flow.desk import DEFAULT_PROVIDER
from paywarden.providers.port import Answer, PreparedRequest
from tests.flow.stage import Stage

Before = Callable[[PreparedRequest], Awaitable[Answer | None]]


class WatchedProvider:
    """Hands everything to the real provider. ``before`` may answer in its place, or only take its time."""

    def __init__(self, real: Any, before: Before | None = None) -> None:
        self._real, self.before = real, before
        self.sent: list[PreparedRequest] = []
        self.fetched = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def send(self, request: PreparedRequest, timeout_seconds: float) -> Answer:
        self.sent.append(request)
        answer = await self.before(request) if self.before else None
        return answer or await self._real.send(request, timeout_seconds)

    async def fetch(self, *given: Any) -> Any:
        self.fetched += 1
        return await self._real.fetch(*given)

    async def fetch_by_reference(self, *given: Any) -> Any:
        self.fetched += 1
        return await self._real.fetch_by_reference(*given)


def watch(stage: Stage, before: Before | None = None) -> WatchedProvider:
    """Put a watcher between this stage (as everybody sees it from now on) and its provider."""
    watched = WatchedProvider(stage.desk.providers[DEFAULT_PROVIDER], before)
    stage.desk = replace(stage.desk, providers={DEFAULT_PROVIDER: watched})
    return watched
