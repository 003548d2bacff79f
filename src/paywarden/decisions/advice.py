"""What an adviser sees and what it may say."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as strict_dataclass

from paywarden.decisions.record_facts import RecordFact, parse_record_fact, record_fact_json
from paywarden.kit.canonical import loads_strict
from paywarden.kit.errors import InvalidFieldError
from paywarden.kit.money import MAX_AMOUNT_MINOR
from paywarden.kit.text import clean_text
from paywarden.kit.trust import TrustTier

Verdict = Literal["approve", "deny", "escalate", "need_facts"]
_Sentence = Annotated[str, Field(min_length=1, max_length=2000)]
_Id = Annotated[str, Field(min_length=1, max_length=255)]


class MalformedAdviceError(ValueError):
    """The adviser's answer is not an advice; the message says what is wrong with its form and quotes nothing."""


@dataclass(frozen=True, slots=True)
class EvidenceNote:
    """A retrieved note. ``id`` is its public id, ``score`` its cosine similarity to the request.

    ``invoice_id`` is the invoice that it is about, None if it names none.
    """

    id: str
    content_sha256: bytes
    score: float
    trust: TrustTier
    content: str
    facts: Mapping[str, Any] | None = None
    invoice_id: str | None = None


@dataclass(frozen=True, slots=True)
class OwnRecord:
    """A row of Paywarden's own tables, citable by its public id like a note."""

    id: str
    fact: RecordFact


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything an adviser may rest on.

    ``payment_id`` is the payment a refund would return, None if none is named. ``complete`` is false when the customer
    has more records than were read, or notes that could not be looked at: then the absence of one proves nothing.
    ``purpose`` and ``reference`` are what the asker says it is for; ``payee`` is who a payout is for. ``asked_at`` is
    the database's clock.
    """

    request: str
    customer: str
    kind: Literal["charge", "refund", "payout"]
    requested_amount_minor: int
    currency: str
    payment_id: str | None
    records: tuple[OwnRecord, ...]
    evidence: tuple[EvidenceNote, ...]
    asked_at: datetime
    complete: bool = True
    purpose: str | None = None
    reference: str | None = None
    payee: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The snapshot as it is stored and replayed."""
        return {
            "request": self.request,
            "customer": self.customer,
            "kind": self.kind,
            "requested_amount_minor": self.requested_amount_minor,
            "currency": self.currency,
            "payment_id": self.payment_id,
            "complete": self.complete,
            "purpose": self.purpose,
            "reference": self.reference,
            "payee": self.payee,
            "asked_at": self.asked_at.isoformat(),
            "records": [{"id": record.id, "fact": record_fact_json(record.fact)} for record in self.records],
            "evidence": [_evidence_json(note) for note in self.evidence],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The snapshot that ``as_json`` stored."""
        records = tuple(OwnRecord(record["id"], parse_record_fact(record["fact"])) for record in stored["records"])
        evidence, asked_at = map(_evidence_note, stored["evidence"]), datetime.fromisoformat(stored["asked_at"])
        return cls(**{**stored, "records": records, "evidence": tuple(evidence), "asked_at": asked_at})


@strict_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", strict=True))
class Advice:
    """An opinion. ``amount_minor`` is what it approves, ``evidence`` the ids it rests on, ``confidence`` 0 to 100."""

    verdict: Verdict
    amount_minor: Annotated[int, Field(ge=0, le=MAX_AMOUNT_MINOR)]
    reason: _Sentence
    confidence: Annotated[int, Field(ge=0, le=100)]
    evidence: Annotated[tuple[_Id, ...], Field(max_length=50)] = ()
    missing_facts: Annotated[tuple[_Sentence, ...], Field(max_length=20)] = ()

    def as_json(self) -> dict[str, Any]:
        """The advice in the words an adviser answers with."""
        encoded: dict[str, Any] = _ADVICE.dump_python(self, mode="json")
        return encoded


_ADVICE: TypeAdapter[Advice] = TypeAdapter(Advice)
_FIELDS = frozenset({"verdict", "amount_minor", "reason", "confidence", "evidence", "missing_facts"})


def parse_advice(text: str) -> Advice:
    """An adviser's JSON, every field present and none besides.

    Raises MalformedAdviceError for anything else, and for an approval of nothing or missing facts that are not named.
    """
    advice = _validated(_object(text))
    if advice.verdict == "approve" and advice.amount_minor == 0:
        raise MalformedAdviceError("an approval must name an amount")
    if advice.verdict == "need_facts" and not advice.missing_facts:
        raise MalformedAdviceError("need_facts must name the missing facts")
    for sentence in (advice.reason, *advice.missing_facts, *advice.evidence):
        _check_text(sentence)
    return advice


def _object(text: str) -> dict[str, Any]:
    try:
        value = loads_strict(text.encode())
    except ValueError as error:
        raise MalformedAdviceError("the answer is not JSON") from error
    if not isinstance(value, dict) or set(value) != _FIELDS:
        raise MalformedAdviceError(f"the answer must be an object with exactly {', '.join(sorted(_FIELDS))}")
    return value


def _validated(value: dict[str, Any]) -> Advice:
    try:
        return _ADVICE.validate_json(json.dumps(value))
    except ValidationError as error:
        fields = sorted({str(problem["loc"][0]) for problem in error.errors(include_input=False) if problem["loc"]})
        raise MalformedAdviceError(f"wrong type or range: {', '.join(fields) or 'the object'}") from None


def _check_text(sentence: str) -> None:
    try:
        clean_text(sentence, "reason")
    except InvalidFieldError as error:
        raise MalformedAdviceError("a text is blank or holds characters or numbers that are not allowed") from error


def _evidence_json(note: EvidenceNote) -> dict[str, Any]:
    return {
        "id": note.id,
        "content_sha256": note.content_sha256.hex(),
        "score": note.score,
        "trust": note.trust,
        "content": note.content,
        "facts": note.facts,
        "invoice_id": note.invoice_id,
    }


def _evidence_note(stored: Mapping[str, Any]) -> EvidenceNote:
    return EvidenceNote(**{**stored, "content_sha256": bytes.fromhex(stored["content_sha256"])})
