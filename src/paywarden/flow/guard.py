"""Guard and reserve: facts in, verdict out, and the hold in the same commit. Runs inside the caller's transaction."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import structs

from paywarden.audit import events
from paywarden.db.transaction import retrying
from paywarden.decisions import store as decision_store
from paywarden.flow.desk import Connection, Desk
from paywarden.flow.postings import hold_lines, window_grants
from paywarden.guardrails import mandate_store, mandates, oversight
from paywarden.guardrails.cedar import PolicySet
from paywarden.guardrails.facts import AdviceFacts, Approval, Check, PaymentFacts
from paywarden.guardrails.thresholds import DUPLICATE_WINDOW_MINUTES
from paywarden.identity import principals, tenants
from paywarden.identity.principals import Principal
from paywarden.kit import ids
from paywarden.kit.errors import PaywardenError
from paywarden.kit.states import Status
from paywarden.ledger import door
from paywarden.ledger.intents import Authority, Reserve, Void
from paywarden.payments import rows
from paywarden.payments.rows import Move, NewPayment, Payment
from paywarden.reviews import reviews

INSUFFICIENT = "insufficient"
# What the best possible advice would be: if even that would not help, the adviser is not asked.
_BEST_ADVICE_CONFIDENCE = 100
_TRIES = 4
_LONGEST_REASON = 500
T = TypeVar("T")


class StaleAuthorityError(PaywardenError):
    """Authority changed between guard and reservation: roll back and guard again on fresh facts."""

    code, status, title = "authority_changed", 409, "Authority changed in the meantime"


async def until_fresh(attempt: Callable[[], Awaitable[T]]) -> T:
    """The result of ``attempt``, which opens its own transaction, made again while authority changes under it.

    Raises StaleAuthorityError after the last try.
    """
    for _ in range(_TRIES):
        try:
            return await retrying(attempt)
        except StaleAuthorityError:
            continue
    raise StaleAuthorityError("Authority keeps changing; please retry with the same key.", retry_after_seconds=1)


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything guard read, as of one moment of the database's clock."""

    facts: PaymentFacts
    mandates: tuple[mandates.Mandate, ...]
    authority_version: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Denial:
    """The rule that refuses a payment, and a sentence for people if there is one."""

    rule: str
    says: str | None = None

    @property
    def reason(self) -> str:
        """Both in one text: the rule first, so that programs can read it."""
        return f"{self.rule}: {self.says}" if self.says else self.rule


@dataclass(frozen=True, slots=True)
class Verdict:
    """What guard says of a payment: the oversight decision, the mandate it rests on, every check."""

    decision: oversight.OversightDecision
    mandate: mandates.Mandate | None
    checks: tuple[Check, ...]
    denial: Denial | None


async def look(connection: Connection, payment: Payment, advice: AdviceFacts | None) -> Situation:
    """Read what the rules may know about this payment."""
    tenant = await tenants.find(connection, payment.tenant_id)
    principal = await principals.find(connection, payment.principal_id)
    if tenant is None or principal is None:
        raise LookupError("a payment without tenant or principal")
    now = tenant["now"]
    own = tuple(await mandate_store.of_principal(connection, payment.principal_id))
    approvals = await reviews.standing_approvals(connection, payment.id, rows.action_digest(tenant["id"], payment))
    facts = payment_facts(
        payment,
        principal,
        tenant_active=tenant["status"] == "active",
        payee_known=await _payee_known(connection, payment, own, now),
        local_hour=local_hour(own, now),
        advice=advice,
        approvals=tuple(Approval(row["reviewer_id"], row["reviewer_kind"], row["role"]) for row in approvals),
    )
    return Situation(facts, own, tenant["authority_version"], now)


def payment_facts(
    payment: Payment | NewPayment,
    principal: Principal,
    *,
    tenant_active: bool,
    payee_known: bool,
    local_hour: int,
    advice: AdviceFacts | None = None,
    approvals: tuple[Approval, ...] = (),
) -> PaymentFacts:
    """What the rules may know, in their words."""
    return PaymentFacts(
        tenant_active=tenant_active,
        principal_id=principal.id,
        principal_kind=principal.kind,
        principal_active=principal.status == "active",
        principal_roles=principal.roles,
        kind=payment.kind,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        counterparty=payment.payee or payment.customer_id or "",
        payee_known=payee_known,
        duplicate_suspected=payment.duplicate_suspected,
        local_hour=local_hour,
        purpose=payment.purpose,
        refund_of_known=True if payment.kind == "refund" else None,
        advice=advice,
        approvals=approvals,
    )


