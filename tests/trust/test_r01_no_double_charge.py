"""R1: no double charge, no lost payment, whatever dies at whatever moment while answers get lost."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stack import Stack
from tests.trust.crash_trial import Chaos, Outcome, judge
from tests.trust.traffic import Traffic
from tests.trust.twin import Mistake, broken_package

pytestmark = pytest.mark.timeout(540)

# Events come as late as the sandbox sends them by default: nothing but our own care stands before a second charge.
CALM = {
    "PAYWARDEN_SANDBOX_WEBHOOK_DELAY_SECONDS": "2",
    "PAYWARDEN_FETCH_FIRST_SECONDS": "5",
    "PAYWARDEN_SETTLED_SECONDS": "0.5",
}
NEVER_ASKS: Mistake = (
    "flow/resolve.py",
    "    known = await _ask_provider(desk, payment, operation)\n    match known:",
    "    known: ProviderPayment | NotFound | Transient | Unknown = NotFound()\n    match known:",
)
FRESH_KEY: Mistake = (
    "flow/submit.py",
    "operation.body, operation.idempotency_key)",
    'operation.body, f"{operation.idempotency_key}-{operation.attempts}")',
)
NO_ANSWER_IS_NO: Mistake = (
    "flow/submit.py",
    "            case Declined() | Invalid() | Unknown():\n",
    "            case Unknown():\n                await _refuse(connection, payment, operation, answer)\n"
    "            case Declined() | Invalid():\n",
)


@contextmanager
def running(data: Path, package: Path | None = None) -> Iterator[Stack]:
    stack = Stack(data, package=package, **CALM)
    try:
        yield stack.start()
        stack.stop()
    finally:
        stack.end()


async def attack(stack: Stack, payments: int, kills: int, pick: Callable[[], str]) -> tuple[Outcome, str]:
    """Payments by 16 callers while children are killed and every tenth answer is lost after charging."""
    control = stack.sandbox()
    await control.arm("drop_after_charge", rate=0.1, operation="submit")
    traffic = Traffic(lambda: stack.url, payments, clients=16, limit_seconds=420)
    chaos = Chaos(stack, pick, (0.3, 1.5))
    began = time.monotonic()
    await asyncio.gather(traffic.run(), chaos.run(kills))
    paid_seconds = time.monotonic() - began
    outcome = await judge(stack, traffic, settle_seconds=60)
    await control.close()
    total_seconds = time.monotonic() - began
    return outcome, (
        f"{payments} payments in {paid_seconds:.0f} s, final after {total_seconds:.0f} s, kills {chaos.kills}, "
        f"other answers {traffic.refused}, charged {outcome.charged}, succeeded {outcome.succeeded}"
    )


async def test_sixty_kills_over_two_thousand_payments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path / "data") as stack:
        outcome, figures = await attack(stack, 2_000, 60, lambda: random.choice(["worker", "worker", "worker", "api"]))
        with capsys.disabled():
            print(f"\nR1: {figures}")
        assert outcome.problems == {}, figures
        assert (outcome.charged, outcome.succeeded) == (2_000, 2_000)


@pytest.mark.parametrize(
    ("mistakes", "caught_as"),
    [
        pytest.param((NEVER_ASKS, FRESH_KEY), "charged twice", id="a retrying worker without a stored key"),
        pytest.param((NO_ANSWER_IS_NO,), "told to be declined", id="no answer taken for a no"),
    ],
)
async def test_the_same_check_catches_a_broken_twin(
    tmp_path: Path, mistakes: tuple[Mistake, ...], caught_as: str
) -> None:
    with running(tmp_path / "data", broken_package(tmp_path / "twin", *mistakes)) as stack:
        outcome, figures = await attack(stack, 200, 4, lambda: random.choice(["worker", "api"]))
        assert caught_as in outcome.problems, figures
