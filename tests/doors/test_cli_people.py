"""What people who decide are shown: the review they judge, the next step after a refusal, and what does not agree."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from paywarden.cli.application import build
from paywarden.cli.discrepancies import MEANINGS
from paywarden.cli.explain import story
from paywarden.cli.reviews import draw
from paywarden.reconciliation.matching import FindingKind

from .scripted_service import Say, ScriptedService, problem, scripted

FLOW = Path(__file__).parents[2] / "src" / "paywarden" / "flow"
CHARGE = "pay_01h455vb4pex5vsknk084sn02q"
REFUND = "pay_11h455vb4pex5vsknk084sn02q"
REVIEW = "rev_01h455vb4pex5vsknk084sn02q"
PAYMENT: dict[str, Any] = {
    "id": REFUND, "kind": "refund", "status": "in_review", "display": "$5.00", "currency": "usd", "customer": "cust_1",
    "payee": None, "agent": "bot", "mandate": None, "purpose": None, "reference": None, "payment": CHARGE,
    "oversight": None, "decided_by": [], "reason": None, "provider": None, "provider_payment_id": None,
    "captured_minor": 0, "refunded_minor": 0, "refundable_minor": 0, "late": False,
    "created_at": "2026-11-21T08:00:00.000Z", "updated_at": "2026-11-21T08:00:00.000Z",
}  # fmt: skip
ORIGINAL = {
    **PAYMENT, "id": CHARGE, "kind": "charge", "status": "succeeded", "display": "$25.00", "payment": None,
    "purpose": "order", "reference": "ORD-7", "refundable_minor": 2000, "created_at": "2026-11-20T09:00:00.000Z",
}  # fmt: skip
WAITING: dict[str, Any] = {
    "object": "review", "id": REVIEW, "status": "open", "payment": PAYMENT, "request": "You charged me twice!",
    "required_role": "review", "reviewer_kind": "any", "reason": "needs another principal's approval",
    "action_digest": "a" * 64, "verdicts": [], "expires_at": "2026-11-22T08:00:00.000Z",
}  # fmt: skip
ADVICE = {
    "adviser": "rules", "model": None, "currency": "usd", "verdict": "escalate", "reason": "No record supports it.",
    "given": {"verdict": "escalate", "confidence": 50, "reason": "No record supports it.", "amount_minor": 0},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYWARDEN_API_KEY", "pw_test_key")
    monkeypatch.setenv("PAYWARDEN_DATA_DIR", str(tmp_path / "data"))


def _run(service: ScriptedService, *arguments: str) -> Result:
    return CliRunner().invoke(build(), [*arguments, "--url", service.url])


def _listed(*data: Any, **more: Any) -> Say:
    return Say(200, {"object": "list", "data": list(data), "has_more": False, "next_cursor": None, **more})


# ---- Reviews


def test_what_a_reviewer_copies_is_whole_in_a_small_window() -> None:
    stream = io.StringIO()
    Console(file=stream, width=80).print(draw({**WAITING, "verdicts": []}))
    assert WAITING["action_digest"] in stream.getvalue()
    assert f"paywarden payment explain {REFUND}" in stream.getvalue()


def test_a_reviewer_sees_what_a_verdict_rests_on() -> None:
    with scripted(Say(200, WAITING), Say(200, ORIGINAL), Say(200, {"decisions": [ADVICE]})) as service:
        done = _run(service, "review", "show", REVIEW)
    assert done.exit_code == 0, done.stderr
    assert [asked.path for asked in service.asked] == [
        f"/v1/reviews/{REVIEW}", f"/v1/payments/{CHARGE}", f"/v1/payments/{REFUND}/dossier"
    ]  # fmt: skip
    for part in (
        "You charged me twice!",
        "“rules” said: escalate (confidence 50 of 100). No record supports it.",
        f"{CHARGE}: $25.00 of 2026-11-20 09:00:00 UTC for order, ORD-7; succeeded, $20.00 left to refund",
        f"paywarden payment explain {REFUND}",
    ):
        assert part in done.stdout


def test_without_an_adviser_nothing_is_said_about_one() -> None:
    charge = {**PAYMENT, "id": CHARGE, "payment": None}
    with scripted(Say(200, {**WAITING, "payment": charge, "request": None}), Say(200, {"decisions": []})) as service:
        done = _run(service, "review", "show", REVIEW)
    assert done.exit_code == 0, done.stderr
    assert "adviser" not in done.stdout
    assert "refund of" not in done.stdout


def test_after_the_verdict_it_says_who_gave_it_when_and_why() -> None:
    verdict = {
        "verdict": "reject", "reason": "Our records differ.", "reviewer_name": "ann", "reviewer_kind": "person",
        "created_at": "2026-11-21T10:00:00.000Z",
    }  # fmt: skip
    with scripted(Say(200, WAITING), Say(200, {**WAITING, "status": "rejected", "verdicts": [verdict]})) as service:
        done = _run(service, "review", "reject", REVIEW, "--reason", "Our records differ.")
    assert re.search(r"rejected by +ann \(person\), 2026-11-21 10:00:00 UTC: Our records differ\.", done.stdout)


def test_a_list_of_reviews_is_filtered_and_goes_on() -> None:
    with scripted(_listed(WAITING, has_more=True, next_cursor=REVIEW)) as service:
        done = _run(service, "review", "list", "--customer", "c", "--payment", REFUND, "--cursor", REVIEW)
        _run(service, "review", "list", "--json")
    assert f"1 shown; more: --cursor {REVIEW}" in done.stdout
    assert service.asked[0].path == (f"/v1/reviews?status=open&customer=c&payment={REFUND}&limit=20&cursor={REVIEW}")


@pytest.mark.parametrize("verb", ["show", "approve", "reject"])
@pytest.mark.parametrize(
    ("waiting", "said"), [([WAITING], f"its open review is {REVIEW}"), ([], "it has no open review")]
)
def test_a_payments_id_is_no_reviews(verb: str, waiting: list[Any], said: str) -> None:
    reason = [] if verb == "show" else ["--reason", "r"]
    with scripted(Say(200, PAYMENT), _listed(*waiting)) as service:
        done = _run(service, "review", verb, REFUND, *reason)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{REFUND} is a payment and not a review; {said}" in done.stderr
    assert all(asked.method == "GET" for asked in service.asked)
    assert service.asked[1].path == f"/v1/reviews?status=open&payment={REFUND}&limit=1"


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_who_may_not_decide_is_told_who_may(verb: str) -> None:
    refused = problem(403, "forbidden", "Whoever asked for a payment can never give the verdict on it.")
    with scripted(Say(200, WAITING), refused) as service:
        done = _run(service, "review", verb, REVIEW, "--reason", "mine")
    assert (done.exit_code, done.stdout) == (1, "")
    first, *hint = done.stderr.splitlines()
    assert "Whoever asked for a payment" in first
    assert "another person with the role review" in hint[0]
    assert "paywarden agent create NAME --kind person --role review" in hint[1]
    assert "paywarden key create" in hint[2]
    with scripted(Say(200, WAITING), problem(409, "review_conflict")) as service:
        assert _run(service, "review", verb, REVIEW, "--reason", "late").stderr.count("\n") == 1


# ---- Payments


def test_a_payments_lines_are_named_as_people_name_them() -> None:
    with scripted(Say(200, PAYMENT)) as service:
        shown = _run(service, "payment", "show", REFUND).stdout
    assert re.search(r"^amount +\$5\.00", shown, re.MULTILINE)
    assert re.search(rf"^refund of +{CHARGE}", shown, re.MULTILINE)
    assert not re.search(r"^(display|payment) ", shown, re.MULTILINE)


@pytest.mark.parametrize(
    "command",
    [("payment", "show"), ("payment", "explain"), ("payment", "cancel"), ("payment", "confirm"), ("review", "show"),
     ("agent", "suspend"), ("key", "revoke"), ("mandate", "revoke")],
)  # fmt: skip
@pytest.mark.parametrize("identifier", ["", " "])
def test_an_empty_id_is_refused_with_a_sentence(command: tuple[str, str], identifier: str) -> None:
    with scripted(Say(404)) as service:
        done = _run(service, *command, identifier)
    assert (done.exit_code, done.stdout, service.asked) == (2, "", [])
    assert re.search(r"The id of the \w+ must not be empty", done.stderr)


def test_a_key_with_a_line_end_is_refused_before_it_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYWARDEN_API_KEY", "pw_test_key\n")
    with scripted() as service:
        done = _run(service, "payment", "list")
        demo = _run(service, "demo")
    assert (done.exit_code, demo.exit_code, service.asked) == (2, 2, [])
    for stderr in (done.stderr, demo.stderr):
        assert "API key must be given as it was shown" in stderr
        assert "pw_test" not in stderr


# ---- What does not agree


def _kinds_in_the_flow() -> set[str]:
    """Every kind that the flow opens: literals at the calls, and the names that stand for one."""
    text = "\n".join(file.read_text() for file in FLOW.glob("*.py"))
    called = re.findall(r"(?:open_discrepancy|_raise)\(\s*connection,\s*(?:\w+,\s*)?\"(\w+)\"", text)
    named = re.findall(r"^(?:_UNMATCHED|PAST_WINDOW) = \"(\w+)\"", text, re.MULTILINE)
    assert 'f"{name}_differs"' in text
    return {*called, *named, "amount_minor_differs", "currency_differs", *get_args(FindingKind)}


def test_every_kind_of_discrepancy_is_explained() -> None:
    assert set(MEANINGS) == _kinds_in_the_flow()
    for meaning in MEANINGS.values():
        assert all(sentence.endswith(".") for sentence in (meaning.means, meaning.next))


def _discrepancy(**changes: Any) -> dict[str, Any]:
    return {
        "object": "discrepancy", "id": "dis_1", "kind": "amount_differs", "status": "open", "subject": CHARGE,
        "payment": CHARGE, "display": "$25.00", "created_at": "2026-11-21T08:00:00.000Z", "resolved_at": None,
        "detail": {"ours_minor": 2500, "theirs_minor": 2600, "currency": "usd"}, **changes,
    }  # fmt: skip


def test_discrepancies_are_listed_with_their_money_and_the_next_step() -> None:
    stranger = _discrepancy(
        kind="missing_here", subject="p_9", payment=None, display=None,
        detail={"ours_minor": None, "theirs_minor": 900, "currency": "jpy"},
    )  # fmt: skip
    lost = _discrepancy(kind="outcome_unknown_past_window", detail={"age_seconds": 9}, display="$7.00")
    with scripted(_listed(_discrepancy(), stranger, stranger, lost)) as service:
        done = _run(service, "discrepancy", "list")
    assert done.exit_code == 0, done.stderr
    assert service.asked[0].path == "/v1/reconciliation/discrepancies?status=open&limit=100"
    for part in (
        "ours $25.00, provider's $26.00", "ours none, provider's ¥900", "$7.00", "2026-11-21 08:00:00",
        f"missing_here: {MEANINGS['missing_here'].means}", "paywarden payment attest",
    ):  # fmt: skip
        assert part in done.stdout
    assert done.stdout.count(MEANINGS["missing_here"].means) == 1
    assert "resolved" not in done.stdout


def test_resolved_discrepancies_say_since_when() -> None:
    gone = _discrepancy(status="resolved", resolved_at="2026-11-21T09:30:00.000Z")
    with scripted(_listed(gone, has_more=True)) as service:
        done = _run(service, "discrepancy", "list", "--status", "resolved", "--limit", "1")
    assert service.asked[0].path.endswith("?status=resolved&limit=1")
    assert "2026-11-21 09:30:00" in done.stdout
    assert "1 shown; there are more" in done.stdout


@pytest.fixture
def reconciled() -> Callable[..., Result]:
    def run(**changes: Any) -> Result:
        run: dict[str, Any] = {
            "object": "reconciliation_run", "since": "2026-11-20T08:00:00.000Z", "until": "2026-11-21T08:05:00.000Z",
            "has_statement": True, "matched": 3, "books": [], "findings": [], **changes,
        }  # fmt: skip
        with scripted(Say(200, run)) as service:
            return _run(service, "reconcile")

    return run


def test_books_that_differ_say_how_much_when_and_what_next(reconciled: Callable[..., Result]) -> None:
    finding = {"kind": "amount_differs", "subject": CHARGE, "ours_minor": 4200, "theirs_minor": 0, "currency": "usd"}
    stranger = {"kind": "missing_here", "subject": "p_1", "ours_minor": None, "theirs_minor": 5, "currency": "jpy"}
    done = reconciled(findings=[finding, stranger])
    assert done.exit_code == 1
    for part in (
        "2026-11-20 08:00:00 to 2026-11-21 08:05:00 UTC", "$42.00", "¥5", "paywarden discrepancy list",
        f"paywarden payment explain {CHARGE}",
    ):  # fmt: skip
        assert part in done.stdout
    assert "4200" not in done.stdout


def test_books_that_agree_say_for_which_period(reconciled: Callable[..., Result]) -> None:
    done = reconciled()
    assert done.exit_code == 0
    assert "2026-11-20 08:00:00 to 2026-11-21 08:05:00 UTC" in done.stdout
    assert "discrepancy" not in done.stdout
    assert "no statement" in reconciled(has_statement=False).stdout


# ---- A payment's story


def _told(timeline: list[Any], webhooks: list[Any]) -> str:
    payment = {**ORIGINAL, "decided_by": ["charge_autonomous"], "oversight": "autonomous", "missing_facts": []}
    dossier = dict.fromkeys(("checks", "reviews", "verdicts", "labels", "events", "holds", "operations", "transfers",
                             "discrepancies", "attestations", "decisions"), ())  # fmt: skip
    moves = [
        {"at": "2026-11-20T09:00:00.000Z", "what": what, "detail": {}, "source": source} for what, source in timeline
    ]
    told = [{"received_at": "2026-11-20T09:00:00.000Z", "event_type": kind, "status": "applied"} for kind in webhooks]
    stream = io.StringIO()
    Console(file=stream, width=120).print(
        story({**dossier, "payment": payment, "policy_version": "p", "timeline": moves, "webhooks": told})
    )
    return stream.getvalue()


def test_a_failure_told_after_the_success_is_not_said_to_be_applied() -> None:
    after = _told([("succeeded", "webhook")], ["payment.succeeded", "payment_intent.payment_failed"])
    assert "event payment.succeeded: applied" in after
    assert "event payment_intent.payment_failed: kept, changes nothing" in after
    assert "event payment.failed: applied" in _told([("failed", "webhook")], ["payment.failed"])


def test_what_lapses_is_told_in_words() -> None:
    told = _told([("outcome_unknown", "recovery"), ("expired", "clock")], [])
    assert re.search(r"outcome_unknown +whoever sent it stopped before the answer", told)
    assert re.search(r"expired +its time was over", told)


def test_rules_that_agree_with_a_reviewer_are_not_told_as_if_nobody_had_approved() -> None:
    told = _told([("in_review", "guard"), ("reserved", "guard")], [])
    assert re.search(r"in_review +rules decided", told)
    assert re.search(r"reserved +a reviewer approved, and the rules agreed", told)
    assert "a reviewer approved" not in _told([("needs_facts", "facts"), ("reserved", "guard")], [])
