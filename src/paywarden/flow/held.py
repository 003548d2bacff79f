"""A hold at the billing gate as it stands, and what an outcome of the ledger says about it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from paywarden.kit import ids
from paywarden.kit.errors import (
    IdempotencyKeyReusedError,
    NotFoundError,
    PaywardenError,
    StateConflictError,
)
from paywarden.ledger.intents import HoldRow, Outcome

ABSENT = "There is no such hold."
_STATUSES = {"pending": "pending", "posted": "captured", "voided": "released", "expired": "expired"}


class Hold(Struct, frozen=True):
    """A hold at the gate as it stands. Amounts in minor units; ``closed_at`` None while it is pending."""

    id: UUID
    status: str
    principal_id: UUID
    amount_minor: int
    captured_minor: int
    currency: str
    customer_id: str | None
    mandate_id: UUID | None
    feature: str | None
    expires_at: datetime
    created_at: datetime
    closed_at: datetime | None

    @property
    def public_id(self) -> str:
        """The id as answers show it."""
        return ids.to_text("hold", self.id)


def ledger_status(status: str) -> str:
    """The ledger's word for a status of ours."""
    return next(theirs for theirs, ours in _STATUSES.items() if ours == status)


class Held(Struct, frozen=True):
    """A hold, and whether it is the answer to an earlier request with the same key."""

    hold: Hold
    replayed: bool


Answer = Held | PaywardenError


def only(answers: Sequence[Answer]) -> Held:
    """The hold of a request for one. Raises the error that refuses it."""
    (answer,) = answers
    if isinstance(answer, PaywardenError):
        raise answer
    return answer


def held(outcome: Outcome) -> Answer:
    """What every kind of outcome means that is no shortage."""
    hold = shown(outcome)
    if outcome.result in ("ok", "replayed") and hold is not None:
        return Held(hold, replayed=outcome.result == "replayed")
    if outcome.result == "conflict" and outcome.detail.get("reason") == "key":
        return IdempotencyKeyReusedError("This Idempotency-Key was used for another request; use a new key.")
    if outcome.result in ("conflict", "replayed"):
        return StateConflictError(f"The hold is {hold.status if hold else 'captured'} already.")
    if outcome.result == "invalid":
        return NotFoundError(ABSENT)
    raise RuntimeError(f"the ledger answered {outcome.result}")


def shown(outcome: Outcome) -> Hold | None:
    """The hold as the ledger left it, None where it says nothing of one."""
    return None if outcome.hold is None else hold_of(outcome.hold)


def hold_of(row: HoldRow) -> Hold:
    """A gate's hold from its row."""
    assert row.principal_id and row.currency and row.expires_at  # noqa: S101, PT018  a gate's hold has them
    return Hold(
        row.id,
        _STATUSES[row.status],
        row.principal_id,
        row.amount_minor,
        row.captured_minor,
        row.currency,
        row.customer_id,
        row.mandate_id,
        row.feature,
        row.expires_at,
        row.created_at,
        row.closed_at,
    )
