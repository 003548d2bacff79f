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
from paywarden.kit.errors import ForbiddenError, IdempotencyKeyReusedError, InvalidFieldError, NotFoundError
from paywarden.payments.idempotency import IdempotentRequest
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
