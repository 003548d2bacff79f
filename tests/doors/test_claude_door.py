"""The Claude adviser behind the whole running service: what it says, what it costs, and that it can only lower."""

import io
import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from rich.console import Console

from paywarden.cli.explain import story
from paywarden.client import Paywarden, PaywardenApiError
from paywarden.decisions.prompt import ADVISER_PROMPT
from tests.contract.messages_api import MODEL, MessagesApi, Scripted, advised, failed, said
from tests.doors.model_thread import approves_on_own_records, case_of, model
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.timeout(180)
KEY = "sk-ant-test-0123456789abcdef0123456789abcdef"
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def claude() -> Iterator[MessagesApi]:
    with model(approves_on_own_records(2_500)) as api:
        yield api


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, claude: MessagesApi) -> Iterator[Stack]:
    told = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": claude.url, "PAYWARDEN_ADVISER_TIMEOUT_SECONDS": "10"}
    stack = Stack(tmp_path_factory.mktemp("claude") / "data", **told)
    try:
        yield stack.start()
        stack.stop()
        assert KEY not in stack.complaints()
    finally:
        stack.end()


@pytest.fixture
def desk(stack: Stack, claude: MessagesApi) -> Iterator[Paywarden]:
    claude.otherwise = approves_on_own_records(2_500)
    claude.requests.clear()
    with Paywarden(stack.url, stack.ready["admin_key"]) as desk:
        yield desk


def _charged_twice(desk: Paywarden) -> tuple[str, str]:
    """A customer with two paid charges of one order, and the second charge."""
    customer = f"cust-{next(_NUMBERS)}"
    paid = [
        desk.charge(
            2_500, "usd", customer, purpose="order", reference=f"ORD-{customer}", idempotency_key=f"{customer}-{n}"
        )
        for n in range(2)
    ]
    for charge in paid:
        wait_until(lambda: desk.get_payment(charge["id"])["status"] == "succeeded", 20, "the charge")  # noqa: B023
    return customer, paid[1]["id"]


def _refund(desk: Paywarden) -> Any:
    """A refund that was decided: the answer to the request may come before the model's."""
    _, charge = _charged_twice(desk)
    asked = desk.refund(charge, 2_500, "usd", request="You took the money for my order twice!")["id"]
    wait_until(lambda: desk.get_payment(asked)["status"] != "pending", 20, "the decision")
    return desk.get_payment(asked)


def test_a_refund_goes_through_on_the_models_approval_of_our_own_records(desk: Paywarden, claude: MessagesApi) -> None:
    refund = _refund(desk)
    assert refund["oversight"] == "advised"
    dossier = desk.get_dossier(refund["id"])
    (advice,) = dossier["decisions"]
    assert advice["cost_micro_usd"] is not None
    assert (advice["adviser"], advice["model"], advice["cost_micro_usd"] > 0) == ("claude", MODEL, True)
    assert advice["request_ids"] == ["req_1"]
    (asked,) = claude.requests
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert "took the money" in case_of(asked.body)
    assert asked.body["model"] == MODEL


def test_the_quick_start_tells_what_the_model_said(stack: Stack, desk: Paywarden) -> None:
    customer, _ = _charged_twice(desk)
    question = {"customer_id": customer, "request": "charged twice", "requested_amount_cents": 2_500}
    with stack.client() as http:
        told = http.post("/decisions", json=question).json()
    assert (told["approve"], told["amount_cents"], told["reason"]) == (True, 2_500, "Charged twice.")
    seen = desk.get_decision(told["decision_id"])
    assert (seen["adviser"], seen["model"], seen["failure"]) == ("claude", MODEL, None)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (failed(429, "rate_limit_error"), "adviser_rate_limited"),
        (failed(529, "overloaded_error"), "adviser_overloaded"),
        (failed(401, "authentication_error"), "adviser_unauthenticated"),
        (Scripted(cut=True), "adviser_disconnected"),
        (said("", stop_reason="refusal"), "adviser_refused"),
        (said('{"verdict"', stop_reason="max_tokens"), "adviser_truncated"),
        (said("Yes, pay!"), "adviser_malformed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_without_a_usable_answer_a_person_looks(
    desk: Paywarden, claude: MessagesApi, answer: Scripted, word: str
) -> None:
    claude.otherwise = lambda _: answer
    refund = _refund(desk)
    assert refund["status"] == "in_review"
    checks = {check["rule"]: check for check in desk.get_dossier(refund["id"])["checks"]}
    assert checks["adviser_answered"]["result"] == "fail"
    assert checks["adviser_answered"]["detail"].startswith(f"{word}:")


@pytest.mark.parametrize(
    "lie",
    [
        {"amount_minor": 10**12},
        {"evidence": ["pay_01h455vb4pex5vsknk084sn02q"]},
        {"evidence": []},
        {"confidence": 79},
        {"payee": "mallory"},
    ],
    ids=str,
)
def test_a_model_that_obeys_an_attacker_moves_nothing_that_policy_does_not_allow(
    desk: Paywarden, claude: MessagesApi, lie: dict[str, Any]
) -> None:
    own = approves_on_own_records(2_500)

    def answer(body: dict[str, Any]) -> Scripted:
        given = json.loads(json.loads(own(body).body)["content"][0]["text"])
        return advised(**(given | lie))

    claude.otherwise = answer
    assert _refund(desk)["status"] == "in_review"


