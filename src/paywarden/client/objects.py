"""The objects of ``/v1`` as they come over the wire: plain dictionaries with names for a type checker.

Amounts are minor units of ``currency``; ``display`` is the same amount for people. Instants are RFC 3339 text.
"""

from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

T = TypeVar("T")


class Page(TypedDict, Generic[T]):
    """Part of a list. ``next_cursor`` leads to the rest."""

    object: Literal["list"]
    data: list[T]
    has_more: bool
    next_cursor: str | None


class Payment(TypedDict):
    """One payment as it stands. ``payment`` is the charge that a refund returns.

    ``missing_facts`` are named while it waits for them (``give_facts``), until ``facts_until``.
    """

    object: Literal["payment"]
    id: str
    kind: str
    status: str
    amount_minor: int
    currency: str
    display: str
    customer: str | None
    payee: str | None
    agent: str
    mandate: str | None
    purpose: str | None
    reference: str | None
    payment: str | None
    oversight: str | None
    decided_by: list[str]
    reason: str | None
    missing_facts: list[str]
    facts_until: str | None
    provider: str | None
    provider_payment_id: str | None
    captured_minor: int
    refunded_minor: int
    refundable_minor: int
    late: bool
    expires_at: str | None
    created_at: str
    updated_at: str


class Moment(TypedDict):
    """One line of a payment's story."""

    at: str
    what: str
    detail: Any
    source: str | None


class Check(TypedDict):
    """What one rule found, in the light of which decision if of any."""

    rule: str
    result: Literal["pass", "fail", "note"]
    detail: str
    policy_version: str | None
    decision: str | None


class Dossier(TypedDict):
    """The whole story of one payment. Of ``decisions``, oldest first, the last one is what the payment rests on."""

    object: Literal["dossier"]
    payment: Payment
    request: str | None
    action_digest: str
    policy_version: str | None
    timeline: list[Moment]
    decisions: "list[Decision]"
    checks: list[Check]
    reviews: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    labels: list[dict[str, Any]]
    holds: list[dict[str, Any]]
    operations: list[dict[str, Any]]
    webhooks: list[dict[str, Any]]
    transfers: list[dict[str, Any]]
    discrepancies: list[dict[str, Any]]
    attestations: list[dict[str, Any]]
    events: list[dict[str, Any]]


class Attestation(TypedDict):
    """What a person says became of a payment, and the payment after it."""

    object: Literal["attestation"]
    id: str
    payment: Payment
    outcome: Literal["succeeded", "failed"]
    reference: str
    provider_payment_id: str | None
    reason: str | None
    created_at: str


class PaymentCheck(TypedDict):
    """A dry run: what would become of a request."""

    status: str
    advice_needed: bool
    oversight: str | None
    decided_by: list[str]
    reason: str | None
    policy_version: str


class Review(TypedDict):
    """A payment that waits for another principal. A verdict counts for exactly ``action_digest``.

    ``request`` is what the customer wrote; ``verdicts`` say who decided, when and why, oldest first.
    """

    object: Literal["review"]
    id: str
    payment: Payment
    request: str | None
    status: str
    required_role: str
    reviewer_kind: str
    reason: str
    action_digest: str
    claimed_by: str | None
    fence: int
    lease_until: str | None
    verdicts: list[dict[str, Any]]
    expires_at: str
    created_at: str
    closed_at: str | None


class Note(TypedDict):
    """A note about a customer, found until ``valid_until``. ``score`` is there when it was searched."""

    object: Literal["note"]
    id: str
    customer: str
    content: str
    trust: str
    valid_until: str | None
    score: float | None


class NoteImport(TypedDict):
    """What became of the notes of an import: their ids in order, and whether each was added."""

    object: Literal["note_import"]
    added: int
    already_there: int
    notes: list[dict[str, Any]]


class NoteEmbedder(TypedDict):
    """What turns notes into vectors, and how many notes of the tenant it has not read yet."""

    object: Literal["embedder"]
    id: str
    dimension: int
    notes_waiting: int


class NoteInfluence(TypedDict):
    """A decision that was given a note, and what its payment came to."""

    object: Literal["note_influence"]
    decision: str
    cited: bool
    score: float
    payment: str | None
    payment_status: str | None
    customer: str | None
    adviser: str
    verdict: str
    amount_minor: int
    currency: str
    created_at: str


class Advice(TypedDict):
    """What an adviser said, word for word. ``evidence`` are the ids it cites."""

    verdict: Literal["approve", "deny", "escalate", "need_facts"]
    amount_minor: int
    reason: str
    confidence: int
    evidence: list[str]
    missing_facts: list[str]


class Decision(TypedDict):
    """An adviser's opinion on a request, checked; it never pays. ``given`` is what the adviser itself said.

    ``amount_minor`` is what is approved. ``cost_micro_usd`` are millionths of a US dollar, None if unknown.
    """

    object: Literal["decision"]
    id: str
    payment: str | None
    replay_of: str | None
    asked_by: str
    customer: str | None
    request: str
    requested_minor: int
    approve: bool
    verdict: str
    reason: str
    amount_minor: int
    currency: str
    display: str
    confidence: int
    given: Advice
    evidence: list[dict[str, Any]]
    records: list[dict[str, Any]]
    checks: list[Check]
    adviser: str
    model: str | None
    prompt_version: str | None
    prompt_sha256: str | None
    policy_version: str | None
    failure: str | None
    raw_answer: str | None
    usage: dict[str, int]
    request_ids: list[str]
    cost_micro_usd: int | None
    latency_ms: int
    created_at: str


