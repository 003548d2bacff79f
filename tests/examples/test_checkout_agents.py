"""The three checkout agents against a whole running service, also when two of them want the same thing at once."""

import inspect
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import ModuleType
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from paywarden.client import Paywarden, PaywardenApiError
from tests.examples.conftest import EXAMPLES
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.timeout(180)
_NUMBERS = count(100)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    policy = str(EXAMPLES / "checkout.cedar")
    stack = Stack(tmp_path_factory.mktemp("checkout") / "data", PAYWARDEN_POLICY_FILE=policy)
    try:
        yield stack.start()
        stack.stop()
    finally:
        stack.end()


@pytest.fixture(scope="module")
def agents(stack: Stack, example: Callable[[str, Stack], ModuleType]) -> ModuleType:
    return example("checkout_agents", stack)


@pytest.fixture
def admin(stack: Stack) -> Iterator[Paywarden]:
    with Paywarden(stack.url, stack.ready["admin_key"]) as desk:
        yield desk


@pytest.fixture
def fraud_desks(agents: ModuleType, admin: Paywarden) -> Iterator[list[Paywarden]]:
    """Two fraud agents at work, as long as the test lasts."""
    stop = threading.Event()
    desks = [agents.hire(admin, name, "risk") for name in ("fraud-a", "fraud-b")]
    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(agents.fraud_agent, desk, stop) for desk in desks]
        try:
            yield desks
        finally:
            stop.set()
    assert [each.exception() for each in working] == [None, None]


def cart(**items: int) -> dict[str, Any]:
    return {"id": str(next(_NUMBERS)), "items": items}


def rows(stack: Stack, query: str, *values: Any) -> list[dict[str, Any]]:
    with psycopg.connect(stack.superuser_url(), row_factory=dict_row) as connection:
        return connection.execute(query, values).fetchall()


def test_each_agent_fits_on_a_screen(agents: ModuleType) -> None:
    for agent in (agents.pricing_agent, agents.fraud_agent, agents.look, agents.reconciler):
        assert len(inspect.getsource(agent).splitlines()) < 40


def test_the_example_runs_as_its_docstring_says(stack: Stack) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "checkout_agents.py")],
        env={"PAYWARDEN_URL": stack.url, "PAYWARDEN_API_KEY": stack.ready["admin_key"], "PATH": ""},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "cart 1: $78.00 succeeded (autonomous)"
    assert lines[1] == "cart 2: $420.00 succeeded (reviewed)"
    assert lines[2].startswith("cart 3: $840.00 denied")
    assert lines[3] == "books: equal"


def test_two_fraud_agents_never_judge_the_same_payment(
    stack: Stack, agents: ModuleType, admin: Paywarden, fraud_desks: list[Paywarden]
) -> None:
    pricing = agents.hire(admin, "pricing-many", "initiate")
    with ThreadPoolExecutor(6) as pool:
        paid = list(pool.map(lambda n: agents.pricing_agent(pricing, cart(desk=1), f"many-{n}"), range(10)))
    assert {payment["status"] for payment in paid} == {"succeeded"}
    found = rows(stack, "select payment_id, count(*) as n from paywarden.verdicts group by payment_id")
    assert {row["n"] for row in found} == {1}
    assert agents.reconciler(admin, paid) == []


def test_the_same_cart_from_two_places_is_charged_once(
    stack: Stack, agents: ModuleType, admin: Paywarden, fraud_desks: list[Paywarden]
) -> None:
    pricing, basket = agents.hire(admin, "pricing-twice", "initiate"), cart(desk=1)
    with ThreadPoolExecutor(4) as pool:
        paid = list(pool.map(lambda _: agents.pricing_agent(pricing, basket, "twice"), range(4)))
    assert len({payment["id"] for payment in paid}) == 1
    charged = rows(stack, "select * from paywarden.payments where reference = %s", f"cart-{basket['id']}")
    assert len(charged) == 1


def test_one_budget_is_never_overspent_by_its_two_users(
    stack: Stack, agents: ModuleType, admin: Paywarden, fraud_desks: list[Paywarden]
) -> None:
    pricing = agents.hire(admin, "pricing-budget", "initiate")

    def buy(number: int) -> str:
        try:
            return str(agents.pricing_agent(pricing, cart(desk=1), f"budget-{number}")["status"])
        except PaywardenApiError as refused:
            return refused.code or "?"

    with ThreadPoolExecutor(6) as pool:
        outcomes = Counter(pool.map(buy, range(15)))
    # 5,000.00 a day buys eleven desks of 420.00.
    assert outcomes["succeeded"] == 11
    assert sum(outcomes.values()) == 15


def test_nobody_can_take_over_what_another_agent_judges(agents: ModuleType, admin: Paywarden, stack: Stack) -> None:
    pricing = agents.hire(admin, "pricing-slow", "initiate")
    one, other = (agents.hire(admin, name, "risk") for name in ("fraud-c", "fraud-d"))
    charge = pricing.charge(42_000, "usd", "slow", purpose="checkout", idempotency_key="slow-1")
    (review,) = admin.list_reviews(payment=charge["id"])["data"]
    fence = one.claim_review(review["id"])["fence"]
    for attempt in (other.claim_review, lambda held: other.give_verdict(held, "approve", "mine")):
        with pytest.raises(PaywardenApiError) as refused:
            attempt(review["id"])
        assert refused.value.status == 409
    with pytest.raises(PaywardenApiError) as own:
        pricing.give_verdict(review["id"], "approve", "my own")
    assert own.value.status == 403
    one.give_verdict(review["id"], "approve", "fine", fence=fence)
    wait_until(lambda: admin.get_payment(charge["id"])["status"] == "succeeded", 20, "the charge")
