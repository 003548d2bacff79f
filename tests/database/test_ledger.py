"""The write door: holds, posts, voids and bookings, in three books, on both supported versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace
from psycopg.rows import dict_row

from paywarden.db.pool import Pool
from paywarden.db.transaction import transaction
from paywarden.guardrails import mandate_store
from paywarden.guardrails.mandate_terms import MandateTerms
from paywarden.guardrails.mandates import Limit
from paywarden.identity import principals, tenants
from paywarden.identity.tenants import QUICKSTART_TENANT_ID as TENANT
from paywarden.kit import ids
from paywarden.kit.errors import InvalidFieldError
from paywarden.ledger import chart, door
from paywarden.ledger.intents import Authority, Book, Intent, Line, Movement, Outcome, Post, Reserve, Void, WindowGrant

pytestmark = pytest.mark.both_versions
CREDIT = chart.AccountRef("money", "USD/2", "customer_credit/cust_1", "credit", 0)
CLEARING = chart.provider_clearing("rest", "default", "usd")
REVENUE = chart.revenue("usd")


@dataclass
class Ledger:
    """A tenant with one principal and one mandate of 100.00 a day."""

    pool: Pool
    principal_id: UUID
    mandate_id: UUID
    version: int

    async def write(self, *intents: Intent) -> list[Outcome]:
        async with transaction(self.pool, TENANT) as connection:
            return await door.write(connection, intents)

    def reserve(self, amount_minor: int, **changes: Any) -> Reserve:
        window = chart.authority_window(self.mandate_id, "day:2030-01-01", "usd")
        wanted = Reserve(
            hold_id=ids.new_uuid(),
            payment_id=None,
            authority=Authority(self.principal_id, self.version, [self.mandate_id]),
            amount_minor=amount_minor,
            lines=[Line(window, chart.authority_spent(self.mandate_id, "usd"))],
            grants=[
                WindowGrant(self.mandate_id, "day:2030-01-01", "usd", 10_000, window, chart.authority_source("usd"))
            ],
        )
        return replace(wanted, **changes)

    async def top_up(self, amount_minor: int) -> None:
        movements = [Movement(CLEARING, CREDIT, amount_minor)]
        (outcome,) = await self.write(Book(str(ids.new_uuid()), "top_up", movements, fact=True))
        assert outcome.result == "ok"

    async def account(self, code: str) -> dict[str, Any]:
        async with transaction(self.pool, TENANT) as connection:
            return next(row for row in await door.accounts(connection) if row["code"].startswith(code))

    async def balances(self) -> dict[str, tuple[int, int]]:
        async with transaction(self.pool, TENANT) as connection:
            return {row["code"]: (row["balance"], row["held"]) for row in await door.accounts(connection)}

    async def difference(self) -> set[int]:
        async with transaction(self.pool, TENANT) as connection:
            return {int(row["difference_minor"]) for row in await door.trial_balance(connection)}


@pytest.fixture
async def ledger(pool: Pool) -> Ledger:
    async with transaction(pool, TENANT) as connection:
        principal = await principals.ensure(connection, "agent", "buyer", ["initiate"])
        terms = MandateTerms(principal.id, "m", ("charge",), (Limit("usd", "day", 10_000),), "UTC")
        mandate = await mandate_store.create(connection, terms)
        await tenants.count_authority_change(connection)
        tenant = await tenants.find(connection, TENANT)
    assert tenant is not None
    return Ledger(pool, principal.id, mandate.id, tenant["authority_version"])


def results(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.result for outcome in outcomes]


async def test_a_hold_takes_authority_and_a_void_gives_all_of_it_back(ledger: Ledger) -> None:
    wanted = ledger.reserve(4_000)
    assert results(await ledger.write(wanted)) == ["ok"]
    window = await ledger.account("authority/")
    assert (window["balance"], window["held"]) == (10_000, 4_000)
    assert results(await ledger.write(Void(wanted.hold_id))) == ["ok"]
    window = await ledger.account("authority/")
    assert (window["balance"], window["held"]) == (10_000, 0)
    assert results(await ledger.write(Void(wanted.hold_id))) == ["replayed"]


async def test_a_post_moves_what_was_held_and_books_the_money_with_it(ledger: Ledger) -> None:
    wanted = ledger.reserve(4_000)
    await ledger.write(wanted)
    post = Post(
        wanted.hold_id, None, "op-1", "succeeded", 4_000, fact=True, movements=[Movement(CLEARING, REVENUE, 4_000)]
    )
    (outcome,) = await ledger.write(post)
    assert (outcome.result, outcome.late) == ("ok", False)
    balances = await ledger.balances()
    mandate = ids.to_text("mdt", ledger.mandate_id)
    assert balances[f"authority/{mandate}/day:2030-01-01"] == (6_000, 0)
    assert balances[f"authority_spent/{mandate}"] == (4_000, 0)
    assert balances[CLEARING.code] == (4_000, 0)
    assert balances["revenue"] == (4_000, 0)
    assert results(await ledger.write(post)) == ["replayed"]
    assert await ledger.balances() == balances


async def test_the_same_hold_twice_is_one_hold_and_another_amount_is_a_conflict(ledger: Ledger) -> None:
    wanted = ledger.reserve(4_000)
    outcomes = await ledger.write(wanted, wanted, replace(wanted, amount_minor=3_999))
    assert results(outcomes) == ["ok", "replayed", "conflict"]
    assert (await ledger.account("authority/"))["held"] == 4_000


async def test_a_big_refused_one_does_not_starve_a_small_one_that_fits(ledger: Ledger) -> None:
    outcomes = await ledger.write(ledger.reserve(9_000), ledger.reserve(2_000), ledger.reserve(1_000))
    assert results(outcomes) == ["ok", "insufficient", "ok"]
    assert "authority/" in (outcomes[1].accounts or "")


async def test_authority_and_funds_are_held_together_or_not_at_all(ledger: Ledger) -> None:
    await ledger.top_up(1_000)
    both = ledger.reserve(2_000)
    both = replace(both, lines=[*both.lines, Line(CREDIT, REVENUE)])
    (outcome,) = await ledger.write(both)
    assert (outcome.result, outcome.accounts) == ("insufficient", CREDIT.code)
    assert (await ledger.account("authority/"))["held"] == 0
    assert (await ledger.account("customer_credit"))["held"] == 0


async def test_partial_captures_use_the_hold_and_the_last_returns_the_rest(ledger: Ledger) -> None:
    await ledger.top_up(1_000)
    gate = replace(ledger.reserve(900), lines=[Line(CREDIT, REVENUE)], grants=[])
    await ledger.write(gate)

    def capture(number: int, amount_minor: int, *, final: bool) -> Post:
        return Post(gate.hold_id, None, f"cap-{number}", "capture", amount_minor, fact=False, final=final)

    outcomes = await ledger.write(
        capture(1, 300, final=False), capture(2, 700, final=False), capture(3, 200, final=True)
    )
    assert results(outcomes) == ["ok", "insufficient", "ok"]
    credit = await ledger.account("customer_credit")
    assert (credit["balance"], credit["held"]) == (500, 0)
    assert results(await ledger.write(capture(4, 1, final=True))) == ["conflict"]


async def test_a_late_fact_books_afresh_and_may_go_below_the_floor(ledger: Ledger) -> None:
    await ledger.top_up(1_000)
    hold = replace(ledger.reserve(900), lines=[Line(CREDIT, REVENUE)], grants=[])
    await ledger.write(hold)
    await ledger.write(Void(hold.hold_id, status="expired"))
    await ledger.write(replace(ledger.reserve(1_000), lines=[Line(CREDIT, REVENUE)], grants=[]))
    (outcome,) = await ledger.write(Post(hold.hold_id, None, "op-late", "succeeded", 900, fact=True))
    assert (outcome.result, outcome.late) == ("ok", True)
    second = Post(hold.hold_id, None, "op-late-2", "succeeded", 900, fact=True)
    assert results(await ledger.write(second)) == ["ok"]
    credit = await ledger.account("customer_credit")
    assert (credit["balance"], credit["blocked"]) == (-800, True)
    refused = replace(ledger.reserve(1), lines=[Line(CREDIT, REVENUE)], grants=[])
    assert results(await ledger.write(refused)) == ["insufficient"]
    assert await ledger.difference() == {0}


async def test_a_capture_of_a_closed_hold_is_refused_as_a_request(ledger: Ledger) -> None:
    hold = ledger.reserve(500)
    await ledger.write(hold)
    await ledger.write(Void(hold.hold_id))
    assert results(await ledger.write(Post(hold.hold_id, None, "c", "capture", 500, fact=False))) == ["conflict"]
    assert results(await ledger.write(Post(ids.new_uuid(), None, "c", "capture", 5, fact=False))) == ["invalid"]


@pytest.mark.parametrize("what", ["version", "principal", "mandate", "tenant"])
async def test_a_reservation_on_changed_authority_is_stale(ledger: Ledger, what: str) -> None:
    async with transaction(ledger.pool, TENANT) as connection:
        if what == "version":
            await tenants.count_authority_change(connection)
        elif what == "principal":
            await principals.set_status(connection, ledger.principal_id, "suspended")
        elif what == "mandate":
            await mandate_store.revoke(connection, ledger.mandate_id)
        else:
            await connection.execute("update paywarden.tenants set status = 'suspended' where id = %s", [TENANT])
    assert results(await ledger.write(ledger.reserve(1))) == ["stale"]


async def test_a_changed_limit_is_an_adjusting_transfer(ledger: Ledger) -> None:
    await ledger.write(ledger.reserve(4_000))
    smaller = ledger.reserve(1_000)
    smaller = replace(smaller, grants=[replace(smaller.grants[0], limit_minor=4_500)])
    assert results(await ledger.write(smaller)) == ["insufficient"]
    assert (await ledger.account("authority/"))["balance"] == 4_500
    larger = replace(smaller, hold_id=ids.new_uuid(), grants=[replace(smaller.grants[0], limit_minor=5_000)])
    assert results(await ledger.write(larger)) == ["ok"]
    assert await ledger.difference() == {0}


async def test_requested_bookings_respect_floors_and_linked_ones_go_together(ledger: Ledger) -> None:
    await ledger.top_up(100)
    spend = [Movement(CREDIT, REVENUE, 60), Movement(CREDIT, REVENUE, 60)]
    assert results(await ledger.write(Book("b-1", "spend", spend, fact=False))) == ["insufficient"]
    assert (await ledger.account("customer_credit"))["balance"] == 100
    assert results(await ledger.write(Book("b-2", "spend", spend[:1], fact=False))) == ["ok"]
    assert results(await ledger.write(Book("b-2", "spend", spend[:1], fact=False))) == ["replayed"]
    assert (await ledger.account("customer_credit"))["balance"] == 40


@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1, True, 1.0])
async def test_amounts_that_are_no_amounts_never_reach_the_database(ledger: Ledger, amount: Any) -> None:
    with pytest.raises(InvalidFieldError):
        await ledger.write(ledger.reserve(amount))


async def test_books_and_assets_cannot_be_mixed_in_one_transfer(ledger: Ledger) -> None:
    await ledger.top_up(100)
    credit_book = chart.AccountRef("credit", "USD/2", "credit/cust_1", "credit", 0)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await ledger.write(Book("mixed", "spend", [Movement(credit_book, REVENUE, 1)], fact=True))


@pytest.mark.parametrize(
    "statement",
    [
        "insert into paywarden.transfers select * from paywarden.transfers",
        "update paywarden.transfers set amount_minor = 1",
        "delete from paywarden.transfers",
        "truncate paywarden.transfers",
        "update paywarden.accounts set balance = 0",
        "delete from paywarden.accounts",
        "update paywarden.holds set status = 'posted'",
        "delete from paywarden.hold_lines",
        "update paywarden.authority_grants set limit_minor = 1",
        "select paywarden.ledger_reserve('{}')",
        "select paywarden.ledger_transfer('{}', 0, null, null, 1, false)",
    ],
)
async def test_the_app_role_cannot_reach_behind_the_door(ledger: Ledger, statement: str) -> None:
    await ledger.write(ledger.reserve(100))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with transaction(ledger.pool, TENANT) as connection:
            await connection.execute(statement)


async def test_even_the_owner_cannot_change_a_transfer(ledger: Ledger, database: Any) -> None:
    await ledger.write(ledger.reserve(100))
    with psycopg.connect(database.owner_url, row_factory=dict_row) as connection:
        connection.execute("select set_config('app.tenant', %s, true)", [str(TENANT)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="insert-only"):
            connection.execute("update paywarden.transfers set amount_minor = amount_minor + 1")
