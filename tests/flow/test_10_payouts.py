"""Payouts: money leaves for a payee. A person approves, funds are held before anything is sent, it is paid once."""

import contextlib
from typing import Any

import pytest
from msgspec import structs

from paywarden.db.transaction import transaction
from paywarden.flow import access, guard, reconcile, review, settle, story
from paywarden.flow.ask import Ask
from paywarden.flow.desk import DEFAULT_PROVIDER, Actor
from paywarden.flow.guard import INSUFFICIENT
from paywarden.flow.review import Given
from paywarden.kit.errors import InvalidFieldError
from paywarden.kit.states import Status
from paywarden.payments.rows import Payment
from paywarden.providers.port import PreparedRequest
from paywarden.providers.rest import RestProvider
from tests.flow.watched_provider import watch
from tests.flow.world import Death, Reaper, World, all_of, event

pytestmark = pytest.mark.shared_sandbox

CLEARING = "provider_clearing/rest/"
CLAIM = Ask("payout", 600, "usd", payee="iban-of-ann", customer_id="ann", purpose="claims", reference="CLM-1")


class Claims:
    """A world with premiums collected, an agent that may ask for payouts, and a person who may approve them."""

    def __init__(self, world: World, finance: Actor) -> None:
        self.world, self.finance = world, finance

    async def collect(self, amount_minor: int) -> None:
        await self.world.settle(await self.world.stage.charge(amount_minor, customer_id="ann", purpose="premium"))

    async def asked(self, **changes: Any) -> Payment:
        return (await self.world.stage.ask(structs.replace(CLAIM, **changes))).payment

    async def approve(self, payment: Payment) -> Payment:
        review_id = await self.world.review_of(payment)
        return (await review.give_verdict(self.world.stage.desk, self.finance, review_id, Given("approve", "seen")))[1]

    async def paid(self, **changes: Any) -> Payment:
        (payment,) = await self.world.settle(await self.approve(await self.asked(**changes)))
        return payment

    async def paid_out(self) -> int:
        """How often the provider really paid out."""
        return sum((await self.world.book())["paid_out"].values())


@pytest.fixture
async def claims(world: World) -> Claims:
    await world.mandate(world.stage.admin, world.stage.agent, name="claims", kinds=("payout",))
    made = Claims(world, await world.reviewer("fin"))
    await made.collect(1_000)
    return made


async def test_a_payout_waits_for_a_person_is_paid_and_booked_once(claims: Claims, world: World) -> None:
    asked = await claims.asked()
    assert (asked.status, asked.hold_id) == (Status.IN_REVIEW, None)
    reserved = await claims.approve(asked)
    assert reserved.oversight == "reviewed"
    (paid,) = await world.settle(reserved)
    assert (paid.status, paid.captured_minor, paid.refundable_minor, paid.late) == (Status.SUCCEEDED, 600, 0, False)
    assert world.account("expense/claims") == (600, 0)
    assert world.account(CLEARING) == (400, 0)
    assert await claims.paid_out() == 1
    await world.check_books([paid])
    told = await story.tell(world.stage.desk, world.stage.admin, paid.id)
    booked = [(row["debit"], row["credit"]) for row in told.transfers if row["book"] == "money"]
    assert booked == [("expense/claims", "provider_clearing/rest/default")]


async def test_funds_are_held_from_the_approval_on_until_the_provider_has_paid(claims: Claims, world: World) -> None:
    seen = []

    async def look(request: PreparedRequest) -> None:
        assert request.path == "/v1/payouts"
        seen.append(world.account(CLEARING))

    watch(world.stage, look)
    await claims.paid()
    assert seen == [(1_000, 600)]


async def test_more_than_was_collected_is_denied_after_the_approval_and_nothing_is_sent(
    claims: Claims, world: World
) -> None:
    denied = await claims.approve(await claims.asked(amount_minor=1_001))
    assert denied.status is Status.DENIED
    assert denied.reason == f"{INSUFFICIENT}: there is too little USD on our account at the provider for this payout"
    assert (await claims.paid_out(), world.account(CLEARING), world.held()) == (0, (1_000, 0), 0)


async def test_two_payouts_cannot_spend_the_same_money(claims: Claims, world: World) -> None:
    both = [await claims.asked(reference=reference) for reference in ("CLM-1", "CLM-2")]
    await all_of(*(claims.approve(payment) for payment in both))
    settled = await world.settle(*both)
    assert sorted(payment.status for payment in settled) == [Status.DENIED, Status.SUCCEEDED]
    assert (await claims.paid_out(), world.account(CLEARING)) == (1, (400, 0))
    await world.check_books(settled)


@pytest.mark.parametrize("fault", ["drop_after_charge", "half_body", "error_500_before_charge", "duplicate_webhook"])
async def test_an_answer_that_is_lost_pays_once(claims: Claims, world: World, fault: str) -> None:
    await world.stage.sandbox.arm(fault, times=1, operation="payout")
    paid = await claims.paid()
    assert (paid.status, await claims.paid_out()) == (Status.SUCCEEDED, 1)
    await world.check_books([paid])


@pytest.mark.parametrize("fault", ["decline", "fail_later"])
async def test_a_payout_that_fails_gives_everything_back(claims: Claims, world: World, fault: str) -> None:
    await world.stage.sandbox.arm(fault, times=1, operation="payout")
    failed = await claims.paid()
    assert (failed.status, await claims.paid_out()) == (Status.FAILED, 0)
    assert (world.account(CLEARING), world.account("expense/claims"), world.held()) == ((1_000, 0), (0, 0), 0)


