"""Three agents on one payment, none stepping on another: pricing asks, fraud looks, the reconciler compares.

Each has a key and a role of its own and speaks to the public API only. Start a service with the policies that ask
for a risk verdict on large charges, then run the three:

    PAYWARDEN_POLICY_FILE=examples/checkout.cedar make run ARGS="--no-demo"
    .venv/bin/python examples/checkout_agents.py
"""

import os
import secrets
import sys
import threading
from pathlib import Path

from paywarden.client import Paywarden, PaywardenApiError

URL = os.environ.get("PAYWARDEN_URL", "http://127.0.0.1:8000")
PRICES = {"desk": 42_000, "lamp": 3_900, "chair": 17_500}


def pricing_agent(desk: Paywarden, cart: dict, customer: str) -> dict:
    """Prices a cart and asks to charge it. The cart's id is the key: asking again never charges twice."""
    amount_minor = sum(PRICES[item] * number for item, number in cart["items"].items())
    reference = f"cart-{cart['id']}"
    payment = desk.charge(
        amount_minor, "usd", customer, purpose="checkout", reference=reference, idempotency_key=reference
    )
    while payment["status"] not in {"succeeded", "failed", "denied", "expired", "canceled"}:
        payment = desk.get_payment(payment["id"], wait_seconds=20)
    return payment


def fraud_agent(desk: Paywarden, stop: threading.Event) -> list[str]:
    """Waits for risk reviews, takes one at a time and judges it by the customer's history with us."""
    judged = []
    while not stop.is_set():
        for review in desk.list_reviews(role="risk", unclaimed=True, wait_seconds=1)["data"]:
            try:
                fence = desk.claim_review(review["id"])["fence"]
                verdict, reason = look(desk, review["payment"])
                desk.give_verdict(review["id"], verdict, reason, action_digest=review["action_digest"], fence=fence)
                judged.append(review["payment"]["id"])
            except PaywardenApiError as error:
                if error.status != 409:  # Another fraud agent was there first: that is fine.
                    raise
    return judged


def look(desk: Paywarden, payment: dict) -> tuple:
    """Somebody who never paid us before gets at most 500.00 on credit of our trust."""
    paid = desk.list_payments(customer=payment["customer"], status="succeeded")["data"]
    if not paid and payment["amount_minor"] > 50_000:
        return "reject", "a first order of this size"
    return "approve", f"{len(paid)} paid orders before"


def reconciler(desk: Paywarden, payments: list[dict]) -> list[str]:
    """Compares the provider's book with ours; what does not agree is for people."""
    report = desk.reconcile()
    ours = {payment["id"] for payment in payments}
    return [finding["kind"] for finding in report["findings"] if finding["subject"] in ours]


def hire(admin: Paywarden, name: str, *roles: str) -> Paywarden:
    """An agent with a key; one that may ask for money gets a mandate with a budget."""
    agent = next((each for each in admin.list_agents()["data"] if each["name"] == name), None)
    if agent is None:
        agent = admin.create_agent("agent", name, roles)
        if "initiate" in roles:
            limits = [
                {"currency": "usd", "window": "payment", "limit_minor": 100_000},
                {"currency": "usd", "window": "day", "limit_minor": 500_000},
            ]
            admin.create_mandate(agent["id"], "checkout", ["charge"], limits)
    return Paywarden(URL, admin.create_key(agent["id"], expires_in_seconds=3600)["secret"])


def main(admin_key: str) -> int:
    admin = Paywarden(URL, admin_key)
    pricing, fraud, books = hire(admin, "pricing", "initiate"), hire(admin, "fraud", "risk"), hire(admin, "books")
    stop = threading.Event()
    watching = threading.Thread(target=fraud_agent, args=(fraud, stop), daemon=True)
    watching.start()
    run, payments = secrets.token_hex(3), []
    for number, items in enumerate(({"lamp": 2}, {"desk": 1}, {"desk": 2}), 1):
        cart = {"id": f"{run}-{number}", "items": items}
        try:
            payment = pricing_agent(pricing, cart, customer=f"shopper-{cart['id']}")
        except PaywardenApiError as refused:
            print(f"cart {number}: {refused}")
            continue
        payments.append(payment)
        why = ", ".join(payment["decided_by"])
        print(f"cart {number}: {payment['display']} {payment['status']} ({payment['oversight'] or why})")
    stop.set()
    watching.join()
    differences = reconciler(books, payments)
    print(f"books: {differences or 'equal'}")
    return 1 if differences else 0


if __name__ == "__main__":
    default = Path("/var/lib/paywarden" if os.geteuid() == 0 else Path.home() / ".local/share/paywarden") / "admin.key"
    key = os.environ.get("PAYWARDEN_API_KEY") or (default.read_text().strip() if default.exists() else "")
    sys.exit(main(key) if key else "Set PAYWARDEN_API_KEY to the administrator's key: it is in DIR/admin.key")
