"""Consulting an adviser that fails: never an exception, never an approval."""

import asyncio

import pytest

from paywarden.decisions.advice import MalformedAdviceError, Snapshot
from paywarden.decisions.adviser import AdviceRecord, consult
from paywarden.decisions.rules import RulesAdviser
from tests.unit.judged import charge, noted

SEEN = noted("I was charged twice", charge("pay_1"), charge("pay_2"))


class Failing:
    name = "failing"

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def most_micro_usd(self, _: Snapshot) -> int:
        return 0

    async def advise(self, snapshot: Snapshot) -> AdviceRecord:
        if self.error:
            raise self.error
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (MalformedAdviceError("no JSON"), "adviser_malformed: no JSON"),
        (ConnectionResetError("secret in a message"), "adviser_error: ConnectionResetError"),
        (ZeroDivisionError(), "adviser_error: ZeroDivisionError"),
        (None, "adviser_timeout: no answer within 0.05 seconds"),
    ],
)
async def test_what_goes_wrong_escalates_and_is_named(error: Exception | None, failure: str) -> None:
    record = await consult(Failing(error), SEEN, 0.05)
    assert record.failure == failure
    assert (record.adviser, record.advice.verdict, record.advice.amount_minor) == ("failing", "escalate", 0)
    assert failure in record.advice.reason


async def test_a_sound_adviser_is_passed_through() -> None:
    assert (await consult(RulesAdviser(), SEEN, 5)).advice.verdict == "approve"


async def test_who_cancels_is_obeyed() -> None:
    task = asyncio.create_task(consult(Failing(None), SEEN, 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
