"""A payment as the rules see it, and the shipped policies with one rule taken out."""

import re
from importlib.resources import files
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from paywarden.guardrails.cedar import PolicySet
from paywarden.guardrails.facts import AdviceFacts, Approval, PaymentFacts

INITIATOR = UUID(int=1)
REVIEWER = UUID(int=2)
FOLDER = files("paywarden.guardrails") / "policies"
TEXT = (FOLDER / "default.cedar").read_text("utf-8")
SCHEMA = (FOLDER / "paywarden.cedarschema").read_text("utf-8")

CHARGE = PaymentFacts(
    tenant_active=True,
    principal_id=INITIATOR,
    principal_kind="agent",
    principal_active=True,
    principal_roles=frozenset({"initiate"}),
    kind="charge",
    amount_minor=2500,
    currency="usd",
    counterparty="user_42",
    payee_known=True,
    duplicate_suspected=False,
    local_hour=12,
)
REFUND = replace(CHARGE, kind="refund", refund_of_known=True)
PAYOUT = replace(CHARGE, kind="payout", counterparty="payee_7")
ADVICE = AdviceFacts("approve", 2500, 95, citations_verified=True, supported_by_trusted=True)
BY_AGENT = Approval(REVIEWER, "agent", "review")
BY_PERSON = Approval(REVIEWER, "person", "review")


def advised(**changes: Any) -> PaymentFacts:
    """A refund whose adviser says yes, but for these changes of the advice."""
    return replace(REFUND, advice=replace(ADVICE, **changes))


def policies(text: str = TEXT, schema: str = SCHEMA) -> PolicySet:
    return PolicySet("test", text, schema)


def without_rule(rule: str) -> PolicySet:
    """The broken twin: the shipped policies, one of them taken out."""
    text, found = re.subn(rf'@id\("{rule}"\)\n(?:@says[^\n]*\n)?(?:permit|forbid).*?;\n', "", TEXT, flags=re.DOTALL)
    assert found == 1
    return policies(text)


def with_text(old: str, new: str) -> PolicySet:
    """The broken twin: the shipped policies, one of their phrases changed."""
    assert TEXT.count(old) == 1
    return policies(TEXT.replace(old, new))
