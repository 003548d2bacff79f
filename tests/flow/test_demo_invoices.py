"""The invoices and carts of the demo: what each must come to follows from its file, by a rule of its own."""

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import pytest
from evals.hostile import HOSTILE as TRIED

from paywarden.decisions.advice import EvidenceNote, Snapshot
from paywarden.decisions.record_facts import parse_record_fact
from paywarden.decisions.rules import judge
from paywarden.demo.billing import PURPOSE
from paywarden.demo.carts import PRICES, load_carts
from paywarden.demo.cases import DEFAULT_COUNT
from paywarden.demo.invoices import HOSTILE, SITUATIONS, InvoiceCase, load_invoices
from paywarden.guardrails import thresholds
from paywarden.kit.text import clean_text
from paywarden.kit.trust import TRUSTED_TIERS

TODAY = date(2026, 11, 21)
CASES = load_invoices("run", TODAY)
Truth = Literal["paid", "extended", "denied", "in_review", "needs_facts"]


def truth(case: InvoiceCase, today: date = TODAY) -> Truth:
    """What must become of the first request, by the file alone; the code of no adviser is asked."""
    stated = [note.facts for note in case.notes if note.trust == "record" and note.facts is not None]
    ours = [facts for facts in stated if facts["type"] == "invoice" and facts["invoice_id"] == case.invoice_id]
    promised = [facts["until"] for facts in stated if facts["type"] == "extension"]
    if case.asked_minor > 50_000:
        return "in_review"
    if not stated:
        return "denied"
    if len({facts["amount_minor"] for facts in ours}) != 1:
        return "in_review" if ours else "needs_facts"
    (invoice,) = ours
    if invoice["status"] != "open":
        return "denied"
    if promised and max(promised) >= today.isoformat():
        return "extended"
    if invoice["due_on"] >= today.isoformat() or case.asked_minor > invoice["amount_minor"]:
        return "denied"
    told_in_words = any(note.trust == "staff" for note in case.notes)
    return "in_review" if told_in_words or case.asked_minor < invoice["amount_minor"] else "paid"


def test_there_are_many_of_every_outcome_and_the_same_ones_every_time() -> None:
    assert load_invoices("run", TODAY) == CASES
    assert {case.situation for case in CASES} == set(SITUATIONS)
    came_to = Counter(truth(case) for case in CASES)
    assert len(CASES) >= 24
    assert min(came_to[each] for each in ("paid", "extended", "denied", "in_review")) >= 5
    assert thresholds.ADVISED_INVOICE_MAX_MINOR == 50_000


def test_the_hostile_texts_are_those_that_every_adviser_is_tried_with() -> None:
    assert {name: TRIED[name] for name in HOSTILE} == HOSTILE
    untrusted = [note.content for case in CASES for note in case.notes if note.trust not in TRUSTED_TIERS]
    starts = [text.split("$")[0][:20] for text in HOSTILE.values()]
    assert sum(any(start in text for start in starts) for text in untrusted) >= 5


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number} {case.situation}")
def test_the_rules_come_to_what_the_file_says(case: InvoiceCase) -> None:
    notes = tuple(
        EvidenceNote(f"note_{number}", b"", 0.5, note.trust, note.content, note.facts, case.invoice_id)
        for number, note in enumerate(case.notes)
    )
    asked_at = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)
    wanted = ("charge", case.asked_minor, "usd", None, (), notes, asked_at)
    advice = judge(Snapshot("collect", "c", *wanted, purpose=PURPOSE, reference=case.invoice_id))
    expected = {"paid": {"approve"}, "extended": {"deny"}, "denied": {"deny"}, "in_review": {"escalate"}}
    expected["needs_facts"] = {"need_facts"}
    # Of the large ones the adviser is not asked.
    allowed = {"approve"} if case.situation == "large" else expected[truth(case)]
    assert advice.verdict in allowed
    assert ("extended until" in advice.reason) == (truth(case) == "extended")


def test_the_readme_counts_what_is_played() -> None:
    told = " ".join((Path(__file__).parents[2] / "README.md").read_text("utf-8").split())
    assert f"told to collect {len(CASES)} of them" in told
    assert f"{DEFAULT_COUNT} messages that people really wrote" in told


def test_every_note_can_be_kept() -> None:
    for note in (note for case in CASES for note in case.notes):
        clean_text(note.content, "content")
        assert (note.facts is None) or (note.trust == "record" and parse_record_fact(note.facts))


def test_the_carts_are_small_ones_and_large_ones_of_the_known_and_of_strangers() -> None:
    carts = load_carts()
    first = {cart.shopper for cart in carts if cart.round == 1}
    large = [cart for cart in carts if cart.amount_minor >= thresholds.CHECKOUT_RISK_FROM_MINOR]
    assert [cart.number for cart in carts] == list(range(1, len(carts) + 1))
    assert large == [cart for cart in carts if cart.round == 2]
    assert {cart.shopper in first for cart in large} == {True, False}
    assert all(item in PRICES for cart in carts for item in cart.items)
