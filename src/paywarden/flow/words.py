"""The words of the rooms that doors use to speak to flow: doors import them from here and never reach into a room."""

from paywarden.billing.top_ups import Funding, NewTopUp, Reversal, TopUp
from paywarden.decisions.adviser import Effort
from paywarden.decisions.store import StoredDecision
from paywarden.flow.ask import MAX_RESERVATION_SECONDS, Ask, Asked
from paywarden.flow.credit import Balance, ToppedUp
from paywarden.flow.decision import DecisionView
from paywarden.flow.desk import Actor, Desk
from paywarden.flow.embedding import EmbedderState
from paywarden.flow.guard import INSUFFICIENT
from paywarden.flow.held import Held, Hold
from paywarden.flow.hold import DEFAULT_HOLD_SECONDS, MAX_HOLD_SECONDS, Capture, NewHold
from paywarden.flow.inquiry import MAX_GIVEN, GivenFact
from paywarden.flow.note_import import MAX_IMPORTED, ImportedNote
from paywarden.flow.provider_event import Endpoint
from paywarden.flow.replay import Course, Replay
from paywarden.flow.story import Story
from paywarden.flow.task import MAX_WAIT_SECONDS
from paywarden.guardrails.mandate_terms import MandateTerms
from paywarden.guardrails.mandates import Limit, Mandate
from paywarden.identity.principals import Principal
from paywarden.memory.influence import Influence
from paywarden.memory.notes import NewNote, Note
from paywarden.memory.own_vectors import checked_vector
from paywarden.payments.idempotency import IdempotentRequest
from paywarden.payments.rows import Payment
from paywarden.reconciliation.attestations import Attestation, Word
from paywarden.reviews.reviews import Review

__all__ = [
    "DEFAULT_HOLD_SECONDS",
    "INSUFFICIENT",
    "MAX_GIVEN",
    "MAX_HOLD_SECONDS",
    "MAX_IMPORTED",
    "MAX_RESERVATION_SECONDS",
    "MAX_WAIT_SECONDS",
    "Actor",
    "Ask",
    "Asked",
    "Attestation",
    "Balance",
    "Capture",
    "Course",
    "DecisionView",
    "Desk",
    "Effort",
    "EmbedderState",
    "Endpoint",
    "Funding",
    "GivenFact",
    "Held",
    "Hold",
    "IdempotentRequest",
    "ImportedNote",
    "Influence",
    "Limit",
    "Mandate",
    "MandateTerms",
    "NewHold",
    "NewNote",
    "NewTopUp",
    "Note",
    "Payment",
    "Principal",
    "Replay",
    "Reversal",
    "Review",
    "StoredDecision",
    "Story",
    "TopUp",
    "ToppedUp",
    "Word",
    "checked_vector",
]
