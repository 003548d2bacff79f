"""Mandates in their tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from paywarden.db.pool import Pool
from paywarden.db.transaction import transaction
from paywarden.guardrails import mandate_store
from paywarden.guardrails.mandate_terms import MandateTerms
from paywarden.guardrails.mandates import Limit
from paywarden.identity import principals, tenants
from paywarden.kit import ids
from paywarden.kit.errors import InvalidFieldError, NotFoundError
from tests.conftest import FrozenClock

TENANT, OTHER = ids.new_uuid(), ids.new_uuid()
LIMITS = (Limit("eur", "day", 5), Limit("usd", "day", 100_000), Limit("usd", "payment", 500))


@pytest.fixture
async def terms(pool: Pool) -> MandateTerms:
    """Terms for an agent of a tenant; a second tenant is there too."""
    async with transaction(pool, OTHER) as connection:
        await tenants.create(connection, OTHER, "there", "test")
    async with transaction(pool, TENANT) as connection:
        await tenants.create(connection, TENANT, "here", "test")
        agent = await principals.ensure(connection, "agent", "agent-risk-01", ["initiate"])
    return MandateTerms(agent.id, "small charges", ("charge", "refund"), LIMITS, "Europe/Berlin", ("a", "b"))


async def test_a_mandate_is_kept_as_its_terms_say(pool: Pool, terms: MandateTerms, frozen_clock: FrozenClock) -> None:
    until = datetime(2031, 1, 1, tzinfo=UTC)
    async with transaction(pool, TENANT) as connection:
        mandate = await mandate_store.create(connection, replace(terms, valid_until=until))
        assert await mandate_store.find(connection, mandate.id) == mandate
    assert (mandate.principal_id, mandate.name, mandate.timezone) == (terms.principal_id, terms.name, terms.timezone)
    assert (mandate.kinds, mandate.payees) == (frozenset(terms.kinds), frozenset({"a", "b"}))
    assert mandate.limits == LIMITS
    assert (mandate.valid_from, mandate.valid_until) == (frozen_clock.now, until)
    assert (mandate.status, mandate.version) == ("active", 1)


async def test_mandates_are_listed_oldest_first(pool: Pool, terms: MandateTerms) -> None:
    async with transaction(pool, TENANT) as connection:
        other = await principals.ensure(connection, "agent", "agent-risk-02", ["initiate"])
        made = [
            await mandate_store.create(connection, replace(terms, name=str(number), payees=None)) for number in range(3)
        ]
        foreign = await mandate_store.create(connection, replace(terms, principal_id=other.id))
        assert await mandate_store.of_principal(connection, terms.principal_id) == made
        assert await mandate_store.all_mandates(connection) == [*made, foreign]


async def test_a_revoked_mandate_stays_revoked(pool: Pool, terms: MandateTerms) -> None:
    async with transaction(pool, TENANT) as connection:
        mandate = await mandate_store.create(connection, terms)
        revoked = await mandate_store.revoke(connection, mandate.id)
        assert (revoked.status, revoked.version) == ("revoked", 2)
        assert await mandate_store.revoke(connection, mandate.id) == revoked
        with pytest.raises(NotFoundError):
            await mandate_store.change_limit(connection, mandate.id, Limit("usd", "day", 1))


async def test_a_limit_is_changed_alone(pool: Pool, terms: MandateTerms) -> None:
    async with transaction(pool, TENANT) as connection:
        mandate = await mandate_store.create(connection, terms)
        changed = await mandate_store.change_limit(connection, mandate.id, Limit("usd", "day", 7))
        assert changed == replace(mandate, limits=(LIMITS[0], Limit("usd", "day", 7), LIMITS[2]), version=2)


@pytest.mark.parametrize("limit", [Limit("eur", "payment", 7), Limit("jpy", "day", 7)])
async def test_a_limit_that_is_not_there_cannot_be_changed(pool: Pool, terms: MandateTerms, limit: Limit) -> None:
    async with transaction(pool, TENANT) as connection:
        mandate = await mandate_store.create(connection, terms)
        with pytest.raises(NotFoundError):
            await mandate_store.change_limit(connection, mandate.id, limit)
        assert await mandate_store.find(connection, mandate.id) == mandate


async def test_another_tenant_can_neither_see_nor_touch_it(pool: Pool, terms: MandateTerms) -> None:
    async with transaction(pool, TENANT) as connection:
        mandate = await mandate_store.create(connection, terms)
    async with transaction(pool, OTHER) as connection:
        assert await mandate_store.find(connection, mandate.id) is None
        assert await mandate_store.all_mandates(connection) == []
        with pytest.raises(NotFoundError):
            await mandate_store.revoke(connection, mandate.id)
        with pytest.raises(NotFoundError):
            await mandate_store.change_limit(connection, mandate.id, Limit("usd", "day", 1))
    async with transaction(pool, TENANT) as connection:
        assert await mandate_store.find(connection, mandate.id) == mandate


async def test_a_mandate_needs_a_principal_of_its_own_tenant(pool: Pool, terms: MandateTerms) -> None:
    async with transaction(pool, OTHER) as connection:
        with pytest.raises(NotFoundError):
            await mandate_store.create(connection, terms)


async def test_wrong_terms_leave_no_row(pool: Pool, terms: MandateTerms) -> None:
    async with transaction(pool, TENANT) as connection:
        for changes in ({"limits": (Limit("usd", "payment", 5),)}, {"valid_until": datetime.now(UTC) - timedelta(1)}):
            with pytest.raises(InvalidFieldError):
                await mandate_store.create(connection, replace(terms, **changes))
            assert await mandate_store.all_mandates(connection) == []
