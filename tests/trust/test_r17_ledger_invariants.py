"""R17: every invariant sees its own breach. The healthy books break none; each corruption is named by its rule."""

from typing import Any

import psycopg
import pytest

from paywarden.audit.invariants import all_invariants
from paywarden.flow import credit, invariants, story
from paywarden.flow.ask import Ask
from paywarden.flow.words import IdempotentRequest, NewTopUp
from paywarden.kit.canonical import digest
from paywarden.kit.states import Status
from tests.conftest import Database
from tests.flow import gates
from tests.flow.conftest import *  # noqa: F403  the stage's fixtures
from tests.flow.stage import Stage

pytestmark = pytest.mark.shared_sandbox

# One deliberately wrong line for each rule, as only a superuser with the triggers off could write it.
CORRUPTIONS: dict[str, str] = {
    "attested_by_two_people": "update paywarden.payment_transitions set source = 'attested'"
    " where to_status = 'succeeded'",
    "balances_match_transfers": "update paywarden.transfers set amount_minor = amount_minor + 1",
    "books_balance": "update paywarden.accounts set balance = balance + 1 where code = 'revenue'",
    "credit_is_covered": "update paywarden.accounts set held = balance + 1 where code like 'credit/%'",
    "failures_have_evidence": "update paywarden.payments set status = 'failed', oversight = 'reviewed'"
    " where status = 'in_review'",
    "gates_capture_what_is_booked": "update paywarden.holds set captured_minor = captured_minor - 1"
    " where principal_id is not null and captured_minor > 0",
    "held_matches_holds": "update paywarden.accounts set held = held + 1 where code like 'authority/%'",
    "holds_follow_payments": "update paywarden.holds set status = 'pending', closed_at = null where status = 'posted'",
    "holds_name_principals": "update paywarden.holds set principal_id = id where principal_id is not null",
    "history_is_of_what_is_there": "update paywarden.events set principal_id = id where principal_id is not null",
    "no_budget_overspent": "update paywarden.accounts set held = balance + 1 where code like 'authority/%'",
    "nothing_sent_without_intention": "update paywarden.payments set status = 'processing', oversight = 'reviewed',"
    " hold_id = (select id from paywarden.holds limit 1) where status = 'in_review'",
    "refunds_match_originals": "update paywarden.payments set refunded_minor = 1 where status = 'succeeded'",
    "reversals_are_booked": "delete from paywarden.credit_reversals",
    "reviewed_payments_were_approved": "update paywarden.payments set oversight = 'reviewed'"
    " where status = 'succeeded'",
    "success_is_booked_once": "update paywarden.payments set captured_minor = captured_minor - 1"
    " where status = 'succeeded'",
    "top_ups_are_booked": "update paywarden.credit_top_ups set amount_minor = amount_minor + 1",
    "transitions_tell_the_status": "delete from paywarden.payment_transitions where to_status = 'reserved'",
}
# What the first line of a rule does not show: its other halves.
FURTHER_CORRUPTIONS = [
    (
        "history_is_of_what_is_there",
        f"update paywarden.{table} set {column} = gen_random_uuid() where {column} is not null",
    )
    for table, column in (
        ("payment_transitions", "payment_id"),
        ("payment_transitions", "principal_id"),
        ("checks", "payment_id"),
        ("events", "tenant_id"),
    )
]


@pytest.fixture
async def books(stage: Stage) -> Stage:
    """One paid charge, one suspected duplicate in review, a customer's credit with a hold, a capture and a reversal."""
    given = NewTopUp("cust_1", 1_000, "usd", "granted")
    await credit.top_up(stage.desk, stage.admin, given, IdempotentRequest("top-up", digest(["top-up"])))
    wrong = await credit.top_up(stage.desk, stage.admin, given, IdempotentRequest("wrong", digest(["wrong"])))
    undo = IdempotentRequest("undo", digest(["undo"]))
    await credit.reverse(stage.desk, stage.admin, wrong.top_up.id, "given twice", undo)
    await gates.hold(stage.desk, stage.agent, "cust_1", 300)
    await gates.capture(stage.desk, stage.agent, await gates.hold(stage.desk, stage.agent, "cust_1", 200), 150)
    await stage.paid_charge(reference="paid")
    for _ in range(2):
        held = (await stage.ask(Ask("charge", 500, "usd", customer_id="c", reference="twice"), key=None)).payment
    assert held.status is Status.IN_REVIEW
    await stage.until((await stage.charge(500, reference="another")).id, Status.SUCCEEDED)
    return stage


async def broken(stage: Stage) -> set[str]:
    return {finding.invariant.name for finding in await invariants.check(stage.desk.pool) if finding.broken}


def test_every_rule_has_its_corruption() -> None:
    assert set(CORRUPTIONS) == {invariant.name for invariant in all_invariants()}


async def test_healthy_books_break_nothing_and_each_corruption_is_named(books: Stage, database: Database) -> None:
    await settle_all(books)
    assert await broken(books) == set()
    for rule, statement in [*CORRUPTIONS.items(), *FURTHER_CORRUPTIONS]:
        with psycopg.connect(database.superuser_url) as connection:
            connection.execute("set session_replication_role = replica")
            assert connection.execute(statement).rowcount > 0, rule
            found = {
                invariant.name
                for invariant in all_invariants()
                if connection.execute(f"select 1 from ({invariant.query}) as rows limit 1").fetchone()
            }
            connection.rollback()
        assert rule in found, statement
    assert await broken(books) == set()


async def settle_all(stage: Stage) -> Any:
    """Let what the duplicates' first left under way come to its end."""
    for payment in await all_payments(stage):
        if payment.status not in {Status.IN_REVIEW, Status.SUCCEEDED}:
            await stage.until(payment.id, Status.SUCCEEDED)


async def all_payments(stage: Stage) -> Any:
    return await story.list_payments(stage.desk, stage.agent, limit=50)
