"""A whole desk for flow tests: real database, real sandbox provider over HTTP, real embedder."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from paywarden.db.pool import Pool
from paywarden.decisions.rules import RulesAdviser
from paywarden.flow import access
from paywarden.flow.desk import DEFAULT_PROVIDER, Actor, Desk
from paywarden.guardrails.cedar import shipped
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.memory.local_embedder import UniversalSentenceEmbedder
from paywarden.providers.rest import RestProvider
from paywarden.settings import Settings
from tests.flow.stage import Stage
from tests.flow.world import reaper, world
from tests.sandbox_process import SandboxProcess

__all__ = ["desk", "flow_settings", "reaper", "sandbox", "sandbox_of_session", "stage", "world"]
_DELAY_SECONDS = 0.3


@pytest.fixture(scope="session")
def sandbox_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    process = SandboxProcess.start(tmp_path_factory.mktemp("sandbox"), webhook_delay_seconds=_DELAY_SECONDS)
    yield process
    process.stop()


@pytest.fixture
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SandboxProcess]:
    """A provider of this test alone, or one of many tests if it is marked ``shared_sandbox``.

    The shared one is alive and without faults at the start of each; its book and its clock run on.
    """
    marker = request.node.get_closest_marker("shared_sandbox")
    if marker is None or marker.args == (False,):
        process = SandboxProcess.start(tmp_path / "sandbox", webhook_delay_seconds=_DELAY_SECONDS)
        yield process
        process.stop()
        return
    shared: SandboxProcess = request.getfixturevalue("sandbox_of_session")
    if not shared.runs:
        shared.restart()
    control = shared.control()
    await control.disarm()
    await control.change_settings(webhook_delay_seconds=_DELAY_SECONDS)
    await control.close()
    yield shared


@pytest.fixture
def flow_settings(settings: Settings, sandbox: SandboxProcess) -> Settings:
    """Short waits; leases of at most five seconds."""
    return Settings.load(
        _env_file=None,
        database_url=settings.service_url,
        data_dir=settings.data_dir,
        payment_api_url=sandbox.url,
        payment_api_key=sandbox.api_key,
        payment_webhook_secret=sandbox.webhook_secret,
        provider_timeout_seconds=2,
        lease_seconds=4,
        fetch_first_seconds=0.2,
        fetch_backoff_max_seconds=1,
        answer_timeout_seconds=3,
        pool_max=16,
    )


@pytest.fixture
async def desk(
    pool: Pool, flow_settings: Settings, embedder: UniversalSentenceEmbedder, sandbox: SandboxProcess
) -> AsyncIterator[Desk]:
    provider = RestProvider(sandbox.url, sandbox.api_key, payouts=True)
    yield Desk(flow_settings, pool, {DEFAULT_PROVIDER: provider}, shipped(), RulesAdviser(), embedder)
    await provider.close()


@pytest.fixture
async def stage(desk: Desk, sandbox: SandboxProcess) -> AsyncIterator[Stage]:
    """The quick-start tenant with its keyless principal and its administrator, at a sandbox."""
    control = sandbox.control()
    key = await access.create_admin_key(desk.pool, QUICKSTART_TENANT_ID)
    admin = Actor(await access.authenticate(desk.pool, key))
    agent = Actor(await access.quickstart_principal(desk))
    yield Stage(desk, control, agent, admin)
    await control.close()
