"""The whole story of a payment."""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypedDict

from paywarden.api.render.decisions import CheckLine, check_lines
from paywarden.api.render.payments import PaymentObject, payment_object
from paywarden.api.render.reviews import review_row
from paywarden.api.render.values import plain, plain_row
from paywarden.flow.words import Story


class Moment(TypedDict):
    """One line of the story: when, what, why, and who or what said so."""

    at: str
    what: str
    detail: Any
    source: str | None


class DossierObject(TypedDict):
    """Request, evidence, advice, checks, reviews, holds, operations, events and ledger entries of one payment."""

    object: Literal["dossier"]
    payment: PaymentObject
    request: str | None
    action_digest: str
    timeline: list[Moment]
    evidence: list[dict[str, Any]]
    advice: dict[str, Any] | None
    checks: list[CheckLine]
    reviews: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    holds: list[dict[str, Any]]
    operations: list[dict[str, Any]]
    webhooks: list[dict[str, Any]]
    transfers: list[dict[str, Any]]
    discrepancies: list[dict[str, Any]]
    attestations: list[dict[str, Any]]
    events: list[dict[str, Any]]


def dossier_object(story: Story, principals: Mapping[UUID, str]) -> DossierObject:
    """The story as ``/v1`` shows it; ``principals`` are the public ids of who appears in it."""
    decision = story.decision
    return {
        "object": "dossier",
        "payment": payment_object(story.payment),
        "request": story.payment.request_text,
        "action_digest": story.payment.action_digest.hex(),
        "timeline": [_moment(row, principals) for row in story.transitions],
        "evidence": [plain_row(row, "note", principals) for row in decision.evidence] if decision else [],
        "advice": plain_row(decision.row, "dec", principals) if decision else None,
        "checks": check_lines(story.checks),
        "reviews": [review_row(review) for review in story.reviews],
        "verdicts": [plain_row(row, "vrd", principals) for row in story.verdicts],
        "holds": [plain_row(row, "hold", principals) for row in story.holds],
        "operations": [plain_row(row, "op", principals) for row in story.operations],
        "webhooks": [plain_row(row, "inb", principals) for row in story.webhooks],
        "transfers": [plain_row(row, "tr", principals) for row in story.transfers],
        "discrepancies": [plain_row(row, "dis", principals) for row in story.discrepancies],
        "attestations": [plain_row(row, "att", principals) for row in story.attestations],
        "events": [plain_row(row, "evt", principals) for row in story.events],
    }


def _moment(row: Mapping[str, Any], principals: Mapping[UUID, str]) -> Moment:
    details = plain(row["detail"]) or {}
    if row["principal_id"] is not None:
        details = {**details, "principal": principals.get(row["principal_id"], str(row["principal_id"]))}
    return {
        "at": plain(row["event_at"] or row["created_at"]),
        "what": row["to_status"],
        "detail": details,
        "source": row["source"],
    }
