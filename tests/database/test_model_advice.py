"""What advice from a model took is stored beside it: prompt, calls, tokens, money."""

from dataclasses import replace
from uuid import UUID

import psycopg
import pytest

from paywarden.db.pool import Pool
from paywarden.db.transaction import transaction
from paywarden.decisions import store
from paywarden.decisions.advice import Advice
from paywarden.decisions.adviser import AdviceRecord, escalation
from paywarden.decisions.checks import check_advice
from paywarden.decisions.store import NewDecision, StoredDecision
from paywarden.identity import principals, tenants
from paywarden.kit import ids
from tests.unit.judged import charge, own, snapshot

TENANT = ids.new_uuid()
CASE = snapshot("refund me", records=(own("pay_1", charge()),))
RECORD = AdviceRecord(
    Advice("approve", 1250, "It was returned.", 95, ("pay_1",)),
    "claude",
    812,
    "claude-sonnet-5-5",
    b"p" * 32,
    "{...}",
    {"calls": 2, "input_tokens": 600},
    prompt_version="adviser-1",
    request_ids=("req_1", "req_2"),
    cost_micro_usd=3500,
)


@pytest.fixture
async def agent_id(pool: Pool) -> UUID:
    async with transaction(pool, TENANT) as connection:
        await tenants.create(connection, TENANT, "here", "test")
        await principals.ensure_customer(connection, "cust_001")
        return (await principals.ensure(connection, "agent", "agent-risk-01", ["initiate"])).id


async def stored(pool: Pool, agent_id: UUID, record: AdviceRecord) -> StoredDecision:
    new = NewDecision(agent_id, CASE, record, check_advice(CASE, record))
    async with transaction(pool, TENANT) as connection:
        found = await store.find(connection, await store.save(connection, new))
    assert found is not None
    return found


async def test_everything_it_took_is_there(pool: Pool, agent_id: UUID) -> None:
    row = (await stored(pool, agent_id, RECORD)).row
    assert (row["model"], row["prompt_version"], row["prompt_sha256"]) == ("claude-sonnet-5-5", "adviser-1", b"p" * 32)
    assert (row["request_ids"], row["cost_micro_usd"]) == (["req_1", "req_2"], 3500)
    assert (row["usage"], row["latency_ms"]) == ({"calls": 2, "input_tokens": 600}, 812)


async def test_an_unknown_cost_is_not_zero(pool: Pool, agent_id: UUID) -> None:
    row = (await stored(pool, agent_id, replace(RECORD, cost_micro_usd=None))).row
    assert row["cost_micro_usd"] is None


async def test_rules_took_nothing(pool: Pool, agent_id: UUID) -> None:
    row = (await stored(pool, agent_id, escalation("rules", "adviser_error: X", latency_ms=0))).row
    assert (row["model"], row["prompt_version"], row["request_ids"], row["cost_micro_usd"]) == (None, None, [], None)


async def test_a_negative_cost_is_refused(pool: Pool, agent_id: UUID) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await stored(pool, agent_id, replace(RECORD, cost_micro_usd=-1))
