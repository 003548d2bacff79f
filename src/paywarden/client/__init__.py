"""The SDK: ``Paywarden`` and ``AsyncPaywarden`` speak ``/v1``; ``TOOLS`` and ``run_tool`` are for agents' engineers.

with Paywarden("http://127.0.0.1:8000", key) as desk:
    payment = desk.charge(2500, "usd", "cust_42", purpose="order 7", idempotency_key="order-7")
    with desk.gate(12, "usd", "cust_42", idempotency_key="job-7") as hold:
        hold.capture(cost_minor(call_the_model()))
"""

from paywarden.client.clients import AsyncPaywarden, Paywarden, is_loopback
from paywarden.client.errors import (
    PaywardenApiError,
    PaywardenClientError,
    PaywardenUnreachableError,
    PaywardenUsageError,
)
from paywarden.client.gate import AsyncGate, Gate
from paywarden.client.tools import TOOLS, ToolResult

__all__ = [
    "TOOLS",
    "AsyncGate",
    "AsyncPaywarden",
    "Gate",
    "Paywarden",
    "PaywardenApiError",
    "PaywardenClientError",
    "PaywardenUnreachableError",
    "PaywardenUsageError",
    "ToolResult",
    "is_loopback",
]
