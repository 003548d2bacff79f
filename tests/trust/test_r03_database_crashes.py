"""R3: the database crashes under load. What was acknowledged is there, and the service heals by itself."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.stack import Stack
from tests.trust.crash_trial import Outcome, judge
from tests.trust.traffic import Traffic, until
from tests.trust.twin import Mistake, broken_package

pytestmark = pytest.mark.timeout(300)

# An immediate stop between two ends without any.
CRASHES = (signal.SIGKILL, signal.SIGQUIT, signal.SIGKILL)
Crashes = Sequence[signal.Signals]
COMMITS_IN_MEMORY: Mistake = (
    "db/embedded.py",
    '"synchronous_commit": "on",',
    '"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB",',
)


@contextmanager
def running(data: Path, package: Path | None = None) -> Iterator[Stack]:
    stack = Stack(data, package=package, PAYWARDEN_SETTLED_SECONDS="0.5")
    try:
        yield stack.start()
        stack.stop()
    finally:
        stack.end()


async def attack(stack: Stack, payments: int, crashes: Crashes, settle_seconds: float) -> tuple[Outcome, str]:
    """Crash the database again and again while payments are acknowledged."""
    traffic = Traffic(lambda: stack.url, payments, clients=16, limit_seconds=180)
    healed: list[float] = []
    began = time.monotonic()
    await asyncio.gather(traffic.run(), _crash(stack, traffic, crashes, healed))
    outcome = await judge(stack, traffic, settle_seconds)
    return outcome, (
        f"{payments} payments and {len(crashes)} crashes in {time.monotonic() - began:.0f} s, acknowledging again "
        f"after {', '.join(f'{seconds:.1f}' for seconds in healed)} s, other answers {traffic.refused}"
    )


async def _crash(stack: Stack, traffic: Traffic, crashes: Crashes, healed: list[float]) -> None:
    """Spread the crashes evenly over the payments; wait each time until the service acknowledges again."""
    for number, crash in enumerate(crashes, start=1):
        enough = traffic.wanted * number // (len(crashes) + 1)
        assert await until(lambda enough=enough: len(traffic.acknowledged) >= enough, 120)
        crashed = stack.children()["postgresql"]
        os.kill(crashed, crash)
        began = time.monotonic()
        assert await until(lambda crashed=crashed: stack.children().get("postgresql", crashed) != crashed, 30)
        so_far = len(traffic.acknowledged)
        assert await until(lambda so_far=so_far: len(traffic.acknowledged) > so_far, 30), "it does not heal"
        healed.append(time.monotonic() - began)


async def test_what_was_acknowledged_survives_three_crashes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path / "data") as stack:
        outcome, figures = await attack(stack, 300, CRASHES, settle_seconds=60)
        with capsys.disabled():
            print(f"\nR3: {figures}")
        assert outcome.problems == {}, figures
        assert (outcome.charged, outcome.succeeded) == (300, 300)


async def test_commits_that_are_only_in_memory_are_caught(tmp_path: Path) -> None:
    with running(tmp_path / "data", broken_package(tmp_path / "twin", COMMITS_IN_MEMORY)) as stack:
        with psycopg.connect(stack.superuser_url(), autocommit=True) as connection:
            connection.execute("checkpoint")  # or the crash would take the whole schema with it
        outcome, figures = await attack(stack, 80, CRASHES[:2], settle_seconds=5)
        assert "acknowledged, but not in our book" in outcome.problems, (figures, outcome.problems)
