"""Every call of ``/v1``, once: what is sent, and as what the answer is read.

Amounts are minor units of a lower-case currency. Who moves money may bring an ``idempotency_key``, for instance made
from the case at hand: the same key never pays twice. Without one a fresh key is made, which covers the client's own
repeats. All raise PaywardenUsageError, PaywardenApiError and PaywardenUnreachableError.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from paywarden.client import objects
from paywarden.client.conversation import Call, Conversation, converse
from paywarden.client.objects import Limit, Page
from paywarden.client.usage import checked_id, checked_idempotency_key
from paywarden.kit import ids

T = TypeVar("T")


def _get(path: str, **query: str | int | None) -> Call[Any]:
    return Call("GET", path, query=_given(query))


def _post(path: str, **body: Any) -> Call[Any]:
    return Call("POST", path, _given(body))


def _pay(path: str, idempotency_key: str | None, *, wait: bool = True, **body: Any) -> Call[Any]:
    key = f"pw-{ids.new_uuid()}" if idempotency_key is None else checked_idempotency_key(idempotency_key)
    return Call("POST", path, _given(body), idempotency_key=key, respond_async=not wait)


def _given(values: Mapping[str, T | None]) -> dict[str, T]:
    return {name: value for name, value in values.items() if value is not None}


def _at(collection: str, identifier: str, verb: str | None = None) -> str:
    path = f"/v1/{collection}/{quote(checked_id(collection.removesuffix('s'), identifier), safe='')}"
    return f"{path}/{verb}" if verb else path


# ---- Payments


def charge(
    amount_minor: int,
    currency: str,
    customer: str,
    *,
    purpose: str,
    reference: str | None = None,
    mandate: str | None = None,
    confirm: bool = True,
    idempotency_key: str | None = None,
    wait: bool = True,
) -> Conversation[objects.Payment]:
    """Ask to charge a customer. Taken or held for a person is an answer; denied or declined is a PaywardenApiError.

    With ``confirm`` false the provider completes it only after ``confirm_payment``. Without ``wait`` the answer comes
    when the charge is stored and, as far as its rules alone say, decided: ``reserved``, say. A worker sends it then.
    """
    return converse(
        _pay(
            "/v1/payments",
            idempotency_key,
            wait=wait,
            kind="charge",
            amount_minor=amount_minor,
            currency=currency,
            customer=customer,
            purpose=purpose,
            reference=reference,
            mandate=mandate,
            confirm=None if confirm else False,
        )
    )


def refund(
    payment: str,
    amount_minor: int,
    currency: str,
    *,
    request: str | None = None,
    purpose: str | None = None,
    reference: str | None = None,
    mandate: str | None = None,
    idempotency_key: str | None = None,
    wait: bool = True,
) -> Conversation[objects.Payment]:
    """Ask to give back part or all of a charge. ``request`` is what the customer wrote; an adviser reads it.

    ``wait`` is as for ``charge``.
    """
    return converse(
        _pay(
            _at("payments", payment, "refund"),
            idempotency_key,
            wait=wait,
            amount_minor=amount_minor,
            currency=currency,
            request=request,
            purpose=purpose,
            reference=reference,
            mandate=mandate,
        )
    )


def payout(
    payee: str,
    amount_minor: int,
    currency: str,
    *,
    purpose: str,
    customer: str | None = None,
    request: str | None = None,
    reference: str | None = None,
    mandate: str | None = None,
    idempotency_key: str | None = None,
    wait: bool = True,
) -> Conversation[objects.Payment]:
    """Ask to pay somebody from what the provider holds for us: a claim, a supplier. A person approves it first.

    ``customer`` is whose case it is: evidence is recalled about that customer. ``wait`` is as for ``charge``.
    """
    return converse(
        _pay(
            "/v1/payments",
            idempotency_key,
            wait=wait,
            kind="payout",
            amount_minor=amount_minor,
            currency=currency,
            purpose=purpose,
            payee=payee,
            customer=customer,
            request=request,
            reference=reference,
            mandate=mandate,
        )
    )


def check_payment(
    kind: Literal["charge", "refund", "payout"],
    amount_minor: int,
    currency: str,
    *,
    customer: str | None = None,
    payee: str | None = None,
    payment: str | None = None,
    purpose: str | None = None,
    reference: str | None = None,
) -> Conversation[objects.PaymentCheck]:
    """Dry run: would this be allowed, and at which oversight? Nothing is stored."""
    return converse(
        _post(
            "/v1/payments:check",
            kind=kind,
            amount_minor=amount_minor,
            currency=currency,
            customer=customer,
            payee=payee,
            payment=payment,
            purpose=purpose,
            reference=reference,
        )
    )


def get_payment(payment: str, *, wait_seconds: int | None = None) -> Conversation[objects.Payment]:
    """A payment as it stands; with ``wait_seconds`` (at most 30) when it has ended, or after that time."""
    return converse(_get(_at("payments", payment), wait_seconds=wait_seconds))


def list_payments(
    *, status: str | None = None, customer: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Conversation[Page[objects.Payment]]:
    """Payments, newest first."""
    return converse(_get("/v1/payments", status=status, customer=customer, limit=limit, cursor=cursor))


def get_dossier(payment: str) -> Conversation[objects.Dossier]:
    """The whole story of a payment."""
    return converse(_get(_at("payments", payment, "dossier")))


def confirm_payment(payment: str, *, idempotency_key: str | None = None) -> Conversation[objects.Payment]:
    """Let the provider complete a payment that waits for it."""
    return converse(_pay(_at("payments", payment, "confirm"), idempotency_key))


def cancel_payment(payment: str, *, idempotency_key: str | None = None) -> Conversation[objects.Payment]:
    """Cancel what was not sent yet."""
    return converse(_pay(_at("payments", payment, "cancel"), idempotency_key))


def give_facts(
    payment: str, facts: Sequence[str | Mapping[str, Any]], *, idempotency_key: str | None = None
) -> Conversation[objects.Payment]:
    """Give a payment in ``needs_facts`` what its ``missing_facts`` ask for, all at once; it is decided anew.

    Each is a text, or ``content`` with ``trust``, ``source``, ``invoice``, ``case``, ``facts`` as in ``add_note``. For
    whoever asked for the payment, and for administrators.
    """
    given = [{"content": fact} if isinstance(fact, str) else dict(fact) for fact in facts]
    return converse(_pay(_at("payments", payment, "facts"), idempotency_key, facts=given))


def attest_payment(
    payment: str,
    outcome: Literal["succeeded", "failed"],
    reference: str,
    *,
    provider_payment_id: str | None = None,
    reason: str | None = None,
) -> Conversation[objects.Attestation]:
    """Say what became of a payment of unknown outcome; with a second person who agrees it is settled so."""
    return converse(
        _post(
            _at("payments", payment, "attestations"),
            outcome=outcome,
            reference=reference,
            provider_payment_id=provider_payment_id,
            reason=reason,
        )
    )


# ---- Reviews


def list_reviews(
    status: str = "open",
    *,
    customer: str | None = None,
    payment: str | None = None,
    role: str | None = None,
    unclaimed: bool = False,
    wait_seconds: int | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Conversation[Page[objects.Review]]:
    """Reviews in one status, the longest waiting first.

    ``role`` and ``unclaimed`` leave what an agent can take; with ``wait_seconds`` (at most 30) an empty list is
    answered only after that time.
    """
    return converse(
        _get(
            "/v1/reviews",
            status=status,
            customer=customer,
            payment=payment,
            role=role,
            unclaimed="true" if unclaimed else None,
            wait_seconds=wait_seconds,
            limit=limit,
            cursor=cursor,
        )
    )


def get_review(review: str) -> Conversation[objects.Review]:
    """One review."""
    return converse(_get(_at("reviews", review)))


def claim_review(review: str) -> Conversation[objects.Review]:
    """Take a review for oneself until ``lease_until``; its ``fence`` goes with the verdict."""
    return converse(_post(_at("reviews", review, "claim")))


def keep_review(review: str, fence: int) -> Conversation[objects.Review]:
    """A heartbeat: the lease of one's own claim begins anew."""
    return converse(_post(_at("reviews", review, "heartbeat"), fence=fence))