async def _payee_known(
    connection: Connection, payment: Payment, own: tuple[mandates.Mandate, ...], now: datetime
) -> bool:
    """A payee is known when a mandate for payouts names it that the principal has now, or when it was paid before."""
    if payment.payee is None:
        return True
    if any(mandate.names_payee(payment.payee, now) for mandate in own):
        return True
    return await rows.payee_paid_before(connection, payment.payee)


def local_hour(own: tuple[mandates.Mandate, ...], now: datetime) -> int:
    """The hour, 0 to 23, in the time zone of the first mandate; in UTC where there is none that exists."""
    return _hour(own[0].timezone, now) if own else now.hour


# What is decided together is decided at one moment.
@lru_cache(maxsize=64)
def _hour(timezone: str, now: datetime) -> int:
    try:
        return now.astimezone(ZoneInfo(timezone)).hour
    except (ValueError, KeyError, OSError):
        return now.hour


def judge(desk: Desk, payment: Payment, situation: Situation) -> Verdict:
    """Pure: policies and mandates on what was read. The first failing rule is the one that is named."""
    return verdict_of(desk.policies, payment, situation, oversight.decide(desk.policies, situation.facts))


def verdict_of(
    policies: PolicySet, payment: Payment | NewPayment, situation: Situation, decision: oversight.OversightDecision
) -> Verdict:
    """The verdict where the policies have been asked already."""
    choice = mandates.choose(situation.mandates, situation.facts, situation.now, payment.mandate_id)
    checks = (*choice.checks, *_repeats(situation.facts), *decision.checks)
    if decision.outcome == "deny":
        said = [sentence for rule in decision.determining if (sentence := policies.says(rule))]
        denial = Denial(", ".join(decision.determining), "; ".join(said))
        return Verdict(decision, choice.mandate, checks, denial)
    if choice.mandate is None:
        return Verdict(decision, None, checks, Denial(choice.failed[0].rule, choice.failed[0].detail))
    return Verdict(decision, choice.mandate, checks, None)


def _repeats(facts: PaymentFacts) -> tuple[Check, ...]:
    """Why a payment that looks like a retry is held, for whoever has to decide or to explain it."""
    same = "the same agent, customer, amount and reference"
    found = f"{same} were asked for less than {DUPLICATE_WINDOW_MINUTES} minutes before, without an Idempotency-Key"
    return (Check("duplicate_guard", "note", found),) if facts.duplicate_suspected else ()


def advice_would_help(desk: Desk, payment: Payment, situation: Situation) -> bool:
    """Whether an adviser's approval could spare a review. If not, it is not asked and costs nothing."""
    if oversight.decide(desk.policies, situation.facts).outcome != "review":
        return False
    best = AdviceFacts("approve", payment.amount_minor, _BEST_ADVICE_CONFIDENCE, True, True)
    return oversight.decide(desk.policies, structs.replace(situation.facts, advice=best)).outcome == "allow"


async def conclude(
    connection: Connection,
    desk: Desk,
    payment: Payment,
    situation: Situation,
    decision_id: UUID | None = None,
    fence: int | None = None,
    missing_facts: tuple[str, ...] = (),
    pickup_seconds: float | None = None,
) -> Payment:
    """Guard, then reserve, review or deny, all in this transaction. The payment row must be locked or new.

    Where a review would be needed and the adviser named ``missing_facts``, these are asked for first, some rounds long.
    What is reserved is due for any worker after ``pickup_seconds``, by default those of the settings.
    Raises StaleAuthorityError when authority changed since ``situation`` was read.
    """
    verdict = judge(desk, payment, situation)
    await decision_store.save_checks(
        connection, verdict.checks, payment_id=payment.id, policy_version=desk.policies.version
    )
    if verdict.denial:
        return await deny(connection, payment, desk, verdict.denial, verdict, decision_id, fence)
    if verdict.decision.outcome == "review" and missing_facts and payment.facts_rounds < desk.settings.facts_rounds:
        return await _ask_for_facts(connection, desk, payment, verdict, decision_id, fence, missing_facts)
    if verdict.decision.outcome == "review":
        return await _send_to_review(connection, desk, payment, verdict, decision_id, fence)
    return await _reserve(connection, desk, payment, situation, verdict, decision_id, fence, pickup_seconds)


