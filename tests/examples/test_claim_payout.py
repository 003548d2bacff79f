"""The two claims agents against a whole running service: races over one task, one claim and one budget."""

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
    policy = str(EXAMPLES / "claims.cedar")
    stack = Stack(tmp_path_factory.mktemp("claims") / "data", PAYWARDEN_POLICY_FILE=policy)
    try:
        yield stack.start()
        stack.stop()
    finally:
        stack.end()


@pytest.fixture(scope="module")
def agents(stack: Stack, example: Callable[[str, Stack], ModuleType]) -> ModuleType:
    return example("claim_payout", stack)


@pytest.fixture
def admin(stack: Stack) -> Iterator[Paywarden]:
    with Paywarden(stack.url, stack.ready["admin_key"]) as desk:
        yield desk


@pytest.fixture
def finance_desks(agents: ModuleType, admin: Paywarden) -> Iterator[list[Paywarden]]:
    """Two finance agents at work, as long as the test lasts."""
    stop = threading.Event()
    desks = [agents.hire(admin, name, "finance") for name in ("finance-a", "finance-b")]
    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(agents.finance_agent, desk, stop) for desk in desks]
        try:
            yield desks
        finally:
            stop.set()
    assert [each.exception() for each in working] == [None, None]


class Company:
    """Claims with their premiums and records, as one triage agent sees them."""

    def __init__(self, agents: ModuleType, admin: Paywarden, name: str, **budget: int) -> None:
        self.agents, self.admin = agents, admin
        self.triage = agents.hire(admin, name, "initiate", "payout", **budget)
        self.premiums = agents.hire(admin, "premiums", "initiate", "charge")

    def claim(self, amount_minor: int = 60_000, **record: Any) -> dict[str, Any]:
        number = next(_NUMBERS)
        claim = {
            "id": f"CLM-{number}", "customer": f"holder-{number}", "amount_minor": amount_minor,
            "payee": f"iban-{number}", "message": "It was stolen.",
        }  # fmt: skip
        known = {"assessed_minor": amount_minor, "payee": claim["payee"]} | record
        self.agents.insure(self.admin, self.premiums, claim, **known)
        return claim

    def ask(self, claim: dict[str, Any]) -> str:
        """What became of it: a status, or the code of the refusal."""
        try:
            return str(self.agents.triage_agent(self.triage, claim)["status"])
        except PaywardenApiError as refused:
            return str(refused.code)


def rows(stack: Stack, query: str, *values: Any) -> list[dict[str, Any]]:
    with psycopg.connect(stack.superuser_url(), row_factory=dict_row) as connection:
        return connection.execute(query, values).fetchall()


def test_each_agent_fits_on_a_screen(agents: ModuleType) -> None:
    for agent in (agents.triage_agent, agents.waits_for_person, agents.finance_agent, agents.check):
        assert len(inspect.getsource(agent).splitlines()) < 40


def test_the_example_runs_as_its_docstring_says(stack: Stack) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "claim_payout.py")],
        env={"PAYWARDEN_URL": stack.url, "PAYWARDEN_API_KEY": stack.ready["admin_key"], "PATH": ""},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert told[0] == "$600.00 to iban-ann succeeded"
    assert told[1].startswith("$600.00 to iban-eve denied")
    assert "the payee is not the one on record" in told[1]
    assert told[2].startswith("$990.00 to iban-cat denied")
    assert told[3] == "$3,500.00 to iban-dan in_review: needs a person's approval"
    assert told[4] == "equal"


def test_a_large_claim_needs_finance_and_a_person(
    agents: ModuleType, admin: Paywarden, finance_desks: list[Paywarden]
) -> None:
    company = Company(agents, admin, "triage-large")
    claim = company.claim(150_000)
    payment = agents.triage_agent(company.triage, claim)
    assert (payment["status"], payment["reason"]) == ("in_review", "needs a person's approval")
    (review,) = admin.list_reviews(payment=payment["id"])["data"]
    for agent in finance_desks:
        with pytest.raises(PaywardenApiError) as refused:
            agent.give_verdict(review["id"], "approve", "again")
        assert refused.value.status == 403
    person = admin.create_agent("person", "head-of-claims", ["review"])
    with Paywarden(agents.URL, admin.create_key(person["id"])["secret"]) as head:
        head.give_verdict(review["id"], "approve", "I have seen the papers")
    wait_until(lambda: admin.get_payment(payment["id"])["status"] == "succeeded", 20, "the payout")


def test_two_finance_agents_judge_each_claim_once_and_it_is_paid_once(
    stack: Stack, agents: ModuleType, admin: Paywarden, finance_desks: list[Paywarden]
) -> None:
    company = Company(agents, admin, "triage-many")
    claims = [company.claim(20_000) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        outcomes = Counter(pool.map(company.ask, claims))
    assert outcomes == {"succeeded": 6}
    found = rows(stack, "select count(*) as n from paywarden.verdicts group by review_id")
    assert {row["n"] for row in found} == {1}
    named = {claim["id"] for claim in claims}
    paid = rows(stack, "select reference from paywarden.payments where kind = 'payout' and status = 'succeeded'")
    assert sorted(row["reference"] for row in paid if row["reference"] in named) == sorted(named)
    assert admin.reconcile()["findings"] == []


def test_the_same_claim_from_two_places_is_paid_once(
    stack: Stack, agents: ModuleType, admin: Paywarden, finance_desks: list[Paywarden]
) -> None:
    company = Company(agents, admin, "triage-twice")
    claim = company.claim()
    with ThreadPoolExecutor(4) as pool:
        outcomes = set(pool.map(lambda _: company.ask(claim), range(4)))
    assert outcomes == {"succeeded"}
    # A second triage agent has another key space; the record says that the claim was paid.
    assert Company(agents, admin, "triage-other").ask(claim) == "denied"
    paid = rows(stack, "select status from paywarden.payments where reference = %s order by status", claim["id"])
    assert [row["status"] for row in paid] == ["denied", "succeeded"]


def test_one_budget_is_never_overspent(agents: ModuleType, admin: Paywarden, finance_desks: list[Paywarden]) -> None:
    company = Company(agents, admin, "triage-budget", per_day_minor=200_000)
    claims = [company.claim(90_000) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        outcomes = Counter(pool.map(company.ask, claims))
    assert outcomes == {"succeeded": 2, "denied": 2}
