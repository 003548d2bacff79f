"""Credit: who may give it, that a key gives it once, and what the books say of it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from paywarden.flow import access, credit, story
from paywarden.flow.credit import ToppedUp
from paywarden.flow.desk import Actor
from paywarden.flow.words import NewTopUp
from paywarden.kit.canonical import digest
from paywarden.kit.errors import (
    ForbiddenError,
    IdempotencyKeyReusedError,
    InsufficientFundsError,
    InvalidFieldError,
    NotFoundError,
    StateConflictError,
)
from paywarden.kit.money import MAX_AMOUNT_MINOR
from paywarden.ledger import chart
from paywarden.ledger.intents import Book, Movement
from paywarden.payments.idempotency import IdempotentRequest
from tests.flow import gates
from tests.flow.stage import Stage
from tests.flow.world import World

pytestmark = pytest.mark.shared_sandbox
GIFT = NewTopUp("cust_1", 5_000, "usd", "granted", reason="welcome")
CASH = NewTopUp("cust_1", 20_000, "usd", reference="bank statement 7, line 3")


async def give(stage: Stage, new: NewTopUp, key: str = "k1", actor: Actor | None = None) -> ToppedUp:
    request = IdempotentRequest(key, digest(["POST", repr(new)]))
    return await credit.top_up(stage.desk, actor or stage.admin, new, request)


async def with_roles(stage: Stage, *roles: str) -> Actor:
    return Actor(await access.create_agent(stage.desk, stage.admin, "person", "-".join(roles), list(roles)))


async def test_cash_and_gifts_stand_in_books_of_their_own(stage: Stage) -> None:
    await give(stage, GIFT)
    await give(stage, CASH, "k2")
    found = {
        balance.funding: (balance.balance_minor, balance.held_minor, balance.available_minor)
        for balance in await credit.show(stage.desk, stage.agent, "cust_1")
    }
    assert found == {"granted": (5_000, 0, 5_000), "prepaid": (20_000, 0, 20_000)}
    accounts = {row["code"]: (row["book"], row["balance"]) for row in await story.accounts(stage.desk, stage.admin)}
    assert accounts["bank/default"] == ("money", 20_000)
    assert accounts["customer_credit/cust_1"] == ("money", 20_000)
    assert accounts["credit_source"] == ("credit", 5_000)
    assert accounts["credit/cust_1"] == ("credit", 5_000)
    assert await stage.broken_invariants() == {}


@pytest.mark.parametrize(("roles", "may"), [(["initiate", "review", "risk", "finance", "approver"], False),
                                            (["settle"], True), (["administer"], True)])  # fmt: skip
async def test_only_who_settles_or_administers_may_top_up(stage: Stage, roles: list[str], may: bool) -> None:
    actor = await with_roles(stage, *roles)
    if may:
        assert (await give(stage, GIFT, actor=actor)).top_up.principal_id == actor.principal.id
        return
    with pytest.raises(ForbiddenError, match="'settle' or 'administer'"):
        await give(stage, GIFT, actor=actor)
    with pytest.raises(NotFoundError):
        await credit.show(stage.desk, stage.admin, "cust_1")


async def test_the_same_key_tops_up_once_and_another_request_under_it_is_refused(stage: Stage) -> None:
    first = await give(stage, CASH)
    again = await give(stage, CASH)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.top_up == first.top_up
    with pytest.raises(IdempotencyKeyReusedError):
        await give(stage, replace(CASH, amount_minor=20_001))
    (balance,) = await credit.show(stage.desk, stage.admin, "cust_1")
    assert balance.balance_minor == 20_000
    # Keys belong to a principal: the same one of somebody else is another request.
    other = await with_roles(stage, "settle")
    assert not (await give(stage, CASH, actor=other)).replayed


async def test_a_key_of_a_payment_is_no_key_for_a_top_up(stage: Stage) -> None:
    await stage.charge(500, key="k1")
    with pytest.raises(IdempotencyKeyReusedError):
        await give(stage, GIFT, "k1", actor=stage.agent)


async def test_ten_at_once_with_one_key_top_up_once(stage: Stage) -> None:
    done = await asyncio.gather(*(give(stage, GIFT) for _ in range(10)))
    assert sum(not each.replayed for each in done) == 1
    (balance,) = await credit.show(stage.desk, stage.admin, "cust_1")
    assert balance.balance_minor == 5_000
    assert await stage.broken_invariants() == {}


async def test_what_was_given_is_on_record_with_who_and_why(world: World) -> None:
    made = (await give(world.stage, GIFT)).top_up
    (told,) = world.sql("select * from paywarden.events where type = 'credit.topped_up'")
    assert (told["subject_id"], told["principal_id"]) == (made.id, world.stage.admin.principal.id)
    assert told["data"]["reason"] == "welcome"
    assert told["data"]["amount_minor"] == 5_000


@pytest.mark.parametrize(
    ("changes", "param"),
    [({"reference": None}, "reference"), ({"customer_id": " c"}, "customer"), ({"amount_minor": 0}, "amount_minor"),
     ({"currency": "USD"}, "currency"), ({"reason": "4111 1111 1111 1111"}, "reason")],
)  # fmt: skip
async def test_what_is_wrong_is_named_and_nothing_is_stored(stage: Stage, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        await give(stage, replace(CASH, **changes))
    assert refused.value.param == param
    assert not (await give(stage, CASH)).replayed


async def test_a_customer_of_another_tenant_is_unknown(world: World) -> None:
    await give(world.stage, GIFT)
    stranger = await world.other_tenant()
    with pytest.raises(NotFoundError):
        await credit.show(world.stage.desk, stranger, "cust_1")


async def test_a_customer_without_credit_has_no_balances(stage: Stage) -> None:
    await stage.charge(500)
    assert await credit.show(stage.desk, stage.admin, "cust_1") == []


async def undo(stage: Stage, made: ToppedUp, key: str = "u1", actor: Actor | None = None) -> ToppedUp:
    request = IdempotentRequest(key, digest(["POST", "reverse", str(made.top_up.id)]))
    return await credit.reverse(stage.desk, actor or stage.admin, made.top_up.id, "for cust_2", request)


async def balances(stage: Stage) -> dict[str, int]:
    return {row["code"]: row["balance"] for row in await story.accounts(stage.desk, stage.admin)}


@pytest.mark.parametrize("new", [GIFT, CASH], ids=["granted", "prepaid"])
async def test_a_wrong_top_up_is_taken_back_as_if_it_had_not_been(stage: Stage, new: NewTopUp) -> None:
    await give(stage, new)
    before = await balances(stage)
    wrong = await give(stage, replace(new, amount_minor=700), "k2")
    done = await undo(stage, wrong)
    assert (done.replayed, done.top_up.id, done.top_up.amount_minor) == (False, wrong.top_up.id, 700)
    assert done.top_up.reversal is not None
    assert (done.top_up.reversal.principal_id, done.top_up.reversal.reason) == (stage.admin.principal.id, "for cust_2")
    assert await balances(stage) == before
    latest, first = await credit.page(stage.desk, stage.agent, limit=2)
    assert (latest, first.reversal) == (done.top_up, None)
    assert await stage.broken_invariants() == {}


async def test_a_top_up_is_taken_back_once(stage: Stage) -> None:
    made = await give(stage, GIFT)
    await give(stage, GIFT, "k2")
    first = await undo(stage, made)
    again = await undo(stage, made)
    assert (again.replayed, again.top_up) == (True, first.top_up)
    with pytest.raises(StateConflictError, match="reversed already"):
        await undo(stage, made, "u2")
    # The request that gave it is answered with what became of it.
    assert await give(stage, GIFT) == ToppedUp(first.top_up, replayed=True)
    assert (await balances(stage))["credit/cust_1"] == 5_000


async def test_ten_at_once_with_keys_of_their_own_take_back_once(stage: Stage) -> None:
    made = await give(stage, GIFT)
    await give(stage, GIFT, "k2")
    done = await asyncio.gather(*(undo(stage, made, f"u{n}") for n in range(10)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["StateConflictError"] * 9 + ["ToppedUp"]
    assert (await balances(stage))["credit/cust_1"] == 5_000
    assert await stage.broken_invariants() == {}


async def test_what_is_held_or_used_cannot_be_taken_back(stage: Stage) -> None:
    made = await give(stage, GIFT)
    await gates.capture(stage.desk, stage.agent, await gates.hold(stage.desk, stage.agent, "cust_1", 1_000), 1_000)
    await gates.hold(stage.desk, stage.agent, "cust_1", 1_500)
    before = await balances(stage)
    with pytest.raises(InsufficientFundsError) as refused:
        await undo(stage, made)
    assert refused.value.extra == {"available_minor": 2_500}
    assert "$25.00 of granted credit available ($40.00 less $15.00 held)" in refused.value.detail
    assert await balances(stage) == before
    (kept,) = await credit.page(stage.desk, stage.admin, limit=2)
    assert kept.reversal is None
    # A refusal stores nothing, so the same request is met once there is enough again, to the last cent.
    await give(stage, replace(GIFT, amount_minor=2_500), "k2")
    assert not (await undo(stage, made)).replayed
    (left,) = await credit.show(stage.desk, stage.admin, "cust_1")
    assert (left.balance_minor, left.available_minor) == (1_500, 0)
    assert await stage.broken_invariants() == {}


async def test_other_credit_of_the_customer_does_not_stand_in(stage: Stage) -> None:
    made = await give(stage, GIFT)
    await give(stage, CASH, "k2")
    await give(stage, replace(GIFT, currency="eur"), "k3")
    await gates.hold(stage.desk, stage.agent, "cust_1", 1)
    with pytest.raises(InsufficientFundsError) as refused:
        await undo(stage, made)
    assert refused.value.extra == {"available_minor": 4_999}


async def test_a_hold_and_a_reversal_never_share_the_same_money(stage: Stage) -> None:
    """Whoever comes first has it, whichever that is."""
    made = [await give(stage, replace(GIFT, amount_minor=100), f"k{n}") for n in range(6)]
    holds = [gates.hold(stage.desk, stage.agent, "cust_1", 100) for _ in range(6)]
    undone = [undo(stage, each, f"u{n}") for n, each in enumerate(made)]
    done = await asyncio.gather(*holds, *undone, return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in done) == 6
    (left,) = await credit.show(stage.desk, stage.admin, "cust_1")
    assert left.available_minor == 0
    assert await stage.broken_invariants() == {}


@pytest.mark.parametrize(("roles", "may"), [(["initiate", "review", "risk", "finance", "approver"], False),
                                            (["settle"], True), (["administer"], True)])  # fmt: skip
async def test_only_who_settles_or_administers_may_take_back(stage: Stage, roles: list[str], may: bool) -> None:
    made = await give(stage, GIFT)
    actor = await with_roles(stage, *roles)
    if may:
        undone = (await undo(stage, made, actor=actor)).top_up.reversal
        assert undone is not None
        assert undone.principal_id == actor.principal.id
        return
    with pytest.raises(ForbiddenError, match="'settle' or 'administer'"):
        await undo(stage, made, actor=actor)
    assert (await balances(stage))["credit/cust_1"] == 5_000


async def test_who_took_back_and_why_is_on_record(world: World) -> None:
    made = await give(world.stage, GIFT)
    await undo(world.stage, made)
    (told,) = world.sql("select * from paywarden.events where type = 'credit.top_up_reversed'")
    assert (told["subject_id"], told["principal_id"]) == (made.top_up.id, world.stage.admin.principal.id)
    assert told["data"] == {
        "customer_id": "cust_1", "amount_minor": 5_000, "currency": "usd", "funding": "granted", "reason": "for cust_2",
    }  # fmt: skip


async def test_a_key_that_gave_is_no_key_to_take_back_and_a_reason_is_needed(stage: Stage) -> None:
    made = await give(stage, GIFT)
    with pytest.raises(IdempotencyKeyReusedError):
        await undo(stage, made, "k1")
    with pytest.raises(InvalidFieldError) as refused:
        await credit.reverse(stage.desk, stage.admin, made.top_up.id, " ", IdempotentRequest("u1", digest(["x"])))
    assert refused.value.param == "reason"


async def test_a_top_up_of_another_tenant_is_unknown(world: World) -> None:
    made = await give(world.stage, GIFT)
    stranger = await world.other_tenant()
    with pytest.raises(NotFoundError, match="no such top-up"):
        await undo(world.stage, made, actor=stranger)


async def fill(stage: Stage, times: int) -> None:
    """So many of the largest top-ups are granted already, each to a customer of its own."""
    source = chart.credit_source("usd")
    given = [Movement(source, chart.granted_credit(f"c{n}", "usd"), MAX_AMOUNT_MINOR) for n in range(times)]
    tenant_id = stage.admin.tenant_id
    await gates.write(stage.desk, tenant_id, *(Book(f"test:{n}", "t", [each], True) for n, each in enumerate(given)))


async def test_credit_never_grows_beyond_what_balances_can_count(stage: Stage) -> None:
    await fill(stage, credit.MAX_GIVEN_MINOR // MAX_AMOUNT_MINOR - 1)
    last = await give(stage, replace(GIFT, amount_minor=MAX_AMOUNT_MINOR), "k1")
    with pytest.raises(InvalidFieldError, match=r"\$10,000,000,000,000,000\.00, and .* was given before") as refused:
        await give(stage, replace(GIFT, customer_id="cust_2", amount_minor=1), "k2")
    assert refused.value.param == "amount_minor"
    assert await credit.page(stage.desk, stage.admin, limit=3) == [last.top_up]
    with pytest.raises(NotFoundError):
        await credit.show(stage.desk, stage.admin, "cust_2")
    # Other kinds and currencies count for themselves, and what is taken back makes room for the same request.
    await give(stage, CASH, "k3")
    await give(stage, replace(GIFT, currency="eur"), "k4")
    await undo(stage, last)
    assert not (await give(stage, replace(GIFT, customer_id="cust_2", amount_minor=1), "k2")).replayed
    assert await stage.broken_invariants() == {}


async def test_of_ten_at_once_as_many_are_given_as_fit(stage: Stage) -> None:
    await fill(stage, credit.MAX_GIVEN_MINOR // MAX_AMOUNT_MINOR - 3)
    largest = replace(GIFT, amount_minor=MAX_AMOUNT_MINOR)
    done = await asyncio.gather(*(give(stage, largest, f"k{n}") for n in range(10)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["InvalidFieldError"] * 7 + ["ToppedUp"] * 3
    assert (await balances(stage))["credit_source"] == credit.MAX_GIVEN_MINOR