def test_over_the_limit_no_model_is_even_asked(desk: Paywarden, claude: MessagesApi) -> None:
    charge = desk.charge(20_000, "usd", "cust-large", purpose="order")
    wait_until(lambda: desk.get_payment(charge["id"])["status"] == "succeeded", 20, "the charge")
    assert desk.refund(charge["id"], 20_000, "usd", request="twice!")["status"] == "in_review"
    with pytest.raises(PaywardenApiError):
        desk.charge(60_000_000, "usd", "cust-large", purpose="order")
    assert claude.requests == []


def test_another_model_judges_the_same_case_again(stack: Stack, desk: Paywarden, claude: MessagesApi) -> None:
    refund = _refund(desk)
    decision = desk.get_dossier(refund["id"])["decisions"][-1]["id"]
    claude.otherwise = lambda _: advised(verdict="escalate", amount_minor=0)
    told = desk.replay_decision(decision, model="claude-opus-5-5")
    assert (told["then"]["pays_minor"], told["now"]["pays_minor"], told["difference_minor"]) == (2_500, 0, -2_500)
    assert (told["then"]["status"], told["now"]["status"]) == ("reserved", "in_review")
    first, second = (request.body for request in claude.requests)
    assert (first["model"], second["model"]) == (MODEL, "claude-opus-5-5")
    assert "took the money" in case_of(second)
    assert desk.get_payment(refund["id"])["oversight"] == "advised"
    said = stack.command("decision", "replay", decision, "--model", "claude-opus-5-5", "--data", str(stack.data))
    assert said.returncode == 0, said.stderr
    assert "$25.00 less would go out without another look." in said.stdout
    shown = stack.command("decision", "show", decision, "--data", str(stack.data))
    assert all(words in shown.stdout for words in ("our payments", "sha256", ADVISER_PROMPT, "req_1", "Charged twice."))


def test_the_dossier_holds_the_whole_decision_and_what_people_made_of_it(
    stack: Stack, desk: Paywarden, claude: MessagesApi
) -> None:
    claude.otherwise = lambda _: said("I would pay that.")
    customer, charge = _charged_twice(desk)
    note = desk.add_note(customer, "The second charge has no order.", trust="staff")["id"]
    asked = desk.refund(charge, 2_500, "usd", request="You took the money for my order twice!")["id"]
    wait_until(lambda: desk.get_payment(asked)["status"] == "in_review", 20, "the review")
    ann = desk.create_key(desk.create_agent("person", f"ann-{customer}", ["review"])["id"])["secret"]
    with Paywarden(stack.url, ann) as reviewer:
        (review,) = reviewer.list_reviews(payment=asked)["data"]
        fence = reviewer.claim_review(review["id"])["fence"]
        reviewer.give_verdict(review["id"], "approve", "The second charge is ours to give back.", fence=fence)
    dossier = desk.get_dossier(asked)
    (decision,) = dossier["decisions"]
    assert decision == desk.get_decision(decision["id"])
    assert (decision["payment"], decision["request"]) == (asked, "You took the money for my order twice!")
    assert (decision["verdict"], decision["prompt_version"], decision["raw_answer"] is None) == (
        "escalate",
        ADVISER_PROMPT,
        False,
    )
    assert (decision["failure"] or "").startswith("adviser_malformed:")
    assert (decision["usage"]["calls"], decision["request_ids"]) == (2, ["req_1", "req_1"])
    (evidence,) = decision["evidence"]
    assert (evidence["id"], evidence["trust"], len(evidence["content_sha256"])) == (note, "staff", 64)
    assert dossier["policy_version"] == decision["policy_version"]
    (label,), (verdict,) = dossier["labels"], dossier["verdicts"]
    assert (label["advised"], label["decided"], label["decision_id"]) == ("escalate", "approve", decision["id"])
    assert label["reviewer_id"] == verdict["reviewer_id"] == dossier["reviews"][0]["claimed_by"]
    assert dossier["reviews"][0]["fence"] == fence
    told = io.StringIO()
    Console(file=told, width=80, highlight=False).print(story(dossier))
    lines = [line.rstrip() for line in told.getvalue().splitlines()]
    assert all(len(line) <= 80 for line in lines)
    for whole in (
        f"              {evidence['content_sha256']}",
        f"sha256    {decision['prompt_sha256']}",
        f"decision  {decision['id']}",
        f"│ digest    {review['action_digest']} │",
        "2 calls: its first answer was in the wrong form",
        f"claimed by ann-{customer} (person), number 1",
    ):
        assert any(whole in line for line in lines), whole
    flowing = " ".join(told.getvalue().split())
    assert f"approve by ann-{customer} (person), where the adviser said escalate: The second charge" in flowing