class DecisionReplay(TypedDict):
    """A decision as it was (``then``) and as it would be made ``now``; ``changed`` names what differs.

    ``difference_minor`` is what would go out now without another look and did not then, in ``currency``.
    """

    object: Literal["decision_replay"]
    decision: str
    payment: str | None
    currency: str
    requested_minor: int
    then: dict[str, Any]
    now: dict[str, Any]
    changed: list[str]
    difference_minor: int
    difference: str


class Limit(TypedDict):
    """The most a single payment may be (``payment``) or the budget of a calendar day (``day``)."""

    currency: str
    window: Literal["payment", "day"]
    limit_minor: int


class Mandate(TypedDict):
    """What a principal may spend."""

    object: Literal["mandate"]
    id: str
    principal: str
    name: str
    kinds: list[str]
    payees: list[str] | None
    limits: list[Limit]
    timezone: str
    valid_from: str
    valid_until: str | None
    status: str


class Agent(TypedDict):
    """An agent, a person or a service."""

    object: Literal["agent"]
    id: str
    kind: str
    name: str
    roles: list[str]
    status: str


class Key(TypedDict):
    """An API key without its secret."""

    object: Literal["key"]
    id: str
    principal: str
    status: str
    expires_at: str | None
    created_at: str


class NewKey(Key):
    """A key as it is shown once."""

    secret: str


class Hold(TypedDict):
    """An amount held at the billing gate; of a ``captured`` one ``captured_minor`` was taken and the rest went back.

    ``get_hold`` and ``list_holds`` also tell the ``principal`` whose hold it is, and since when it is not pending.
    """

    object: Literal["hold"]
    id: str
    status: Literal["pending", "captured", "released", "expired"]
    amount_minor: int
    captured_minor: int
    currency: str
    display: str
    customer: str | None
    mandate: str | None
    feature: str | None
    expires_at: str
    created_at: str
    principal: NotRequired[str]
    closed_at: NotRequired[str | None]


class HoldAnswer(TypedDict, total=False):
    """What became of one hold of many: its ``status`` as an answer of HTTP, and the ``hold`` or the ``problem``."""

    status: int
    hold: Hold
    replayed: bool
    problem: dict[str, Any]


class HoldAnswers(TypedDict):
    """The answers to many holds, in their order."""

    object: Literal["list"]
    data: list[HoldAnswer]


class CreditReversal(TypedDict):
    """That ``principal`` took a top-up back, whole."""

    principal: str
    reason: str
    created_at: str


class CreditTopUp(TypedDict):
    """Credit that a customer was given by ``principal``: ``granted``, or ``prepaid`` in cash. It may be reversed."""

    object: Literal["credit_top_up"]
    id: str
    principal: str
    customer: str
    funding: Literal["granted", "prepaid"]
    amount_minor: int
    currency: str
    display: str
    reference: str | None
    reason: str | None
    created_at: str
    reversal: CreditReversal | None


class CreditBalance(TypedDict):
    """Credit of one kind in one currency; ``available_minor`` may still be held."""

    funding: Literal["granted", "prepaid"]
    currency: str
    balance_minor: int
    held_minor: int
    available_minor: int
    available: str
    blocked: bool


class Credit(TypedDict):
    """All credit of a customer."""

    object: Literal["credit"]
    customer: str
    balances: list[CreditBalance]


class Account(TypedDict):
    """A ledger account. Balance, held and floor run in its normal direction."""

    object: Literal["account"]
    id: str
    book: str
    asset: str
    code: str
    normal: str
    balance_minor: int
    held_minor: int
    floor_minor: int | None
    blocked: bool


class Transfer(TypedDict):
    """Money, credit or authority that moved from one account to another."""

    object: Literal["transfer"]
    id: str
    book: str
    asset: str
    debit: str
    credit: str
    amount_minor: int
    display: str
    late: bool
    payment: str | None
    hold: str | None
    at: str


class TrialBalanceLine(TypedDict):
    """Debits and credits of one book and asset; the difference is zero."""

    book: str
    asset: str
    debits_minor: int
    credits_minor: int
    difference_minor: int


class Reconciliation(TypedDict):
    """The provider's book against the ledger, by currency."""

    object: Literal["reconciliation_run"]
    since: str
    until: str
    has_statement: bool
    matched: int
    books: list[dict[str, Any]]
    findings: list[dict[str, Any]]


class Discrepancy(TypedDict):
    """A difference that waits for somebody. ``display`` is the payment's amount; ``detail`` depends on ``kind``."""

    object: Literal["discrepancy"]
    id: str
    kind: str
    status: str
    subject: str
    payment: str | None
    display: str | None
    detail: dict[str, Any]
    created_at: str
    resolved_at: str | None


class Tenant(TypedDict):
    """The tenant of the key. Suspended, it sends nothing more to any provider."""

    object: Literal["tenant"]
    id: str
    status: str