async def deny(
    connection: Connection,
    payment: Payment,
    desk: Desk,
    denial: Denial,
    verdict: Verdict,
    decision_id: UUID | None = None,
    fence: int | None = None,
) -> Payment:
    """Refuse before anything was sent; ``denial`` is what the caller is told."""
    await rows.record_decision(
        connection,
        payment.id,
        oversight=None,
        decided_by=[denial.rule],
        policy_version=desk.policies.version,
        mandate_id=verdict.mandate.id if verdict.mandate else None,
        hold_id=None,
        decision_id=decision_id,
    )
    await reviews.close(connection, payment.id, "canceled")
    if payment.original_payment_id is not None:
        await rows.release_refundable(connection, payment.original_payment_id, payment.amount_minor)
    wanted = Move(
        Status.DENIED, "request", "guard", reason=denial.reason, detail={"decided_by": [denial.rule]}, fence=fence
    )
    return await _moved(connection, payment, wanted)


async def withdraw(connection: Connection, desk: Desk, payment: Payment, denial: Denial, verdict: Verdict) -> Payment:
    """Refuse a reserved payment at the point of no return: the hold goes back, nothing was sent."""
    await decision_store.save_checks(
        connection, verdict.checks, payment_id=payment.id, policy_version=desk.policies.version
    )
    if payment.hold_id is not None:
        await door.write(connection, [Void(payment.hold_id, payment.id)])
    if payment.original_payment_id is not None:
        await rows.release_refundable(connection, payment.original_payment_id, payment.amount_minor)
    wanted = Move(Status.DENIED, "request", "point_of_no_return", reason=denial.reason, fence=payment.fence)
    return await _moved(connection, payment, wanted)


async def stored_advice(connection: Connection, payment: Payment) -> AdviceFacts | None:
    """The checked advice this payment was decided on, if there was any."""
    if payment.decision_id is None:
        return None
    decision = await decision_store.find(connection, payment.decision_id)
    return None if decision is None else advice_facts(decision.row["advice"])


def advice_facts(checked: dict[str, Any]) -> AdviceFacts:
    """Checked advice, as stored, in the words of the rules."""
    return AdviceFacts(
        verdict=checked["verdict"],
        amount_minor=checked["amount_minor"],
        confidence=checked["given"]["confidence"],
        citations_verified=checked["citations_verified"],
        supported_by_trusted=checked["supported_by_trusted"],
    )


async def _reserve(
    connection: Connection,
    desk: Desk,
    payment: Payment,
    situation: Situation,
    verdict: Verdict,
    decision_id: UUID | None,
    fence: int | None,
    pickup_seconds: float | None,
) -> Payment:
    hold_id = ids.new_uuid()
    mandate = verdict.mandate
    assert mandate is not None  # noqa: S101  judge() names a mandate or denies
    lines = mandates.authority_lines(mandate, situation.facts, situation.now)
    authority = Authority(payment.principal_id, situation.authority_version, [mandate.id])
    (outcome,) = await door.write(connection, [reserve_intent(payment, situation, mandate, authority, hold_id)])
    if outcome.result == "stale":
        raise StaleAuthorityError("A mandate, role or switch changed while this was decided.")
    if outcome.result == "insufficient":
        short = Check("budget", "fail", f"not enough left on {outcome.accounts}")
        missing = _what_is_short(outcome.accounts or "", mandate, lines, payment)
        await decision_store.save_checks(
            connection, [short], payment_id=payment.id, policy_version=desk.policies.version
        )
        denial = Denial(INSUFFICIENT, missing)
        return await deny(connection, payment, desk, denial, verdict, decision_id, fence)
    if outcome.result != "ok":
        raise RuntimeError(f"the ledger answered {outcome.result} to a new hold")
    await _record(connection, desk, payment, verdict, decision_id, hold_id)
    await reviews.close(connection, payment.id, "approved")
    due_seconds = desk.settings.pickup_seconds if pickup_seconds is None else pickup_seconds
    wanted = Move(
        Status.RESERVED,
        "request",
        "guard",
        detail={"oversight": verdict.decision.oversight, "decided_by": list(verdict.decision.determining)},
        next_step_seconds=None if payment.bare else due_seconds,
        fence=fence,
    )
    return await _moved(connection, payment, wanted)


