"""Reconcile: the provider's book, our payments and our ledger, line by line; a line proves what nobody else could."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from paywarden.flow import reconcile
from paywarden.flow.desk import DEFAULT_PROVIDER, Actor
from paywarden.kit.errors import InvalidFieldError, OverloadedError
from paywarden.kit.states import Status
from paywarden.payments.rows import Payment
from paywarden.providers.port import StatementLine, Unknown
from tests.flow.watched_provider import watch
from tests.flow.world import World, event

DAY = 86_400


async def run(world: World, actor: Actor | None = None, *, days: int = 40) -> dict[str, Any]:
    now = world.one("select paywarden.clock()")
    return await reconcile.run(world.stage.desk, actor or world.stage.admin, now - timedelta(days=days), None)


def kinds(report: dict[str, Any]) -> list[str]:
    return sorted(finding["kind"] for finding in report["findings"])


async def paid(world: World, number: int = 3) -> list[Payment]:
    return await world.settle(*[await world.stage.charge(100 + each, customer_id=f"c{each}") for each in range(number)])


async def test_equal_books_match_line_by_line(world: World) -> None:
    payments = await paid(world)
    charge = await world.double_charge("cust_1", 900)
    (refund,) = await world.settle((await world.stage.ask(world.refund_of(charge, 900))).payment)
    report = await run(world)
    assert (report["matched"], report["findings"]) == (len(payments) + 3, [])
    assert report["books"][0]["difference_minor"] == 0
    assert refund.status is Status.SUCCEEDED
    assert world.discrepancies() == []


async def test_what_only_the_statement_proves_is_booked_past_any_window(world: World) -> None:
    """R8's queue: nobody answered, the key is old, the look-up finds nothing; the provider's own book has it."""
    stage = world.stage.sending_only()
    await stage.sandbox.arm("drop_after_charge", times=1, operation="submit")
    await stage.sandbox.arm("error_500_before_charge", times=1, operation="fetch")
    payment = await stage.charge(700)
    provider = watch(world.stage)

    async def nothing(*_: Any) -> tuple[()]:
        return ()

    provider.fetch_by_reference = nothing  # type: ignore[method-assign]
    await world.advance(30 * DAY)
    await world.work()
    assert world.discrepancies(payment) == ["outcome_unknown_past_window"]
    report = await run(world)
    assert (kinds(report), report["matched"]) == ([], 1)
    proved = await world.stage.find(payment.id)
    assert (proved.status, proved.captured_minor, provider.sent) == (Status.SUCCEEDED, 700, [])
    assert world.discrepancies() == []
    await world.check_books([proved], charged=1)


async def test_a_fee_with_the_reference_of_its_charge_does_not_hide_it(world: World) -> None:
    charge = await world.stage.charge(700)
    (paid_charge,) = await world.settle(charge)
    world.edit("delete from paywarden.transfers where payment_id = %s", charge.id)
    world.edit("update paywarden.payments set status = 'outcome_unknown' where id = %s", charge.id)
    provider = world.stage.desk.provider(DEFAULT_PROVIDER)
    line = StatementLine(
        "l1", "charge", paid_charge.provider_payment_id or "", 700, "usd", charge.public_id, paid_charge.updated_at
    )
    fee = replace(line, line_id="l2", kind="fee", provider_id="fee_1", amount_minor=-30)

    async def statement(*_: Any) -> list[StatementLine]:
        return [line, fee]

    provider.statement = statement  # type: ignore[method-assign]
    await run(world)
    assert (await world.stage.find(charge.id)).status is Status.SUCCEEDED
    assert world.discrepancies(charge) == []


async def test_a_payment_made_before_the_period_and_settled_in_it_is_compared(world: World) -> None:
    await world.stage.sandbox.change_settings(webhook_delay_seconds=5 * DAY)
    payment = await world.stage.charge(700)
    await world.advance(5 * DAY + 60)
    report = await run(world, days=1)
    assert (report["matched"], report["findings"]) == (1, [])
    assert (await world.stage.find(payment.id)).status is Status.SUCCEEDED


async def test_a_success_that_the_provider_does_not_have_is_found_and_stays_open_until_it_is_gone(world: World) -> None:
    await world.stage.sandbox.change_settings(webhook_delay_seconds=3_600)
    payment = await world.stage.charge(700)
    await world.tell(event("payment.succeeded", payment.provider_payment_id or ""))
    for _ in range(2):
        assert kinds(await run(world)) == ["booked_without_provider"]
    assert world.discrepancies(payment) == ["booked_without_provider"]
    await world.advance(3_700)
    assert kinds(await run(world)) == []
    assert world.discrepancies() == []
    assert world.one("select count(*) from paywarden.discrepancies where status = 'resolved'") == 1


async def test_a_line_of_another_amount_is_found_and_books_nothing(world: World) -> None:
    payment = await world.stage.with_settings(answer_timeout_seconds=-1.0).charge(700)
    world.edit(
        "update paywarden.payments set status = 'outcome_unknown', provider_payment_id = 'p1' where id = %s", payment.id
    )
    (other,) = await paid(world, 1)
    world.edit("update paywarden.payments set amount_minor = amount_minor + 5 where id = %s", other.id)
    assert kinds(await run(world)) == ["amount_differs"]
    assert (await world.stage.find(payment.id)).captured_minor == 0


async def test_a_charge_made_twice_is_found(world: World) -> None:
    payments = await paid(world, 1)
    provider = watch(world.stage)
    request = world.sql("select path, body from paywarden.operations")[0]
    from paywarden.providers.port import PreparedRequest

    again = PreparedRequest("POST", request["path"], bytes(request["body"]), "another key")
    await provider._real.send(again, 2)
    await world.advance(5)
    assert kinds(await run(world)) == ["doubled"]
    assert world.discrepancies(payments[0]) == ["doubled"]
    assert world.one("select count(*) from paywarden.transfers where fact_kind = 'succeeded' and book = 'money'") == 1


async def test_another_tenants_lines_are_nobody_elses_business(world: World) -> None:
    await paid(world, 2)
    other = await world.other_tenant()
    report = await run(world, other)
    assert (report["matched"], report["findings"], report["books"]) == (0, [], [])
    assert world.discrepancies() == []


async def test_without_a_usable_statement_nothing_is_concluded(world: World) -> None:
    await paid(world, 1)
    provider = watch(world.stage)

    async def silent(*_: Any) -> Unknown:
        return Unknown("no answer in time")

    provider.statement = silent  # type: ignore[method-assign]
    with pytest.raises(OverloadedError):
        await run(world)
    assert world.discrepancies() == []


async def test_a_period_that_is_none_is_refused_and_never_green(world: World) -> None:
    now = world.one("select paywarden.clock()")
    day = timedelta(days=1)
    for since, until, field in ((now, now - day, "until"), (now - day, now - day, "until"), (now + day, None, "until"),
                                (now + day, now + 2 * day, "since")):  # fmt: skip
        with pytest.raises(InvalidFieldError) as refused:
            await reconcile.run(world.stage.desk, world.stage.admin, since, until)
        assert refused.value.param == field
