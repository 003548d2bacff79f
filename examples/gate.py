"""A billing gate around a costly model call: hold the most it can cost, call, capture what it did cost.

The job's id is the key: tried again after a crash, or twice at the same time, a job is billed once. Who has not enough
credit gets no call at all. Start a service, then run it:

    make run ARGS="--no-demo"
    .venv/bin/python examples/gate.py
"""

import os
import secrets
import sys
from pathlib import Path

from paywarden.client import Paywarden, PaywardenApiError

URL = os.environ.get("PAYWARDEN_URL", "http://127.0.0.1:8000")
CENTS_PER_1000_TOKENS = 3
MOST_TOKENS = 4_000


def cost_minor(tokens: int) -> int:
    return -(-tokens * CENTS_PER_1000_TOKENS // 1000)  # rounded up


def call_model(text: str, max_tokens: int) -> dict:
    """Your costly call; answers like Anthropic's `messages.create`, with what it used."""
    return {"text": text[:40] + "...", "usage": {"output_tokens": min(max_tokens, 10 * len(text))}}


def summarize(desk: Paywarden, customer: str, job: str, text: str) -> str:
    """The whole gate. Leaving the block by an error gives the hold back."""
    with desk.gate(cost_minor(MOST_TOKENS), "usd", customer, feature="summary", idempotency_key=job) as hold:
        answer = call_model(text, MOST_TOKENS)
        hold.capture(cost_minor(answer["usage"]["output_tokens"]))
        return answer["text"]


def main(admin_key: str) -> None:
    customer = f"reader-{secrets.token_hex(3)}"
    with Paywarden(URL, admin_key) as finance:
        finance.top_up_credit(customer, 20, "usd", reference="bank statement 7", idempotency_key=f"top-{customer}")
        agent = finance.create_agent("service", f"summaries-{customer}", ["initiate"])
        secret = finance.create_key(agent["id"], expires_in_seconds=3600)["secret"]
        for job in ("job-1", "job-1", "job-2"):  # The second is a retry of the first.
            try:
                with Paywarden(URL, secret) as desk:
                    told = summarize(
                        desk, customer, f"{customer}-{job}", "The quick brown fox jumps over the lazy dog. " * 7
                    )
            except PaywardenApiError as refused:
                told = f"refused: {refused.code}"
            print(f"{job}: {told} ({finance.get_credit(customer)['balances'][0]['available']} left)")


if __name__ == "__main__":
    default = Path("/var/lib/paywarden" if os.geteuid() == 0 else Path.home() / ".local/share/paywarden") / "admin.key"
    key = os.environ.get("PAYWARDEN_API_KEY") or (default.read_text().strip() if default.exists() else "")
    sys.exit(main(key) if key else "Set PAYWARDEN_API_KEY to the administrator's key: it is in DIR/admin.key")