def reserve_intent(
    payment: Payment | NewPayment,
    situation: Situation,
    mandate: mandates.Mandate,
    authority: Authority,
    hold_id: UUID,
) -> Reserve:
    """What the ledger is asked to hold for a payment that rests on this mandate."""
    lines = mandates.authority_lines(mandate, situation.facts, situation.now)
    return Reserve(
        hold_id=hold_id,
        payment_id=payment.id,
        authority=authority,
        amount_minor=payment.amount_minor,
        lines=hold_lines(payment, lines),
        grants=window_grants(lines, payment.currency),
    )


def _what_is_short(
    accounts: str, mandate: mandates.Mandate, lines: Sequence[mandates.AuthorityLine], payment: Payment
) -> str:
    """In words for people; ``accounts`` are the codes that the ledger named."""
    funds = f"there is too little {payment.currency.upper()} on our account at the provider for this payout"
    if "provider_clearing/" not in accounts:
        return mandates.exhausted(mandate, lines, payment.currency)
    if "authority/" not in accounts:
        return funds
    return f"{mandates.exhausted(mandate, lines, payment.currency)}; {funds}"


async def _ask_for_facts(
    connection: Connection,
    desk: Desk,
    payment: Payment,
    verdict: Verdict,
    decision_id: UUID | None,
    fence: int | None,
    missing_facts: tuple[str, ...],
) -> Payment:
    await _record(connection, desk, payment, verdict, decision_id, None)
    wanted = Move(
        Status.NEEDS_FACTS,
        "request",
        "guard",
        reason=f"facts are missing: {'; '.join(missing_facts)}"[:_LONGEST_REASON],
        detail={
            "missing": list(missing_facts),
            "round": payment.facts_rounds + 1,
            "decided_by": list(verdict.decision.determining),
        },
        fence=fence,
        missing_facts=missing_facts,
        facts_seconds=desk.settings.facts_seconds,
    )
    return await _moved(connection, payment, wanted)


async def _send_to_review(
    connection: Connection,
    desk: Desk,
    payment: Payment,
    verdict: Verdict,
    decision_id: UUID | None,
    fence: int | None,
) -> Payment:
    await _record(connection, desk, payment, verdict, decision_id, None)
    # Approved as far as the last reviewer goes; the policies ask for another one's approval, too.
    await reviews.close(connection, payment.id, "approved")
    reason = _why_it_waits(payment, verdict)
    await reviews.open_review(
        connection,
        payment_id=payment.id,
        initiator_id=payment.principal_id,
        required_role=verdict.decision.required_role or "review",
        reviewer_kind=verdict.decision.reviewer_kind or "person",
        action_digest=payment.action_digest,
        reason=reason,
        expires_in_seconds=desk.settings.review_seconds,
    )
    if payment.status is Status.IN_REVIEW:
        await rows.rewrite_reason(connection, payment.id, reason)
        return structs.replace(payment, reason=reason)
    detail = {"decided_by": list(verdict.decision.determining)}
    wanted = Move(Status.IN_REVIEW, "request", "guard", reason=reason, detail=detail, fence=fence)
    return await _moved(connection, payment, wanted)


def _why_it_waits(payment: Payment, verdict: Verdict) -> str:
    if payment.duplicate_suspected:
        return "suspected duplicate"
    role = verdict.decision.required_role
    who = "a person" if verdict.decision.reviewer_kind == "person" else "another principal"
    why = f"needs {who}'s approval" + (f" in the role {role}" if role != "review" else "")
    return why + (f"; facts were asked for {payment.facts_rounds} times" if payment.facts_rounds else "")


async def _record(
    connection: Connection,
    desk: Desk,
    payment: Payment,
    verdict: Verdict,
    decision_id: UUID | None,
    hold_id: UUID | None,
) -> None:
    await rows.record_decision(
        connection,
        payment.id,
        oversight=verdict.decision.oversight,
        decided_by=verdict.decision.determining,
        policy_version=desk.policies.version,
        mandate_id=verdict.mandate.id if verdict.mandate else None,
        hold_id=hold_id,
        decision_id=decision_id,
    )


async def _moved(connection: Connection, payment: Payment, wanted: Move) -> Payment:
    moved = await rows.move(connection, payment.id, wanted)
    if moved is None:
        raise StaleAuthorityError("The payment moved on while this was decided.")
    data: dict[str, Any] = {"reason": moved.reason} if moved.reason else {}
    await events.record(connection, f"payment.{moved.status}", ("payment", payment.id), data=data)
    return moved
