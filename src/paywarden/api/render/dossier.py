"""The whole story of a payment."""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypedDict

from paywarden.api.render.decisions import CheckLine, DecisionObject, check_lines, decision_object
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
    """Request, decisions, checks, reviews, holds, operations, events and ledger entries of one payment.

    ``decisions`` are whole, oldest first; the last one is what the payment rests on. ``labels`` are what people decided
    beside the adviser's opinion.
    """

    object: Literal["dossier"]
    payment: PaymentObject
    request: str | None
    action_digest: str
    policy_version: str | None
    timeline: list[Moment]
    decisions: list[DecisionObject]
    checks: list[CheckLine]
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


def dossier_object(story: Story, principals: Mapping[UUID, str]) -> DossierObject:
    """The story as ``/v1`` shows it; ``principals`` are the public ids of who appears in it."""
    return {
        "object": "dossier",
        "payment": payment_object(story.payment),
        "request": story.payment.request_text,
        "action_digest": story.payment.action_digest.hex(),
        "policy_version": story.payment.policy_version,
        "timeline": [_moment(row, principals) for row in story.transitions],
        "decisions": [decision_object(decision, principals) for decision in story.decisions],
        "checks": check_lines(story.checks),
        "reviews": [review_row(review, principals) for review in story.reviews],
        "verdicts": [plain_row(row, "vrd", principals) for row in story.verdicts],
        "labels": [plain_row(row, "lbl", principals) for row in story.labels],
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
