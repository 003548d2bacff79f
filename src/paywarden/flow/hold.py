"""Hold, capture, release, extend: the billing gate. Hold before the costly call, then take what it cost, once.

A hold rests on a customer's credit, on a mandate's budget, or on both. Everything here takes lists and answers each
member for itself, with what became of the hold or with the error that refuses it; all is written through the one
``LedgerGroup``, so that many requests share a commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from uuid import UUID

from msgspec import Struct

from paywarden.billing.top_ups import Funding
from paywarden.flow.authority import Standing
from paywarden.flow.desk import Actor, Desk
from paywarden.flow.gate_write import Planned, change_each, write_each
from paywarden.flow.held import Answer, Held, Hold, held, only, shown
from paywarden.flow.postings import budget_lines, window_grants
from paywarden.guardrails import mandates
from paywarden.guardrails.facts import GateFacts
from paywarden.guardrails.mandates import AuthorityLine, Mandate
from paywarden.kit import ids
from paywarden.kit.errors import (
    CaptureTooLargeError,
    HoldExpiredError,
    InsufficientFundsError,
    InvalidFieldError,
    PaymentDeniedError,
)
from paywarden.kit.money import Money, check_amount_minor, display
from paywarden.kit.text import clean_id
from paywarden.ledger import chart
from paywarden.ledger.intents import Extend, Gate, Key, Line, Outcome, Post, Reserve, Void
from paywarden.payments.idempotency import IdempotentRequest

MAX_HOLD_SECONDS = 30 * 86_400
DEFAULT_HOLD_SECONDS = 3600
INSUFFICIENT = "insufficient"


class NewHold(Struct, frozen=True):
    """What to hold, in minor units. ``request`` is the key and fingerprint of whoever asks.

    ``funding`` says which of the customer's credits is meant: what was prepaid (money) or what was granted (no cash).
    """

    amount_minor: int
    currency: str
    request: IdempotentRequest
    customer_id: str | None = None
    mandate_id: UUID | None = None
    feature: str | None = None
    funding: Funding | None = None
    expires_in_seconds: int = DEFAULT_HOLD_SECONDS


class Capture(Struct, frozen=True):
    """How much of a hold to take, in minor units; ``final``: what remains goes back."""

    hold_id: UUID
    amount_minor: int
    request: IdempotentRequest
    final: bool = True


async def create(desk: Desk, actor: Actor, wanted: Sequence[NewHold]) -> list[Answer]:
    """Hold each of these amounts, or say why not; what is refused stores nothing.

    Errors of members: InvalidFieldError, PaymentDeniedError (a mandate's rule), InsufficientFundsError,
    IdempotencyKeyReusedError, InternalError. Raises AuthenticationError, ForbiddenError and PaymentDeniedError where
    they are about the caller, and OverloadedError when nobody knows what was written: the same keys may be sent again.
    """
    return await write_each(desk, actor, [partial(_to_hold, each) for each in wanted], "initiate")


async def capture(desk: Desk, actor: Actor, wanted: Sequence[Capture]) -> list[Answer]:
    """Take what it cost; the same key takes once.

    Errors of members: NotFoundError, CaptureTooLargeError, HoldExpiredError (it expired and the funds are gone),
    StateConflictError (closed already), and those of ``create``. Raises what ``create`` raises.
    """
    plans = [partial(_to_capture, each) for each in wanted]
    return await change_each(desk, actor, [each.hold_id for each in wanted], plans)


async def release(desk: Desk, actor: Actor, hold_ids: Sequence[UUID]) -> list[Answer]:
    """Give back what is held. Releasing twice, or what has expired, changes nothing.

    Errors of members: NotFoundError, StateConflictError (captured already), and those of ``create``. Raises what
    ``create`` raises.
    """
    return await change_each(desk, actor, hold_ids, [partial(_to_release, each) for each in hold_ids])


async def extend(desk: Desk, actor: Actor, hold_id: UUID, expires_in_seconds: int) -> Hold:
    """Let a pending hold expire so many seconds from now.

    Raises InvalidFieldError, ForbiddenError, NotFoundError, HoldExpiredError, StateConflictError (captured or released
    already), AuthenticationError, OverloadedError.
    """
    _check_time(expires_in_seconds)
    plan = partial(_to_extend, hold_id, expires_in_seconds)
    return only(await change_each(desk, actor, [hold_id], [plan])).hold


def _to_hold(wanted: NewHold, standing: Standing) -> Planned:
    """Raises InvalidFieldError, PaymentDeniedError."""
    _check(wanted)
    principal = standing.principal
    drawn = None if wanted.mandate_id is None else _drawn(standing, wanted, wanted.mandate_id)
    gate = Gate(principal.id, wanted.currency, wanted.customer_id, wanted.mandate_id, wanted.feature)
    intent = Reserve(
        ids.new_uuid(),
        None,
        standing.authority() if drawn is None else standing.authority([drawn.mandate.id], drawn.ends_at),
        wanted.amount_minor,
        (*(drawn.hold_lines if drawn else ()), *_credit_lines(wanted)),
        grants=window_grants(drawn.lines, wanted.currency) if drawn else (),
        gate=gate,
        key=_key(principal.id, wanted.request),
        expires_in_seconds=wanted.expires_in_seconds,
    )
    return Planned(intent, partial(_was_held, wanted, drawn))


def _check(wanted: NewHold) -> None:
    Money(wanted.amount_minor, wanted.currency)
    if wanted.customer_id is None and wanted.mandate_id is None:
        raise InvalidFieldError("customer", "must name whose credit it is held on, or 'mandate' whose budget")
    if wanted.customer_id is None and wanted.funding is not None:
        raise InvalidFieldError("funding", "is for holds on a customer's credit")
    for param, value in (("customer", wanted.customer_id), ("feature", wanted.feature)):
        if value is not None:
            clean_id(value, param)
    _check_time(wanted.expires_in_seconds)


def _check_time(expires_in_seconds: int) -> None:
    if not 1 <= expires_in_seconds <= MAX_HOLD_SECONDS:
        raise InvalidFieldError("expires_in", f"must be 1 to {MAX_HOLD_SECONDS} seconds")


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The mandate a hold draws on, the budgets of it, and when these end."""

    mandate: Mandate
    lines: tuple[AuthorityLine, ...]
    hold_lines: tuple[Line, ...]
    ends_at: datetime


def _drawn(standing: Standing, wanted: NewHold, mandate_id: UUID) -> _Drawn:
    """Raises PaymentDeniedError with the first rule of the mandate that refuses it."""
    facts = GateFacts(standing.principal.id, wanted.amount_minor, wanted.currency, wanted.customer_id or "")
    choice = mandates.choose(standing.mandates, facts, standing.seen_at, mandate_id)
    if choice.mandate is None:
        first = choice.failed[0]
        raise PaymentDeniedError(f"Denied by {first.rule}: {first.detail}.", rule=first.rule)
    lines = mandates.authority_lines(choice.mandate, facts, standing.seen_at)
    ends_at = min(line.window.ends_at for line in lines)
    return _Drawn(choice.mandate, lines, tuple(budget_lines(lines, wanted.currency)), ends_at)


def _credit_lines(wanted: NewHold) -> tuple[Line, ...]:
    if wanted.customer_id is None:
        return ()
    return _lines_of_credit(wanted.customer_id, wanted.currency, wanted.funding)


# A customer's holds come one after another.
@lru_cache(maxsize=4096)
def _lines_of_credit(customer_id: str, currency: str, funding: Funding | None) -> tuple[Line, ...]:
    if funding == "granted":
        return (Line(chart.granted_credit(customer_id, currency), chart.credit_spent(customer_id, currency)),)
    return (Line(chart.customer_credit(customer_id, currency), chart.revenue(currency)),)


def _key(principal_id: UUID, request: IdempotentRequest) -> Key:
    return Key(principal_id, request.key, request.fingerprint)


def _was_held(wanted: NewHold, drawn: _Drawn | None, outcome: Outcome) -> Answer:
    if outcome.result == "insufficient":
        return InsufficientFundsError(f"Nothing was held: {_what_is_short(wanted, drawn, outcome)}.", rule=INSUFFICIENT)
    return held(outcome)


def _what_is_short(wanted: NewHold, drawn: _Drawn | None, outcome: Outcome) -> str:
    short = []
    if drawn is not None and any(line.account_code in (outcome.accounts or "") for line in drawn.lines):
        short.append(mandates.exhausted(drawn.mandate, drawn.lines, wanted.currency))
    if any(line.debit.code in (outcome.accounts or "") for line in _credit_lines(wanted)):
        short.append(f"the customer's {wanted.funding or 'prepaid'} credit in {wanted.currency} does not cover it")
    return "; ".join(short)


def _to_capture(wanted: Capture, owner_id: UUID | None, standing: Standing) -> Planned:
    check_amount_minor(wanted.amount_minor)
    principal = standing.principal
    intent = Post(
        wanted.hold_id,
        None,
        f"capture/{ids.to_text('hold', wanted.hold_id)}/{principal.id}/{wanted.request.key}",
        "capture",
        wanted.amount_minor,
        fact=False,
        final=wanted.final,
        authority=standing.authority(),
        key=_key(principal.id, wanted.request),
        of_principal_id=owner_id or principal.id,
    )
    return Planned(intent, partial(_was_captured, wanted))


def _was_captured(wanted: Capture, outcome: Outcome) -> Answer:
    hold = shown(outcome)
    if outcome.result == "insufficient" and hold is not None:
        left_minor = hold.amount_minor - hold.captured_minor
        if wanted.amount_minor > left_minor:
            left = display(left_minor, hold.currency)
            return CaptureTooLargeError(f"Only {left} of this hold is left to capture.", param="amount_minor")
        return HoldExpiredError("The hold has expired, and what it had held is not free any more.")
    return held(outcome)


def _to_release(hold_id: UUID, owner_id: UUID | None, standing: Standing) -> Planned:
    principal = standing.principal
    intent = Void(hold_id, authority=standing.authority(), of_principal_id=owner_id or principal.id)
    return Planned(intent, _was_released)


def _was_released(outcome: Outcome) -> Answer:
    hold = shown(outcome)
    if hold is not None and hold.status in ("released", "expired"):
        return Held(hold, replayed=False)
    return held(outcome)


def _to_extend(hold_id: UUID, expires_in_seconds: int, owner_id: UUID | None, standing: Standing) -> Planned:
    intent = Extend(hold_id, expires_in_seconds, standing.authority(), owner_id or standing.principal.id)
    return Planned(intent, _was_extended)


def _was_extended(outcome: Outcome) -> Answer:
    hold = shown(outcome)
    if outcome.result == "conflict" and hold is not None and hold.status == "expired":
        return HoldExpiredError("The hold has expired already; make a new one.")
    return held(outcome)