def release_review(review: str, fence: int) -> Conversation[objects.Review]:
    """Give up one's own claim."""
    return converse(_post(_at("reviews", review, "release"), fence=fence))


def give_verdict(
    review: str,
    verdict: Literal["approve", "reject"],
    reason: str,
    *,
    action_digest: str | None = None,
    fence: int | None = None,
) -> Conversation[objects.Review]:
    """Approve or reject. With ``action_digest`` only exactly the action that was looked at.

    With ``fence`` only while one's own claim of this number holds.
    """
    return converse(
        _post(
            _at("reviews", review, "verdict"), verdict=verdict, reason=reason, action_digest=action_digest, fence=fence
        )
    )


# ---- Memory and decisions


def add_note(
    customer: str,
    content: str,
    *,
    trust: str = "customer",
    source: str | None = None,
    invoice: str | None = None,
    case: str | None = None,
    facts: Mapping[str, Any] | None = None,
    valid_until: str | None = None,
) -> Conversation[objects.Note]:
    """Keep a note about a customer. Only an administrator writes trust ``record`` (with ``facts``) or ``staff``.

    From ``valid_until`` (an instant in RFC 3339) on it is neither found nor recalled.
    """
    return converse(
        _post(
            "/v1/notes",
            customer=customer,
            content=content,
            trust=trust,
            source=source,
            invoice=invoice,
            case=case,
            facts=facts,
            valid_until=valid_until,
        )
    )