async def test_a_payout_survives_a_death_at_every_commit(claims: Claims, world: World, reaper: Reaper) -> None:
    walked, deaths = [], 0
    for number in range(1, 40):
        await claims.collect(600)
        payment = await claims.asked(reference=f"CLM-{number}")
        reaper.strike_at(number, before_commit=bool(number % 2))
        with contextlib.suppress(Death):
            await claims.approve(payment)
        if not reaper.rest():
            break
        deaths += 1
        await world.advance(60)
        if (await world.stage.find(payment.id)).status is Status.IN_REVIEW:
            await claims.approve(payment)
        walked.append(payment)
    settled = await world.settle(*walked)
    assert deaths >= 5
    assert {payment.status for payment in settled} == {Status.SUCCEEDED}
    await world.check_books(settled)


async def test_a_success_that_nobody_asked_for_is_booked_and_raised(claims: Claims, world: World) -> None:
    """The provider's word is the truth, also about what was canceled: the money is gone, and somebody must look."""
    canceled = await settle.cancel(world.stage.desk, world.stage.agent, (await claims.asked(amount_minor=1_001)).id)
    await world.tell(event("payout.succeeded", "po_9", reference=canceled.public_id, amount=1_001, currency="usd"))
    late = await world.stage.find(canceled.id)
    assert (late.status, late.late) == (Status.SUCCEEDED, True)
    assert (world.account(CLEARING), world.account("expense/claims")) == ((-1, 0), (1_001, 0))
    assert "below_floor" in world.discrepancies(late)


@pytest.mark.parametrize("event_type", ["payment.succeeded", "refund.succeeded"])
async def test_an_event_of_another_kind_proves_nothing_about_a_payout(
    claims: Claims, world: World, event_type: str
) -> None:
    asked = await claims.asked()
    await world.tell(event(event_type, "po_1", reference=asked.public_id, amount=600, currency="usd"))
    assert (await world.stage.find(asked.id)).status is Status.IN_REVIEW
    assert world.discrepancies(asked) == ["event_kind_differs"]


@pytest.mark.shared_sandbox(False)
async def test_reconciliation_matches_payouts_and_misses_what_is_not_ours(claims: Claims, world: World) -> None:
    await claims.paid()
    now = world.one("select paywarden.clock()")
    report = await reconcile.run(world.stage.desk, world.stage.admin, None, None)
    ours = [finding for finding in report["findings"] if finding["subject"].startswith("pay_")]
    assert (report["matched"], ours) == (2, [])
    assert report["until"] > now


@pytest.mark.shared_sandbox(False)
async def test_what_only_the_statement_proves_of_a_payout_is_booked(claims: Claims, world: World) -> None:
    paid = await claims.paid()
    world.edit("delete from paywarden.transfers where payment_id = %s and book = 'money'", paid.id)
    report = await reconcile.run(world.stage.desk, world.stage.admin, None, None)
    assert [(one["kind"], one["theirs_minor"]) for one in report["findings"] if one["subject"] == paid.public_id] == [
        ("not_booked", -600)
    ]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"payee": None}, "payee"),
        ({"kind": "charge"}, "payee"),
        ({"bare": True, "expires_in_seconds": 9}, "kind"),
        ({"confirm": False}, "confirm"),
    ],
)
async def test_what_cannot_be_a_payout_is_refused_by_field(world: World, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        await world.stage.ask(structs.replace(CLAIM, **changes))
    assert refused.value.param == param


async def test_without_a_rail_for_payouts_there_are_none(world: World) -> None:
    settings = world.stage.desk.settings
    provider = RestProvider(str(settings.payment_api_url), "key")
    world.stage.desk.providers[DEFAULT_PROVIDER] = provider  # type: ignore[index]
    with pytest.raises(InvalidFieldError, match="PAYMENT_API_PAYOUTS") as refused:
        await world.stage.ask(CLAIM)
    assert refused.value.param == "kind"
    await provider.close()


async def test_a_payee_is_known_once_it_was_paid_or_a_mandate_names_it(claims: Claims, world: World) -> None:
    async def known(payment: Payment) -> bool:
        async with transaction(world.stage.desk.pool, payment.tenant_id) as connection:
            return (await guard.look(connection, payment, None)).facts.payee_known

    first = await claims.asked()
    assert not await known(first)
    await world.settle(await claims.approve(first))
    assert await known(await claims.asked(reference="CLM-2"))
    stranger = await claims.asked(payee="iban-of-bob", reference="CLM-3")
    assert not await known(stranger)
    await world.mandate(world.stage.admin, world.stage.agent, name="tea", kinds=("charge",), payees=("iban-of-bob",))
    assert not await known(stranger)
    named = {"name": "bob", "kinds": ("payout",), "payees": ("iban-of-bob",)}
    mandate_id = await world.mandate(world.stage.admin, world.stage.agent, **named)
    assert await known(stranger)
    await access.revoke_mandate(world.stage.desk, world.stage.admin, mandate_id)
    assert not await known(stranger)
    ended = world.one("select paywarden.clock() + interval '1 minute'")
    await world.mandate(world.stage.admin, world.stage.agent, **named | {"valid_until": ended})
    assert await known(stranger)
    await world.advance(61)
    assert not await known(stranger)
