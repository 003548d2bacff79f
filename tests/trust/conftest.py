"""The broken twin of the service that is attacked over HTTP."""

from collections.abc import Iterator

import pytest

from tests.stack import Stack
from tests.trust.twin import Mistake, broken_package

ANY_SIGNATURE: Mistake = (
    "providers/rest_events.py",
    '        raise SignatureError("the signature does not match")',
    "        pass",
)
EVERY_KEY_IS_NEW: Mistake = (
    "payments/idempotency.py",
    "return (await connection.execute(SQL.register_key, values)).rowcount == 1",
    "return (await connection.execute(SQL.register_key, values)).rowcount >= 0",
)
NOTHING_IS_A_REPEAT: Mistake = (
    "guardrails/queries.sql",
    "make_interval(mins => %(window_minutes)s)",
    "make_interval(mins => 0 * %(window_minutes)s)",
)


@pytest.fixture(scope="session")
def broken_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The service with one mistake in each of three guards, which have nothing to do with one another."""
    folder = tmp_path_factory.mktemp("twin")
    package = broken_package(folder / "package", ANY_SIGNATURE, EVERY_KEY_IS_NEW, NOTHING_IS_A_REPEAT)
    started = Stack(folder / "data", package=package)
    try:
        yield started.start()
        started.stop()
    finally:
        started.end()