def search_notes(customer: str | None, q: str, *, limit: int | None = None) -> Conversation[Page[objects.Note]]:
    """One customer's notes that are near in meaning or have all the words of ``q``, the best first.

    With None, for administrators and reviewers: the notes of all customers, by meaning.
    """
    return converse(_post("/v1/notes/search", customer=customer, q=q, limit=limit))


def import_notes(notes: Sequence[Mapping[str, Any]]) -> Conversation[objects.NoteImport]:
    """Keep up to 200 notes (as ``add_note`` names their fields), each once however often it is imported.

    All of them or, when one is refused (``param`` is like ``notes.3.content``), none.
    """
    # The service needs no key to know a repeat; with one the call is sent again when its answer got lost.
    return converse(_pay("/v1/notes:import", None, notes=list(notes)))


def expire_note(note: str, *, valid_until: str | None = None) -> Conversation[objects.Note]:
    """Let a note end, at once unless an instant is given; for administrators and the note's author."""
    return converse(_post(_at("notes", note, "expire"), valid_until=valid_until))


def get_note_embedder() -> Conversation[objects.NoteEmbedder]:
    """What turns notes into vectors, and how many notes wait for it."""
    return converse(_get("/v1/notes/embedder"))


def list_note_decisions(
    note: str, *, limit: int | None = None, cursor: str | None = None
) -> Conversation[Page[objects.NoteInfluence]]:
    """The decisions that were given a note, newest first."""
    return converse(_get(_at("notes", note, "decisions"), limit=limit, cursor=cursor))


def decide(customer: str, request: str, amount_minor: int, currency: str) -> Conversation[objects.Decision]:
    """What would the adviser say? Never pays."""
    return converse(
        _post("/v1/decisions", customer=customer, request=request, amount_minor=amount_minor, currency=currency)
    )


def get_decision(decision: str) -> Conversation[objects.Decision]:
    """A stored decision, whole."""
    return converse(_get(_at("decisions", decision)))


