"""A desk over a real database and a real sandbox, and the HTTP door in front of it."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import structlog

from paywarden.db.pool import Pool
from paywarden.decisions.rules import RulesAdviser
from paywarden.flow.desk import DEFAULT_PROVIDER, Desk
from paywarden.guardrails.cedar import shipped
from paywarden.memory.local_embedder import UniversalSentenceEmbedder
from paywarden.providers.rest import RestProvider
from paywarden.settings import Settings
from tests.doors.door import SETTLES_AFTER_SECONDS, Door, application, open_door
from tests.doors.server import serving
from tests.sandbox_process import SandboxProcess


@pytest.fixture(scope="session")
def door_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """One sandbox for all tests of this run: its book is keyed by our ids, which never repeat."""
    folder = tmp_path_factory.mktemp("door") / "sandbox"
    process = SandboxProcess.start(folder, webhook_delay_seconds=SETTLES_AFTER_SECONDS)
    yield process
    process.stop()


@pytest.fixture
def door_settings(settings: Settings, door_sandbox: SandboxProcess) -> Settings:
    return Settings.load(
        _env_file=None,
        database_url=settings.service_url,
        data_dir=settings.data_dir,
        payment_api_url=door_sandbox.url,
        payment_api_key=door_sandbox.api_key,
        payment_webhook_secret=door_sandbox.webhook_secret,
        keyless_quickstart=True,
        provider_timeout_seconds=3,
        lease_seconds=5,
        answer_timeout_seconds=5,
        pool_max=16,
    )


@pytest.fixture
def quiet() -> Iterator[None]:
    """Without a configuration structlog prints every failure with all its locals, which takes longer than the tests."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
async def door_desk(
    quiet: None,
    pool: Pool,
    door_settings: Settings,
    embedder: UniversalSentenceEmbedder,
    door_sandbox: SandboxProcess,
) -> AsyncIterator[Desk]:
    provider = RestProvider(door_sandbox.url, door_sandbox.api_key, payouts=True)
    yield Desk(door_settings, pool, {DEFAULT_PROVIDER: provider}, shipped(), RulesAdviser(), embedder)
    await provider.close()


@pytest.fixture
async def door(door_desk: Desk, door_sandbox: SandboxProcess) -> AsyncIterator[Door]:
    """The application itself, spoken to without a network; what depends on the server is tested on the server."""

    @asynccontextmanager
    async def open_desk() -> AsyncIterator[Desk]:
        yield door_desk

    control = door_sandbox.control()
    async with open_door(application(open_desk), door_desk, control) as opened:
        yield opened
    await control.close()


@pytest.fixture
async def served(door_desk: Desk, door_sandbox: SandboxProcess) -> AsyncIterator[Door]:
    """The door on the real server; the sandbox sends its events there."""

    @asynccontextmanager
    async def open_desk() -> AsyncIterator[Desk]:
        yield door_desk

    app, control = application(open_desk), door_sandbox.control()
    async with serving(app) as local:
        await control.change_settings(webhook_url=f"{local.base_url}/webhooks/payments")
        yield Door(app, door_desk, local, control)
        await control.change_settings(webhook_url=None)
    await control.close()
