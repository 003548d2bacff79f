"""Compose the desk that flows work with: pool, provider, policies, adviser, embedder."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from paywarden.app.early_checks import require_provider
from paywarden.app.embedders import embedder_of
from paywarden.db.pool import open_pool
from paywarden.decisions.adviser import Adviser
from paywarden.decisions.claude import ClaudeAdviser
from paywarden.decisions.prompt import AdviceThresholds
from paywarden.decisions.rules import RulesAdviser
from paywarden.flow.desk import DEFAULT_PROVIDER, Desk
from paywarden.flow.policy_file import policies_in_force
from paywarden.guardrails import thresholds
from paywarden.providers.rest import RestProvider
from paywarden.settings import Settings


def desk_opener(
    settings: Settings, *, preload: bool, stopping: asyncio.Event | None = None
) -> Callable[[], AbstractAsyncContextManager[Desk]]:
    """How an API or worker process gets its desk and gives everything back at its end.

    With ``preload`` the embedder is loaded beside the first work, else (120 MB saved) when a text first needs it.
    ``stopping``: set when the process shall end.
    """

    @asynccontextmanager
    async def open_desk() -> AsyncIterator[Desk]:
        policies = policies_in_force(settings)
        provider = RestProvider(*require_provider(settings), payouts=settings.payment_api_payouts)
        embedder = embedder_of(settings)
        try:
            async with _adviser(settings) as adviser, open_pool(settings.service_url, settings) as pool:
                loading = asyncio.create_task(embedder.preload()) if preload else None
                yield Desk(
                    settings,
                    pool,
                    {DEFAULT_PROVIDER: provider},
                    policies,
                    adviser,
                    embedder,
                    stopping or asyncio.Event(),
                )
                if loading is not None:
                    loading.cancel()
        finally:
            await embedder.close()
            await provider.close()

    return open_desk


@asynccontextmanager
async def _adviser(settings: Settings) -> AsyncIterator[Adviser]:
    """Claude where ANTHROPIC_API_KEY is set, else the offline rules."""
    if settings.anthropic_api_key is None:
        yield RulesAdviser()
        return
    claude = ClaudeAdviser(
        settings.anthropic_api_key.get_secret_value(),
        AdviceThresholds(thresholds.ADVISED_MIN_CONFIDENCE, thresholds.DENIED_MIN_CONFIDENCE),
        model=settings.adviser_model,
        max_tokens=settings.adviser_max_tokens,
        effort=settings.adviser_effort,
        timeout_seconds=settings.model_timeout_seconds,
        base_url=settings.anthropic_base_url,
    )
    try:
        yield claude
    finally:
        await claude.close()
