"""Plain words to kinds of claims, on messages that real people wrote (Banking77, CC BY 4.0)."""

import time

import pytest

from paywarden.decisions.claims import classify

MESSAGES = {
    "charged_twice": [
        "I was charged twice.",
        "My account is showing a double charge.",
        "I have a duplicate charge",
        "Why do I have a transaction showing up more than once?",
        "There are two of the same charges on my account.",
        "I only made one transaction at this place, but it's appearing multiple times.",
    ],
    "card_payment_fee": [
        "Why was I charged a fee for using my card",
        "Why does it cost more to pay with my card?",
        "I paid with my card and was charged extra",
        "What is this extra fee?",
    ],
    "refund_not_showing_up": [
        "I can't see my refund on my account",
        "Where is my refund? it appears to be missing.",
        "The refund doesn't show in my account",
        "I am still waiting for a refund",
        "my refund has not hit my account yet",
        "I can’t find my refund",
    ],
    "request_refund": [
        "Give me a refund",
        "I want to cancel a purchase",
        "I would like my money back for an item I purchased",
        "Do you have a return policy?",
    ],
    "not_recognised": [
        "There's a cash withdrawal I didn't make",
        "What is this cash withdrawal I don't recognize?",
        "Help! I think someone has a copy of my card",
        "There's an unauthorized cash withdraw",
        "My wallet was just stolen and I see my account already has a withdrawal.",
    ],
    "other": ["I am still waiting on my card?", "Hello", ""],
}


@pytest.mark.parametrize(
    ("kind", "message"), [(kind, message) for kind, messages in MESSAGES.items() for message in messages]
)
def test_real_messages_are_understood(kind: str, message: str) -> None:
    assert classify(message) == kind


@pytest.mark.parametrize("message", ["I was charged twice", "a fee", "where is my refund?", "cancel it"])
def test_the_riskiest_claim_wins(message: str) -> None:
    assert classify(message) != "not_recognised"
    assert classify(f"{message}, and I did not make this payment") == "not_recognised"


@pytest.mark.parametrize("phrase", ["not ", "n't a ", "refund ", "return", "charged ", "where ", "still a a ", "a"])
def test_no_message_makes_it_slow(phrase: str) -> None:
    message = (phrase * 20_000)[:20_000]
    started = time.process_time()
    classify(message)
    assert time.process_time() - started < 0.5