def replay_decision(
    decision: str, *, model: str | None = None, effort: Literal["unset", "low", "medium", "high"] | None = None
) -> Conversation[objects.DecisionReplay]:
    """Make a decision again as of today, or by another model: what would have changed, in money. Nothing moves.

    For administrators and reviewers; paid from the tenant's budget for advice.
    """
    return converse(_post(_at("decisions", decision, "replay"), model=model, effort=effort))


# ---- Authority


def create_mandate(
    principal: str,
    name: str,
    kinds: Sequence[str],
    limits: Sequence[Limit],
    *,
    timezone: str = "UTC",
    payees: Sequence[str] | None = None,
    valid_from: str | None = None,
    valid_until: str | None = None,
) -> Conversation[objects.Mandate]:
    """What a principal may spend from now on."""
    return converse(
        _post(
            "/v1/mandates",
            principal=principal,
            name=name,
            kinds=list(kinds),
            limits=list(limits),
            timezone=timezone,
            payees=None if payees is None else list(payees),
            valid_from=valid_from,
            valid_until=valid_until,
        )
    )


def list_mandates() -> Conversation[Page[objects.Mandate]]:
    """All mandates."""
    return converse(_get("/v1/mandates"))


def revoke_mandate(mandate: str) -> Conversation[objects.Mandate]:
    """End a mandate: what was reserved under it is not sent any more."""
    return converse(_post(_at("mandates", mandate, "revoke")))


def create_agent(kind: str, name: str, roles: Sequence[str]) -> Conversation[objects.Agent]:
    """A new agent, person or service."""
    return converse(_post("/v1/agents", kind=kind, name=name, roles=list(roles)))


def list_agents() -> Conversation[Page[objects.Agent]]:
    """All agents, people and services."""
    return converse(_get("/v1/agents"))


def suspend_agent(agent: str) -> Conversation[objects.Agent]:
    """Stop a principal at once."""
    return converse(_post(_at("agents", agent, "suspend")))


def activate_agent(agent: str) -> Conversation[objects.Agent]:
    """Let a suspended principal act again."""
    return converse(_post(_at("agents", agent, "activate")))


def create_key(principal: str, *, expires_in_seconds: int | None = None) -> Conversation[objects.NewKey]:
    """A new API key; its ``secret`` is shown this once."""
    return converse(_post("/v1/keys", principal=principal, expires_in_seconds=expires_in_seconds))


def list_keys() -> Conversation[Page[objects.Key]]:
    """All keys, without their secrets."""
    return converse(_get("/v1/keys"))


def revoke_key(key: str) -> Conversation[objects.Key]:
    """End a key at once."""
    return converse(_post(_at("keys", key, "revoke")))


def suspend_tenant() -> Conversation[objects.Tenant]:
    """The kill switch: nothing more is sent to any provider."""
    return converse(_post("/v1/tenant/suspend"))


def activate_tenant() -> Conversation[objects.Tenant]:
    """Undo the kill switch."""
    return converse(_post("/v1/tenant/activate"))


# ---- The billing gate


def create_hold(
    amount_minor: int,
    currency: str,
    customer: str | None = None,
    *,
    mandate: str | None = None,
    funding: Literal["prepaid", "granted"] | None = None,
    feature: str | None = None,
    expires_in_seconds: int | None = None,
    idempotency_key: str | None = None,
) -> Conversation[objects.Hold]:
    """Hold an amount on a customer's credit, on a mandate's budget, or on both, before what it pays for is done.

    ``funding`` says which credit: prepaid (the default) or granted. Not enough is ``insufficient`` (403).
    """
    return converse(
        _pay(
            "/v1/holds",
            idempotency_key,
            amount_minor=amount_minor,
            currency=currency,
            customer=customer,
            mandate=mandate,
            funding=funding,
            feature=feature,
            expires_in=expires_in_seconds,
        )
    )


def create_holds(holds: Sequence[Mapping[str, Any]]) -> Conversation[objects.HoldAnswers]:
    """Hold up to 100 amounts; each stands for itself and is answered in its place.

    Each has the route's fields (``amount_minor, currency, customer`` ...); an absent ``idempotency_key`` is made.
    """
    keyed = [{"idempotency_key": f"pw-{ids.new_uuid()}", **hold} for hold in holds]
    # The keys are the members' own; with one here the call is sent again when its answer got lost.
    return converse(_pay("/v1/holds:batch", None, holds=keyed))


