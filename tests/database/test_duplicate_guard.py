"""The duplicate guard under races and time: a keyless repeat within ten minutes is held, every time."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from paywarden.db.pool import Pool
from paywarden.db.transaction import transaction
from paywarden.guardrails import duplicate_store
from paywarden.guardrails.duplicate_store import suspect
from paywarden.guardrails.duplicates import fingerprint
from paywarden.guardrails.thresholds import DUPLICATE_WINDOW_MINUTES
from paywarden.identity import tenants
from paywarden.kit import ids
from tests.conftest import FrozenClock

TENANT, OTHER = ids.new_uuid(), ids.new_uuid()
WINDOW_SECONDS = DUPLICATE_WINDOW_MINUTES * 60


@pytest.fixture
async def guarded(pool: Pool) -> Pool:
    for tenant_id, name in ((TENANT, "here"), (OTHER, "there")):
        async with transaction(pool, tenant_id) as connection:
            await tenants.create(connection, tenant_id, name, "test")
    return pool


def look(reference: str | None = None) -> bytes:
    return fingerprint(
        principal_id=UUID(int=1),
        kind="charge",
        counterparty="user_42",
        amount_minor=2500,
        currency="usd",
        reference=reference,
    )


async def ask(pool: Pool, reference: str | None = None, *, keyed: bool = False, tenant_id: UUID = TENANT) -> bool:
    async with transaction(pool, tenant_id) as connection:
        return await suspect(connection, look(reference), keyed=keyed)


async def test_a_repeat_is_suspected_until_ten_minutes_after_the_first(
    guarded: Pool, frozen_clock: FrozenClock
) -> None:
    assert not await ask(guarded)
    assert await ask(guarded)
    frozen_clock.advance(WINDOW_SECONDS)
    assert await ask(guarded)
    frozen_clock.advance(0.001)
    assert not await ask(guarded)
    assert await ask(guarded)


async def test_a_keyed_request_is_never_suspected_but_always_leaves_its_mark(
    guarded: Pool, frozen_clock: FrozenClock
) -> None:
    assert not await ask(guarded, keyed=True)
    assert not await ask(guarded, keyed=True)
    assert await ask(guarded)
    frozen_clock.advance(WINDOW_SECONDS - 1)
    assert not await ask(guarded, keyed=True)
    frozen_clock.advance(2)
    assert await ask(guarded)


async def test_other_references_and_other_tenants_are_never_held(guarded: Pool) -> None:
    held = [await ask(guarded, f"ORD-{number}") for number in range(20)]
    assert held == [False] * 20
    assert not await ask(guarded)
    assert not await ask(guarded, tenant_id=OTHER)


async def test_what_was_rolled_back_left_no_mark(guarded: Pool) -> None:
    async with transaction(guarded, TENANT) as connection, connection.transaction(force_rollback=True):
        assert not await suspect(connection, look(), keyed=False)
    assert not await ask(guarded)


async def race(pool: Pool) -> list[int]:
    """How many of eight requests at once were not suspected, for each of 20 payments."""
    asked = await asyncio.gather(*(ask(pool, f"ORD-{number // 8}") for number in range(160)))
    first = Counter(number // 8 for number, suspected in enumerate(asked) if not suspected)
    return [first[number] for number in range(20)]


@pytest.mark.both_versions
async def test_of_many_at_once_exactly_one_is_the_first(guarded: Pool) -> None:
    assert await race(guarded) == [1] * 20


async def test_that_race_catches_a_guard_that_looks_before_it_writes(
    guarded: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: check, then set."""
    sound = duplicate_store.suspect
    seen = "select 1 from paywarden.duplicate_guards where fingerprint = %s"

    async def check_then_set(connection: duplicate_store.Connection, mark: bytes, *, keyed: bool) -> bool:
        known = await (await connection.execute(seen, [mark])).fetchone()
        await sound(connection, mark, keyed=True)
        return known is not None

    monkeypatch.setitem(globals(), "suspect", check_then_set)
    assert max(await race(guarded)) > 1
