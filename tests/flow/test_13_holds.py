"""The billing gate: hold, capture, release, on credit and on mandates, each member of a list for itself."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from paywarden.db.transaction import transaction
from paywarden.flow import access, hold
from paywarden.flow.authority import Standings
from paywarden.flow.desk import Actor
from paywarden.flow.held import Answer, Held, only
from paywarden.flow.hold import Capture, NewHold
from paywarden.guardrails.mandate_terms import MandateTerms
from paywarden.guardrails.mandates import Limit, Mandate
from paywarden.kit import ids
from paywarden.kit.canonical import digest
from paywarden.kit.errors import (
    AuthenticationError,
    CaptureTooLargeError,
    ForbiddenError,
    HoldExpiredError,
    IdempotencyKeyReusedError,
    InsufficientFundsError,
    InvalidFieldError,
    NotFoundError,
    PaymentDeniedError,
    PaywardenError,
    StateConflictError,
)
from paywarden.ledger import chart, door
from paywarden.ledger.intents import Book, Movement, Void
from paywarden.payments.idempotency import IdempotentRequest
from tests.flow.stage import Stage
from tests.flow.world import World

pytestmark = pytest.mark.shared_sandbox
CREDIT = chart.customer_credit("cust_1", "usd")


@dataclass
class Gate:
    """A customer who has prepaid 10.00, and an agent with a key."""

    stage: Stage
    agent: Actor
    key: str
    numbers: Any = field(default_factory=lambda: count(1))

    def request(self, body: str, key: str | None) -> IdempotentRequest:
        return IdempotentRequest(key or f"key-{next(self.numbers)}", digest([body]))

    def wanted(self, amount_minor: int, *, key: str | None = None, **changes: Any) -> NewHold:
        wanted = NewHold(amount_minor, "usd", self.request(f"{amount_minor}{changes}", key), customer_id="cust_1")
        return structs.replace(wanted, **changes)

    async def hold(self, amount_minor: int, *, actor: Actor | None = None, **changes: Any) -> Held:
        wanted = [self.wanted(amount_minor, **changes)]
        return only(await hold.create(self.stage.desk, actor or self.agent, wanted))

    async def capture(
        self,
        hold_id: UUID,
        amount_minor: int,
        *,
        final: bool = True,
        key: str | None = None,
        actor: Actor | None = None,
    ) -> Held:
        wanted = Capture(hold_id, amount_minor, self.request(f"{hold_id}{amount_minor}", key), final)
        return only(await hold.capture(self.stage.desk, actor or self.agent, [wanted]))

    async def release(self, hold_id: UUID, actor: Actor | None = None) -> Held:
        return only(await hold.release(self.stage.desk, actor or self.agent, [hold_id]))

    async def credit(self, code: str = CREDIT.code) -> tuple[int, int]:
        """Balance and held."""
        async with transaction(self.stage.desk.pool, self.agent.tenant_id) as connection:
            found = {row["code"]: row for row in await door.accounts(connection)}
        return found[code]["balance"], found[code]["held"]

    async def book(self, movement: Movement) -> None:
        async with transaction(self.stage.desk.pool, self.agent.tenant_id) as connection:
            await door.write(connection, [Book(f"test:{ids.new_uuid()}", "test", [movement], fact=True)])

    async def expire(self, hold_id: UUID) -> None:
        async with transaction(self.stage.desk.pool, self.agent.tenant_id) as connection:
            await door.write(connection, [Void(hold_id, status="expired")])

    async def remembered(self) -> Actor:
        """The agent as a route knows it that works with what is remembered."""
        standing = await self.stage.desk.standings.of_key(self.key)
        return Actor(standing.principal, None, standing)

    async def another(self, name: str, *roles: str) -> Actor:
        made = await access.create_agent(self.stage.desk, self.stage.admin, "agent", name, list(roles))
        return Actor(made)

    async def mandate(self, actor: Actor, day_minor: int, **changes: Any) -> Mandate:
        terms = MandateTerms(
            principal_id=actor.principal.id,
            name="gate",
            kinds=("gate",),
            limits=(Limit("usd", "day", day_minor), Limit("usd", "payment", 700)),
            timezone="UTC",
        )
        return await access.create_mandate(self.stage.desk, self.stage.admin, replace(terms, **changes))


@pytest.fixture
async def gate(stage: Stage) -> Gate:
    made = await access.create_agent(stage.desk, stage.admin, "agent", "gatekeeper", ["initiate"])
    _, key = await access.create_key(stage.desk, stage.admin, made.id, None)
    opened = Gate(stage, Actor(made), key)
    await opened.book(Movement(chart.bank("default", "usd"), CREDIT, 1000))
    return opened


def errors(answers: Sequence[Answer]) -> list[type[PaywardenError] | str]:
    return [answer.hold.status if isinstance(answer, Held) else type(answer) for answer in answers]


async def test_a_hold_on_prepaid_credit_is_captured_for_what_it_cost(gate: Gate) -> None:
    held = await gate.hold(400, feature="summary")
    assert (held.hold.status, held.hold.customer_id, held.hold.feature) == ("pending", "cust_1", "summary")
    lasts = held.hold.expires_at - held.hold.created_at
    assert abs(lasts - timedelta(hours=1)) < timedelta(seconds=1)
    captured = await gate.capture(held.hold.id, 150)
    assert (captured.hold.status, captured.hold.captured_minor) == ("captured", 150)
    assert await gate.credit() == (850, 0)
    assert await gate.credit("revenue") == (150, 0)
    assert await gate.stage.broken_invariants() == {}


async def test_granted_credit_is_spent_in_its_own_book_and_books_no_money(gate: Gate) -> None:
    await gate.book(Movement(chart.credit_source("usd"), chart.granted_credit("cust_1", "usd"), 300))
    held = await gate.hold(300, funding="granted")
    await gate.capture(held.hold.id, 200)
    assert await gate.credit("credit/cust_1") == (100, 0)
    assert await gate.credit("credit_spent/cust_1") == (200, 0)
    assert await gate.credit() == (1000, 0)


async def test_the_same_key_holds_once_and_another_request_may_not_use_it(gate: Gate) -> None:
    first = await gate.hold(400, key="k")
    again = await gate.hold(400, key="k")
    assert (again.replayed, again.hold.id) == (True, first.hold.id)
    with pytest.raises(IdempotencyKeyReusedError):
        await gate.hold(401, key="k")
    one = await gate.capture(first.hold.id, 100, key="c")
    two = await gate.capture(first.hold.id, 100, key="c")
    assert (one.replayed, two.replayed, two.hold.captured_minor) == (False, True, 100)
    assert await gate.credit() == (900, 0)


async def test_members_of_a_list_stand_for_themselves_and_a_key_twice_in_it_holds_once(gate: Gate) -> None:
    wanted = [gate.wanted(600, key="a"), gate.wanted(600), gate.wanted(600, key="a"), gate.wanted(601, key="a")]
    answers = await hold.create(
        gate.stage.desk, gate.agent, [*wanted, gate.wanted(400), gate.wanted(1, customer_id=None)]
    )
    assert errors(answers) == [
        "pending",
        InsufficientFundsError,
        "pending",
        IdempotencyKeyReusedError,
        "pending",
        InvalidFieldError,
    ]
    assert isinstance(answers[2], Held)
    assert answers[2].replayed
    assert await gate.credit() == (1000, 1000)


async def test_what_credit_does_not_cover_is_refused_in_words_and_may_come_again(gate: Gate) -> None:
    with pytest.raises(InsufficientFundsError, match=r"the customer's prepaid credit in usd does not cover it"):
        await gate.hold(1001, key="k")
    await gate.book(Movement(chart.bank("default", "usd"), CREDIT, 1))
    assert (await gate.hold(1001, key="k")).hold.status == "pending"


async def test_captures_are_at_most_what_is_held_and_a_closed_hold_stays_closed(gate: Gate) -> None:
    held = (await gate.hold(400)).hold
    assert (await gate.capture(held.id, 300, final=False)).hold.status == "pending"
    with pytest.raises(CaptureTooLargeError, match=re.escape("Only $1.00 of this hold is left to capture.")):
        await gate.capture(held.id, 101)
    assert (await gate.capture(held.id, 50)).hold.status == "captured"
    with pytest.raises(StateConflictError, match="captured already"):
        await gate.capture(held.id, 1)
    with pytest.raises(StateConflictError, match="captured already"):
        await gate.release(held.id)
    assert await gate.credit() == (650, 0)


async def test_release_is_idempotent_and_nothing_can_be_captured_after_it(gate: Gate) -> None:
    held = (await gate.hold(400)).hold
    assert [(await gate.release(held.id)).hold.status for _ in range(2)] == ["released", "released"]
    with pytest.raises(StateConflictError, match="released already"):
        await gate.capture(held.id, 1)
    assert await gate.credit() == (1000, 0)


async def test_an_expired_hold_is_captured_while_the_funds_are_there_and_not_after(gate: Gate) -> None:
    first, second = (await gate.hold(400)).hold, (await gate.hold(500)).hold
    await gate.expire(first.id)
    await gate.expire(second.id)
    assert (await gate.release(first.id)).hold.status == "expired"
    assert (await gate.capture(first.id, 400)).hold.status == "captured"
    await gate.hold(200)
    with pytest.raises(HoldExpiredError):
        await gate.capture(second.id, 401)
    with pytest.raises(CaptureTooLargeError):
        await gate.capture(second.id, 501)
    assert (await gate.capture(second.id, 400)).hold.captured_minor == 400


async def test_a_hold_on_a_mandate_takes_from_its_day(gate: Gate) -> None:
    mandate = await gate.mandate(gate.agent, 1000)
    held = await gate.hold(600, customer_id=None, mandate_id=mandate.id)
    assert (held.hold.mandate_id, held.hold.customer_id) == (mandate.id, None)
    with pytest.raises(InsufficientFundsError, match=r"too little is left of the mandate's budget of \$10.00"):
        await gate.hold(401, customer_id=None, mandate_id=mandate.id)
    await gate.release(held.hold.id)
    both = await gate.hold(700, mandate_id=mandate.id)
    assert await gate.credit() == (1000, 700)
    await gate.capture(both.hold.id, 500)
    assert await gate.credit() == (500, 0)
    with pytest.raises(InsufficientFundsError, match=r"mandate's budget.*; the customer's prepaid credit"):
        await gate.hold(600, mandate_id=mandate.id)
    assert await gate.stage.broken_invariants() == {}


@pytest.mark.parametrize(
    ("terms", "wanted", "rule"),
    [
        ({"kinds": ("charge",)}, {}, "mandate_kind"),
        ({}, {"amount_minor": 701}, "mandate_payment_limit"),
        ({}, {"currency": "eur"}, "mandate_currency"),
        ({"payees": ("cust_2",)}, {}, "mandate_payee"),
    ],
)
async def test_a_mandates_rules_refuse_by_name(
    gate: Gate, terms: dict[str, Any], wanted: dict[str, Any], rule: str
) -> None:
    mandate = await gate.mandate(gate.agent, 1000, **terms)
    with pytest.raises(PaymentDeniedError) as refused:
        await gate.hold(**{"amount_minor": 100, "mandate_id": mandate.id, **wanted})
    assert refused.value.extra["rule"] == rule


async def test_nobody_holds_on_the_mandate_of_another_or_on_one_that_ended(gate: Gate) -> None:
    other = await gate.another("other", "initiate")
    mandate = await gate.mandate(other, 1000)
    with pytest.raises(PaymentDeniedError, match="no_mandate"):
        await gate.hold(100, mandate_id=mandate.id)
    await access.revoke_mandate(gate.stage.desk, gate.stage.admin, mandate.id)
    with pytest.raises(PaymentDeniedError, match="mandate_status"):
        await gate.hold(100, actor=other, mandate_id=mandate.id)


async def test_a_new_day_has_its_own_budget_also_for_whoever_is_remembered(gate: Gate, world: World) -> None:
    mandate = await gate.mandate(gate.agent, 700)
    agent = await gate.remembered()
    await gate.hold(700, actor=agent, customer_id=None, mandate_id=mandate.id)
    world.clock.advance(86_400)
    assert (await gate.hold(700, actor=agent, customer_id=None, mandate_id=mandate.id)).hold.status == "pending"


async def test_a_remembered_key_ends_when_it_expires(gate: Gate, world: World) -> None:
    _, key = await access.create_key(gate.stage.desk, gate.stage.admin, gate.agent.principal.id, 60)
    agent = await replace(gate, key=key).remembered()
    held = (await gate.hold(100, actor=agent)).hold
    world.clock.advance(61)
    for attempt in (gate.hold(1, actor=agent), gate.capture(held.id, 1, actor=agent), gate.release(held.id, agent)):
        with pytest.raises(AuthenticationError):
            await attempt
    assert await gate.credit() == (1000, 100)


async def test_no_more_keys_are_remembered_than_allowed(gate: Gate) -> None:
    desk = gate.stage.desk
    standings = Standings(desk.pool, most=2)
    keys = [(await access.create_key(desk, gate.stage.admin, gate.agent.principal.id, None))[1] for _ in range(3)]
    first = await standings.of_key(keys[0])
    await standings.of_key(keys[1])
    assert await standings.of_key(keys[0]) is first
    await standings.of_key(keys[2])
    assert await standings.of_key(keys[0]) is first
    await standings.of_key(keys[1])
    assert await standings.of_key(keys[0]) is first
    assert len(standings) == 2


async def test_roles_say_who_holds_and_whose_holds_one_may_close(gate: Gate) -> None:
    held = (await gate.hold(400)).hold
    reviewer, stranger = await gate.another("reviewer", "review"), await gate.another("stranger", "initiate")
    settler = await gate.another("settler", "settle")
    with pytest.raises(ForbiddenError, match="initiate"):
        await gate.hold(1, actor=settler)
    for actor, error in ((reviewer, ForbiddenError), (stranger, NotFoundError)):
        with pytest.raises(error):
            await gate.capture(held.id, 1, actor=actor)
        with pytest.raises(error):
            await gate.release(held.id, actor)
    assert (await gate.capture(held.id, 100, final=False, actor=settler)).hold.principal_id == gate.agent.principal.id
    assert (await gate.release(held.id, settler)).hold.status == "released"


async def test_the_hold_of_a_payment_is_out_of_the_gates_reach(gate: Gate) -> None:
    payment = await gate.stage.charge(200, key="p", bare=True)
    assert payment.hold_id is not None
    for actor in (gate.stage.agent, gate.stage.admin):
        with pytest.raises(NotFoundError):
            await gate.release(payment.hold_id, actor)
        with pytest.raises(NotFoundError):
            await gate.capture(payment.hold_id, 200, actor=actor)


async def test_a_suspended_tenant_holds_captures_and_releases_nothing(gate: Gate) -> None:
    agent = await gate.remembered()
    held = (await gate.hold(400, actor=agent)).hold
    await access.set_tenant_status(gate.stage.desk, gate.stage.admin, "suspended")
    for attempt in (gate.hold(1, actor=agent), gate.capture(held.id, 1, actor=agent), gate.release(held.id, agent)):
        with pytest.raises(PaymentDeniedError, match="tenant_inactive: the whole tenant is suspended"):
            await attempt
    assert await gate.credit() == (1000, 400)


async def test_many_callers_share_commits_and_each_gets_its_own_answer(gate: Gate) -> None:
    async def one(number: int) -> Answer:
        wanted = [gate.wanted(30, key=f"k{number % 40}")]
        return (await hold.create(gate.stage.desk, await gate.remembered(), wanted))[0]

    answers = await asyncio.gather(*(one(number) for number in range(80)))
    found = errors(answers)
    assert found.count("pending") == 66
    assert found.count(InsufficientFundsError) == 14
    assert len({answer.hold.id for answer in answers if isinstance(answer, Held)}) == 33
    assert await gate.credit() == (1000, 990)
