"""What a person says became of a payment."""

from typing import Literal

from typing_extensions import TypedDict

from paywarden.api.render.payments import PaymentObject, payment_object
from paywarden.flow.words import Attestation, Payment
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339


class AttestationObject(TypedDict):
    """One person's word, and the payment after it: ``outcome_unknown`` while a second person is missing."""

    object: Literal["attestation"]
    id: str
    payment: PaymentObject
    outcome: Literal["succeeded", "failed"]
    reference: str
    provider_payment_id: str | None
    reason: str | None
    created_at: str


def attestation_object(said: Attestation, payment: Payment) -> AttestationObject:
    """A word with the payment it is about."""
    return {
        "object": "attestation",
        "id": ids.to_text("att", said.id),
        "payment": payment_object(payment),
        "outcome": said.word.outcome,
        "reference": said.word.reference,
        "provider_payment_id": said.word.provider_payment_id,
        "reason": said.reason,
        "created_at": rfc3339(said.created_at),
    }
