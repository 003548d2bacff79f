"""A payment asked over HTTP, judged by what aimock says, through the whole running service to its end."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.stack import Stack, wait_until

from interop.aimock import API_KEY, Aimock, fails, says
from interop.conftest import Row
from paywarden.client import Paywarden

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, aimock: Aimock) -> Iterator[Stack]:
    told = {"ANTHROPIC_API_KEY": API_KEY, "ANTHROPIC_BASE_URL": aimock.url, "PAYWARDEN_ADVISER_TIMEOUT_SECONDS": "10"}
    stack = Stack(tmp_path_factory.mktemp("payment") / "data", **told)
    try:
        yield stack.start()
        stack.stop()
        assert API_KEY not in stack.complaints()
    finally:
        stack.end()


@pytest.fixture
def desk(stack: Stack) -> Iterator[Paywarden]:
    with Paywarden(stack.url, stack.ready["admin_key"]) as desk:
        yield desk


def _status(desk: Paywarden, payment_id: str) -> str:
    return str(desk.get_payment(payment_id)["status"])


def _charged_twice(desk: Paywarden, customer: str) -> list[str]:
    charges = [
        desk.charge(2_500, "usd", customer, purpose="order", reference=customer, idempotency_key=f"{customer}-{n}")
        for n in range(2)
    ]
    for charge in charges:
        wait_until(lambda: _status(desk, charge["id"]) == "succeeded", 30, "the charge")  # noqa: B023
    return [str(charge["id"]) for charge in charges]


def _approval(cited: list[str]) -> dict[str, Any]:
    return {
        "verdict": "approve",
        "amount_minor": 2_500,
        "reason": "Charged twice.",
        "confidence": 95,
        "evidence": cited,
        "missing_facts": [],
    }


def test_a_refund_is_paid_on_the_advice(desk: Paywarden, aimock: Aimock, table: list[Row]) -> None:
    charges = _charged_twice(desk, "cust-interop-1")
    aimock.answer(says(_approval(charges)))
    refund = desk.refund(charges[1], 2_500, "usd", request="You took the money for my order twice!")
    assert refund["oversight"] == "advised"
    wait_until(lambda: _status(desk, refund["id"]) == "succeeded", 30, "the refund")
    assert desk.get_payment(charges[1])["refunded_minor"] == 2_500
    table.append(("a refund, approved", "200", "advised, succeeded, $25.00 went back"))
    (request,) = aimock.requests()
    assert all(charge in request["body"]["messages"][1]["content"] for charge in charges)


def test_without_an_advice_a_person_looks(desk: Paywarden, aimock: Aimock, table: list[Row]) -> None:
    charges = _charged_twice(desk, "cust-interop-2")
    aimock.answer(fails(529, "overloaded_error"))
    refund = desk.refund(charges[1], 2_500, "usd", request="You took the money for my order twice!")
    assert refund["status"] == "in_review"
    assert desk.get_payment(charges[1])["refunded_minor"] == 0
    checks = {check["rule"]: check["detail"] for check in desk.get_dossier(refund["id"])["checks"]}
    assert checks["adviser_answered"].startswith("adviser_overloaded:")
    table.append(("a refund, overloaded", "529", "in_review, nothing went back"))
