"""Ask: stored once, decided in the same commit, and never twice."""

import asyncio

import pytest

from paywarden.db.transaction import transaction
from paywarden.flow import access, story
from paywarden.flow.ask import Ask
from paywarden.flow.desk import Actor
from paywarden.kit.errors import (
    ForbiddenError,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    InvalidFieldError,
    StateConflictError,
)
from paywarden.kit.states import Status
from tests.flow.stage import Stage

pytestmark = pytest.mark.shared_sandbox


async def count_payments(stage: Stage) -> int:
    return len(await story.list_payments(stage.desk, stage.agent, limit=500))


async def test_an_allowed_charge_is_reserved_sent_and_waits_for_the_provider(stage: Stage) -> None:
    payment = await stage.charge()
    assert payment.status in {Status.PROCESSING, Status.SUCCEEDED}
    assert payment.provider_payment_id
    assert (payment.oversight, payment.quickstart_status) == ("autonomous", "pending")
    paid = await stage.until(payment.id, Status.SUCCEEDED)
    assert (paid.captured_minor, paid.late) == (2_500, False)
    assert await stage.charges_at_provider(paid) == 1
    assert await stage.broken_invariants() == {}


async def test_the_same_key_is_the_same_payment_and_another_body_is_refused(stage: Stage) -> None:
    first = await stage.ask(Ask("charge", 700, "usd", customer_id="c"), "k")
    again = await stage.ask(Ask("charge", 700, "usd", customer_id="c"), "k")
    assert (again.payment.id, again.replayed) == (first.payment.id, True)
    with pytest.raises(IdempotencyKeyReusedError):
        await stage.ask(Ask("charge", 701, "usd", customer_id="c"), "k")
    assert await count_payments(stage) == 1


async def test_many_at_once_with_one_key_are_one_payment(stage: Stage) -> None:
    wanted = Ask("charge", 700, "usd", customer_id="c")
    answers = await asyncio.gather(*(stage.ask(wanted, "same") for _ in range(20)), return_exceptions=True)
    payments = {answer.payment.id for answer in answers if not isinstance(answer, BaseException)}
    refused = {type(answer) for answer in answers if isinstance(answer, BaseException)}
    assert len(payments) == 1
    assert refused <= {IdempotencyInProgressError}
    assert await count_payments(stage) == 1


async def test_over_the_limit_of_a_payment_is_denied_by_the_mandate_and_nothing_is_held(stage: Stage) -> None:
    payment = await stage.charge(50_001)
    assert (payment.status, payment.reason, payment.hold_id) == (
        Status.DENIED,
        "mandate_payment_limit: at most $500.00 a payment; this is $500.01",
        None,
    )
    assert await stage.broken_invariants() == {}


async def test_over_the_days_budget_is_denied_as_insufficient(stage: Stage) -> None:
    terms = access.MandateTerms(
        stage.admin.principal.id, "small", ("charge",), (access.Limit("eur", "day", 1_000),), "UTC"
    )
    await access.create_mandate(stage.desk, stage.admin, terms)
    answers = [
        (await stage.ask(Ask("charge", 600, "eur", customer_id="c"), actor=stage.admin)).payment for _ in range(2)
    ]
    assert (answers[0].reason, answers[1].status) == (None, Status.DENIED)
    told = "insufficient: too little is left of the mandate's budget of €10.00 for 20"
    assert (answers[1].reason or "").startswith(told)


async def test_a_currency_without_a_budget_is_denied(stage: Stage) -> None:
    assert (await stage.charge(100, currency="jpy")).reason == (
        "no_mandate: there is no active mandate of this principal for charge jpy"
    )


async def test_a_principal_that_may_not_initiate_leaves_no_row(stage: Stage) -> None:
    reader = await access.create_agent(stage.desk, stage.admin, "agent", "reader", ["review"])
    with pytest.raises(ForbiddenError):
        await stage.ask(Ask("charge", 1, "usd", customer_id="c"), actor=Actor(reader))
    assert await count_payments(stage) == 0


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"amount_minor": 0}, "amount_minor"),
        ({"amount_minor": 10**15 + 1}, "amount_minor"),
        ({"currency": "xxx"}, "currency"),
        ({"currency": "USD"}, "currency"),
        ({"customer_id": None}, "customer"),
        ({"customer_id": "a\x00b"}, "customer_id"),
        ({"reference": "4242 4242 4242 4242"}, "reference"),
        ({"kind": "payout"}, "payee"),
        ({"kind": "refund"}, "payment"),
    ],
)
async def test_bad_input_names_the_field_and_leaves_no_row(stage: Stage, changes: dict, param: str) -> None:
    values = {"kind": "charge", "amount_minor": 5, "currency": "usd", "customer_id": "c"} | changes
    with pytest.raises(InvalidFieldError) as refused:
        await stage.ask(Ask(**values))
    assert refused.value.param == param
    assert await count_payments(stage) == 0
    async with transaction(stage.desk.pool, stage.agent.tenant_id) as connection:
        row = await (await connection.execute("select count(*) as n from paywarden.idempotency_keys")).fetchone()
    assert row == {"n": 0}


async def test_a_repeat_without_a_key_is_held_for_a_person_and_never_merged(stage: Stage) -> None:
    first = await stage.charge(900, key=None)
    second = await stage.charge(900, key=None)
    other = await stage.charge(900, key=None, reference="another")
    assert [first.status is Status.IN_REVIEW, second.status, other.status is Status.IN_REVIEW] == [
        False,
        Status.IN_REVIEW,
        False,
    ]
    assert second.id != first.id
    assert second.duplicate_suspected
    told = [
        {row["rule"] for row in (await story.tell(stage.desk, stage.agent, each.id)).checks} for each in (first, second)
    ]
    assert ["duplicate_guard" in rules for rules in told] == [False, True]


async def test_a_dry_run_says_what_would_happen_and_stores_nothing(stage: Stage) -> None:
    wanted = Ask("charge", 900, "usd", customer_id="c")
    assert (await story.check(stage.desk, stage.agent, wanted))["status"] == "reserved"
    too_much = await story.check(stage.desk, stage.agent, Ask("charge", 60_000, "usd", customer_id="c"))
    assert (too_much["status"], too_much["reason"]) == (
        "denied",
        "mandate_payment_limit: at most $500.00 a payment; this is $600.00",
    )
    assert await count_payments(stage) == 0


async def test_a_refund_never_takes_more_than_the_charge_took(stage: Stage) -> None:
    charge = await stage.paid_charge(1_000)
    for amount, fits in ((600, True), (401, False), (400, True), (1, False)):
        wanted = Ask("refund", amount, "usd", original_payment_id=charge.id)
        # The adviser misses what it is for; what waits for that, or for a person, keeps the amount set aside.
        if fits:
            waits = (await stage.ask(wanted, actor=stage.admin)).payment.status
            assert waits in {Status.NEEDS_FACTS, Status.IN_REVIEW}
        else:
            with pytest.raises(StateConflictError, match="can be refunded"):
                await stage.ask(wanted, actor=stage.admin)
    assert (await stage.find(charge.id)).refundable_minor == 0
    assert await stage.broken_invariants() == {}


async def test_a_dry_run_is_judged_as_the_door_would_with_a_key_of_its_own(stage: Stage) -> None:
    wanted = Ask("charge", 700, "usd", customer_id="c", reference="same")
    await stage.ask(wanted, key=None)
    assert (await story.check(stage.desk, stage.agent, wanted))["status"] == "reserved"
    assert (await stage.ask(wanted, key=None)).payment.status is Status.IN_REVIEW