def get_hold(hold: str) -> Conversation[objects.Hold]:
    """A hold as it stands."""
    return converse(_get(_at("holds", hold)))


def list_holds(
    *, customer: str | None = None, status: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Conversation[Page[objects.Hold]]:
    """Holds, newest first."""
    return converse(_get("/v1/holds", customer=customer, status=status, limit=limit, cursor=cursor))


def capture_hold(
    hold: str, amount_minor: int, *, final: bool = True, idempotency_key: str | None = None
) -> Conversation[objects.Hold]:
    """Take what it cost, at most what is held. With ``final`` the rest goes back, without it more may be captured."""
    return converse(_pay(_at("holds", hold, "capture"), idempotency_key, amount_minor=amount_minor, final=final))


def release_hold(hold: str) -> Conversation[objects.Hold]:
    """Give back what is held."""
    # Releasing twice is releasing once; with a key the call is sent again when its answer got lost.
    return converse(_pay(_at("holds", hold, "release"), None))


def extend_hold(hold: str, expires_in_seconds: int) -> Conversation[objects.Hold]:
    """Let a hold expire so many seconds from now, at most 30 days."""
    # As above: doing it twice does no harm.
    return converse(_pay(_at("holds", hold, "extend"), None, expires_in=expires_in_seconds))


# ---- Credit


def top_up_credit(
    customer: str,
    amount_minor: int,
    currency: str,
    *,
    funding: Literal["prepaid", "granted"] = "prepaid",
    reference: str | None = None,
    reason: str | None = None,
    idempotency_key: str | None = None,
) -> Conversation[objects.CreditTopUp]:
    """Give a customer credit: ``granted``, or ``prepaid`` in cash, whose ``reference`` says where to look it up.

    For the roles ``settle`` and ``administer``.
    """
    return converse(
        _pay(
            "/v1/credits/top-ups",
            idempotency_key,
            customer=customer,
            amount_minor=amount_minor,
            currency=currency,
            funding=funding,
            reference=reference,
            reason=reason,
        )
    )


def list_top_ups(
    *, customer: str | None = None, limit: int = 20, cursor: str | None = None
) -> Conversation[Page[objects.CreditTopUp]]:
    """Top-ups of credit, newest first; ``principal`` is who made them."""
    return converse(_get("/v1/credits/top-ups", customer=customer, limit=limit, cursor=cursor))


def get_credit(customer: str) -> Conversation[objects.Credit]:
    """What a customer may still use."""
    return converse(_get(f"/v1/credits/{quote(checked_id('customer', customer), safe='')}"))


# ---- Ledger and reconciliation


def list_accounts() -> Conversation[Page[objects.Account]]:
    """Every ledger account with its balances."""
    return converse(_get("/v1/ledger/accounts"))


def list_transfers(*, limit: int | None = None, cursor: str | None = None) -> Conversation[Page[objects.Transfer]]:
    """Ledger transfers, newest first."""
    return converse(_get("/v1/ledger/transfers", limit=limit, cursor=cursor))


def trial_balance() -> Conversation[Page[objects.TrialBalanceLine]]:
    """Debits and credits by book and asset."""
    return converse(_get("/v1/ledger/trial-balance"))


def reconcile(*, since: str | None = None, until: str | None = None) -> Conversation[objects.Reconciliation]:
    """Compare the provider's book with the ledger, by default for the last day."""
    return converse(_post("/v1/reconciliation/runs", since=since, until=until))


def list_discrepancies(status: str = "open", *, limit: int | None = None) -> Conversation[Page[objects.Discrepancy]]:
    """Differences that somebody must look at, newest first."""
    return converse(_get("/v1/reconciliation/discrepancies", status=status, limit=limit))
