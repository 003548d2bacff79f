"""The gate example against a whole running service: refusals, retries, crashes and two attempts at once."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import ModuleType
from typing import Any

import pytest

from paywarden.client import AsyncPaywarden, Paywarden, PaywardenApiError
from tests.examples.conftest import EXAMPLES
from tests.stack import Stack

pytestmark = pytest.mark.timeout(180)
_NUMBERS = count(1)
TEXT = "The quick brown fox jumps over the lazy dog. " * 7
COST, MOST = 10, 12


@pytest.fixture(scope="module")
def gate(stack: Stack, example: Callable[[str, Stack], ModuleType]) -> ModuleType:
    return example("gate", stack)


@pytest.fixture
def admin(stack: Stack) -> Iterator[Paywarden]:
    with Paywarden(stack.url, stack.ready["admin_key"]) as desk:
        yield desk


class Reader:
    """A customer with credit, and the service that works for them."""

    def __init__(self, admin: Paywarden, gate: ModuleType, credit_minor: int) -> None:
        number = next(_NUMBERS)
        self.admin, self.gate, self.name, self.job = admin, gate, f"customer-{number}", f"job-{number}"
        admin.top_up_credit(self.name, credit_minor, "usd", reference="statement")
        service = admin.create_agent("service", f"service-{number}", ["initiate"])
        self.key = admin.create_key(service["id"])["secret"]

    def summarize(self, job: str | None = None) -> str:
        with Paywarden(self.gate.URL, self.key) as desk:
            return str(self.gate.summarize(desk, self.name, job or self.job, TEXT))

    def credit(self) -> tuple[int, int]:
        """What there is, and what is held of it."""
        (balance,) = self.admin.get_credit(self.name)["balances"]
        return balance["balance_minor"], balance["held_minor"]


def test_the_example_is_short_and_runs_as_its_docstring_says(stack: Stack) -> None:
    assert len((EXAMPLES / "gate.py").read_text().splitlines()) < 60
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "gate.py")],
        env={"PAYWARDEN_URL": stack.url, "PAYWARDEN_API_KEY": stack.ready["admin_key"], "PATH": ""},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, again, short = done.stdout.splitlines()
    assert first == again
    assert first.startswith("job-1: The quick brown fox")
    assert first.endswith("($0.10 left)")
    assert short == "job-2: refused: insufficient ($0.10 left)"


def test_without_enough_credit_the_model_is_not_called(
    admin: Paywarden, gate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(admin, gate, MOST - 1)
    monkeypatch.setattr(gate, "call_model", lambda *_: pytest.fail("the call must not be made"))
    with pytest.raises(PaywardenApiError) as refused:
        reader.summarize()
    assert refused.value.code == "insufficient"
    assert reader.credit() == (MOST - 1, 0)


def test_a_call_that_fails_costs_nothing_and_its_retry_is_billed_once(
    admin: Paywarden, gate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(admin, gate, 100)
    real, failures = gate.call_model, iter([OSError("down"), OSError("still down")])

    def shaky(*given: Any) -> Any:
        if (failure := next(failures, None)) is not None:
            raise failure
        return real(*given)

    monkeypatch.setattr(gate, "call_model", shaky)
    for _ in range(2):
        with pytest.raises(OSError, match="down"):
            reader.summarize()
        assert reader.credit() == (100, 0)
    for _ in range(3):
        reader.summarize()
    assert reader.credit() == (100 - COST, 0)


def test_a_program_that_died_after_its_call_is_billed_once_when_it_comes_back(
    admin: Paywarden, gate: ModuleType
) -> None:
    reader = Reader(admin, gate, 100)
    with Paywarden(gate.URL, reader.key) as desk:
        # Held, and then nothing: what a killed process leaves.
        left = desk.create_hold(MOST, "usd", reader.name, feature="summary", idempotency_key=reader.job)
    assert reader.credit() == (100, MOST)
    reader.summarize()
    assert reader.credit() == (100 - COST, 0)
    assert admin.get_hold(left["id"])["status"] == "captured"
    # It died once more, this time before it could say that it was done.
    reader.summarize()
    assert reader.credit() == (100 - COST, 0)


def test_the_same_job_in_four_places_at_once_is_billed_once(
    admin: Paywarden, gate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt has used another number of tokens, so that their captures are not the same request."""
    reader = Reader(admin, gate, 100)
    used = count(1_000, 500)
    monkeypatch.setattr(gate, "call_model", lambda *_: {"text": "t", "usage": {"output_tokens": next(used)}})
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: reader.summarize(), range(4))) == ["t"] * 4
    balance, held = reader.credit()
    assert held == 0
    assert 100 - balance in {gate.cost_minor(tokens) for tokens in (1_000, 1_500, 2_000, 2_500)}
    (hold,) = admin.list_holds(customer=reader.name)["data"]
    assert hold["captured_minor"] == 100 - balance


async def test_the_asynchronous_block_does_the_same(admin: Paywarden, gate: ModuleType) -> None:
    reader = Reader(admin, gate, 100)
    async with AsyncPaywarden(gate.URL, reader.key) as desk:
        for _ in range(2):
            async with desk.gate(MOST, "usd", reader.name, idempotency_key=reader.job) as hold:
                await hold.extend(60)
                await hold.capture(COST)
        with pytest.raises(OSError, match="down"):
            async with desk.gate(MOST, "usd", reader.name, idempotency_key="another"):
                raise OSError("down")
    assert reader.credit() == (100 - COST, 0)


def test_the_books_hold_after_all_of_it(stack: Stack, admin: Paywarden) -> None:
    assert all(line["difference_minor"] == 0 for line in admin.trial_balance()["data"])
    done = stack.spawn("invariants", "--data", str(stack.data))
    told, _ = done.communicate(timeout=60)
    assert done.returncode == 0, told
