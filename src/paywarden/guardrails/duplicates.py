"""What makes two payments look the same. Whether the second is held is the duplicate guard's to say."""

from uuid import UUID

from paywarden.guardrails.facts import PaymentKind
from paywarden.kit.canonical import digest


def fingerprint(
    *, principal_id: UUID, kind: PaymentKind, counterparty: str, amount_minor: int, currency: str, reference: str | None
) -> bytes:
    """32 bytes over the parts of a payment that a repeat shares; no two different lists of parts share one."""
    return digest([str(principal_id), kind, counterparty, amount_minor, currency, reference])
