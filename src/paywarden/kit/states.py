"""The states of a payment and the moves between them: docs/decisions/0001-states.md is this table in words.

Three causes move a payment. A *request* is what somebody asks of us and is refused where the table says so. A *lapse*
is that nobody answered or time passed; it never ends a payment that may have been sent. A *fact* is a provider's own
evidence; it moves a payment forward by rank, whatever we thought, and a lower rank is stored and ignored.
"""

from enum import StrEnum
from typing import Literal

Cause = Literal["request", "fact", "lapse"]


class Status(StrEnum):
    """What a payment is doing; the database has the same words in a CHECK."""

    PENDING = "pending"
    NEEDS_FACTS = "needs_facts"
    IN_REVIEW = "in_review"
    RESERVED = "reserved"
    SUBMITTING = "submitting"
    OUTCOME_UNKNOWN = "outcome_unknown"
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    AUTHORIZED = "authorized"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    DENIED = "denied"


_S = Status
FINAL = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELED, _S.EXPIRED, _S.DENIED})
# Nothing was sent yet: cancel, revoke and expiry may void the hold here and only here.
BEFORE_SUBMIT = frozenset({_S.PENDING, _S.NEEDS_FACTS, _S.IN_REVIEW, _S.RESERVED})
# The commit to `submitting` was made: only a provider's fact closes the hold.
AT_PROVIDER = frozenset({_S.SUBMITTING, _S.OUTCOME_UNKNOWN, _S.PROCESSING, _S.REQUIRES_ACTION, _S.AUTHORIZED})

REQUEST_MOVES: dict[Status, frozenset[Status]] = {
    _S.PENDING: frozenset({_S.NEEDS_FACTS, _S.IN_REVIEW, _S.RESERVED, _S.DENIED, _S.CANCELED}),
    _S.NEEDS_FACTS: frozenset({_S.PENDING, _S.DENIED, _S.CANCELED}),
    _S.IN_REVIEW: frozenset({_S.RESERVED, _S.DENIED, _S.CANCELED}),
    _S.RESERVED: frozenset({_S.SUBMITTING, _S.DENIED, _S.CANCELED}),
    _S.REQUIRES_ACTION: frozenset({_S.SUBMITTING}),
}
LAPSE_MOVES: dict[Status, frozenset[Status]] = {
    _S.PENDING: frozenset({_S.EXPIRED}),
    _S.NEEDS_FACTS: frozenset({_S.EXPIRED}),
    _S.IN_REVIEW: frozenset({_S.EXPIRED}),
    _S.RESERVED: frozenset({_S.EXPIRED}),
    _S.SUBMITTING: frozenset({_S.OUTCOME_UNKNOWN}),
    # Inside the provider's key window the same key and body may be sent again.
    _S.OUTCOME_UNKNOWN: frozenset({_S.SUBMITTING}),
}
_FACT_RANK: dict[Status, int] = {
    _S.PENDING: 0,
    _S.NEEDS_FACTS: 0,
    _S.IN_REVIEW: 0,
    _S.RESERVED: 0,
    _S.SUBMITTING: 1,
    _S.OUTCOME_UNKNOWN: 1,
    _S.REQUIRES_ACTION: 2,
    _S.AUTHORIZED: 3,
    _S.PROCESSING: 4,
    _S.FAILED: 5,
    _S.CANCELED: 5,
    _S.EXPIRED: 5,
    _S.SUCCEEDED: 6,
    # Refused before anything was sent: a provider's success is booked and raised, the refusal stays.
    _S.DENIED: 7,
}
_FACT_TARGETS = frozenset({_S.REQUIRES_ACTION, _S.AUTHORIZED, _S.PROCESSING, _S.FAILED, _S.CANCELED, _S.SUCCEEDED})


def allowed_from(target: Status, cause: Cause) -> frozenset[Status]:
    """The states from which this cause may move a payment to ``target``."""
    if cause == "fact":
        return frozenset(status for status in Status if _fact_moves(status, target))
    moves = REQUEST_MOVES if cause == "request" else LAPSE_MOVES
    return frozenset(status for status, targets in moves.items() if target in targets)


def _fact_moves(current: Status, target: Status) -> bool:
    if target not in _FACT_TARGETS or _FACT_RANK[target] <= _FACT_RANK[current]:
        return False
    # Before anything was sent the only fact is a settlement that somebody can prove.
    return target is _S.SUCCEEDED or current not in BEFORE_SUBMIT
