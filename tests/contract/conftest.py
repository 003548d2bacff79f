"""The providers that the contract suite runs over: a sandbox in its own process, reached over real HTTP."""

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from paywarden.providers.port import Order
from paywarden.providers.rest import RestProvider
from paywarden.sandbox.control import SandboxControl
from tests.contract.receiver import Receiver
from tests.sandbox_process import SandboxProcess

EVENT_DELAY_SECONDS = 0.15
_numbers = count(1)


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    folder = tmp_path_factory.mktemp("sandbox")
    process = SandboxProcess.start(folder, webhook_delay_seconds=EVENT_DELAY_SECONDS)
    yield process
    assert process.stop() == 0
    assert process.stderr() == ""


@pytest.fixture
async def sandbox(shared_sandbox: SandboxProcess) -> SandboxProcess:
    """The shared sandbox with nothing armed and its first settings."""
    control = shared_sandbox.control()
    await control.disarm()
    await control.change_settings(
        webhook_url=None,
        webhook_delay_seconds=EVENT_DELAY_SECONDS,
        duplicate_webhooks=0,
        shuffle_webhooks=False,
    )
    await control.close()
    return shared_sandbox


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox of this test alone, to be killed, moved in time or filled."""
    process = SandboxProcess.start(tmp_path / "book", webhook_delay_seconds=EVENT_DELAY_SECONDS)
    yield process
    process.stop()
    assert process.stderr() == ""


@pytest.fixture
async def control(sandbox: SandboxProcess) -> AsyncIterator[SandboxControl]:
    client = sandbox.control()
    yield client
    await client.close()


@pytest.fixture(params=["rest"])
async def provider(request: pytest.FixtureRequest, sandbox: SandboxProcess) -> AsyncIterator[RestProvider]:
    """Every provider that must keep the port's promises, at a provider world that can misbehave."""
    adapter = {"rest": RestProvider}[request.param](sandbox.url, sandbox.api_key, payouts=True)
    yield adapter
    await adapter.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    listening = Receiver()
    await listening.open()
    yield listening
    await listening.close()


@pytest.fixture
def new_order() -> Callable[..., Order]:
    """Orders to submit 25.00 USD, each with a reference of its own; keywords replace fields."""

    def make(**fields: object) -> Order:
        values: dict[str, object] = {
            "kind": "submit",
            "our_reference": f"pay_{next(_numbers):026}",
            "amount_minor": 2500,
            "currency": "usd",
            "customer": "user_42",
            "description": "an order",
            "agent": "agt_1",
        }
        return Order(**{**values, **fields})  # type: ignore[arg-type]

    return make
