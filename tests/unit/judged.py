"""Snapshots of one customer's case, for the tests of advisers and their checks."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from paywarden.decisions.advice import EvidenceNote, OwnRecord, Snapshot
from paywarden.decisions.record_facts import parse_record_fact
from paywarden.kit import ids
from paywarden.kit.trust import TrustTier

AT = "2026-11-20T09:00:00Z"
LATER = "2026-11-21T09:00:00Z"
MUCH_LATER = "2026-12-20T09:00:00Z"


def charge(payment_id: str = "pay_1", **changes: Any) -> dict[str, Any]:
    return {
        "type": "charge",
        "payment_id": payment_id,
        "amount_minor": 1250,
        "currency": "usd",
        "reference": "ORD-1",
        "status": "succeeded",
        "at": AT,
    } | changes


def refund(payment_id: str = "pay_1", **changes: Any) -> dict[str, Any]:
    return {
        "type": "refund",
        "refund_id": "re_1",
        "payment_id": payment_id,
        "amount_minor": 1250,
        "currency": "usd",
        "status": "succeeded",
        "at": LATER,
    } | changes


def fee(payment_id: str = "pay_1", **changes: Any) -> dict[str, Any]:
    return {
        "type": "fee",
        "payment_id": payment_id,
        "amount_minor": 150,
        "currency": "usd",
        "assessment": "wrongly_charged",
        "at": AT,
    } | changes


def order(payment_id: str = "pay_1", **changes: Any) -> dict[str, Any]:
    return {
        "type": "order",
        "payment_id": payment_id,
        "reference": "ORD-1",
        "amount_minor": 1250,
        "currency": "usd",
        "status": "returned",
        "within_policy": True,
        "at": LATER,
    } | changes


def invoice(**changes: Any) -> dict[str, Any]:
    return {
        "type": "invoice",
        "invoice_id": "INV-1",
        "amount_minor": 1250,
        "currency": "usd",
        "due_on": "2026-11-10",
        "status": "open",
        "at": AT,
    } | changes


def extension(**changes: Any) -> dict[str, Any]:
    return {"type": "extension", "invoice_id": "INV-1", "until": "2026-12-05", "at": AT} | changes


def note_id(number: int) -> str:
    return ids.to_text("note", UUID(int=number))


def note(
    number: int, facts: Mapping[str, Any] | None = None, trust: TrustTier = "record", content: str = "a note"
) -> EvidenceNote:
    return EvidenceNote(note_id(number), hashlib.sha256(content.encode()).digest(), 0.5, trust, content, facts)


def own(identifier: str, facts: Mapping[str, Any]) -> OwnRecord:
    return OwnRecord(identifier, parse_record_fact(facts))


def snapshot(request: str, *evidence: EvidenceNote, records: tuple[OwnRecord, ...] = (), **changes: Any) -> Snapshot:
    values: dict[str, Any] = {
        "request": request,
        "customer": "cust_001",
        "kind": "refund",
        "requested_amount_minor": 1250,
        "currency": "usd",
        "payment_id": None,
        "records": records,
        "evidence": evidence,
        "asked_at": datetime.fromisoformat(LATER),
    }
    return Snapshot(**values | changes)


def noted(request: str, *facts: Mapping[str, Any], **changes: Any) -> Snapshot:
    """A snapshot whose evidence are record notes of these facts."""
    return snapshot(request, *(note(number, fact) for number, fact in enumerate(facts, 1)), **changes)
