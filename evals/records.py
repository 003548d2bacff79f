"""What is on file of one customer, as Paywarden would hold it: own payment rows, and notes of four trust tiers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from evals.messages import drawn
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339
from paywarden.kit.money import display
from paywarden.kit.trust import TrustTier

USD = "usd"
Facts = dict[str, Any]
_START = datetime(2026, 11, 2, 9, tzinfo=UTC)
# After everything that is on file.
ASKED_AT = _START + timedelta(days=200)
_UUID_BITS = 128


@dataclass(frozen=True, slots=True)
class KeptNote:
    """A note as it is kept; ``facts`` only where the trust is ``record``."""

    id: str
    trust: TrustTier
    content: str
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class OwnRow:
    """One of Paywarden's own payments, as the fact that an adviser is shown."""

    id: str
    facts: Facts


class Records:
    """One customer's records while they are made. Amounts are minor units, ``hours`` count from one fixed morning."""

    def __init__(self, case_id: str) -> None:
        self.case_id = case_id
        number = drawn(case_id, "amount")
        self.amount_minor = 2_000 + number % 7_900
        self.reference = f"ORD-{number >> 20 & 0xFFFFF:06}"
        self.rows: list[OwnRow] = []
        self.notes: list[KeptNote] = []
        self.payment_id = ""
        self.requested_minor = 0

    def charge(
        self,
        amount_minor: int | None = None,
        *,
        reference: str | None = None,
        hours: float = 0,
        status: str = "succeeded",
        currency: str = USD,
    ) -> str:
        """A payment of the customer through Paywarden; its id."""
        facts = {
            "type": "charge",
            "amount_minor": amount_minor or self.amount_minor,
            "currency": currency,
            "reference": reference or self.reference,
            "status": status,
            "at": _at(hours),
        }
        return self._row(facts, "payment_id")

    def refund(self, payment_id: str, amount_minor: int, status: str, *, hours: float = 100) -> None:
        """Money given back, or asked to be given back, through Paywarden."""
        self._row({**_money("refund", payment_id, amount_minor, hours), "status": status}, "refund_id")

    def noted_refund(self, payment_id: str, amount_minor: int, status: str, *, hours: float = 100) -> None:
        """A refund by the system before Paywarden, as a record note."""
        facts = {**_money("refund", payment_id, amount_minor, hours), "refund_id": f"R-{len(self.notes)}"}
        said = f"The old system lists a refund of {display(amount_minor, USD)} as {status}."
        self.record(said, {**facts, "status": status})

    def fee(self, payment_id: str, amount_minor: int, assessment: str) -> None:
        """What our own systems say of a fee inside a charge, as a record note."""
        facts = {**_money("fee", payment_id, amount_minor, 1), "assessment": assessment}
        said = f"Card fee of {display(amount_minor, USD)}: {assessment.replace('_', ' ')}."
        self.record(said, facts)

    def order(
        self, payment_id: str, status: str, within_policy: bool, amount_minor: int | None = None, *, hours: float = 50
    ) -> None:
        """The state of an order, as a record note of the order book."""
        facts = {
            **_money("order", payment_id, amount_minor or self.amount_minor, hours),
            "reference": self.reference,
            "status": status,
            "within_policy": within_policy,
        }
        terms = "within" if within_policy else "outside"
        self.record(f"Order {self.reference} is {status}, {terms} the terms for giving money back.", facts)

    def record(self, content: str, facts: Facts | None) -> None:
        """A note of our own systems."""
        self.note("record", content, facts)

    def note(self, trust: TrustTier, content: str, facts: Facts | None = None) -> None:
        """A note of anybody."""
        note_id = ids.to_text("note", _uuid(self.case_id, "note", len(self.notes)))
        self.notes.append(KeptNote(note_id, trust, content, facts))

    def ask(self, payment_id: str, amount_minor: int | None = None) -> None:
        """What the agent asks for: so much of this charge back."""
        self.payment_id = payment_id
        self.requested_minor = amount_minor or self.amount_minor

    def share(self, percent: int) -> int:
        """A part of the case's amount."""
        return self.amount_minor * percent // 100

    def _row(self, facts: Facts, name: str) -> str:
        row_id = ids.to_text("pay", _uuid(self.case_id, "payment", len(self.rows)))
        self.rows.append(OwnRow(row_id, {**facts, name: row_id}))
        return row_id


def all_facts(rows: tuple[OwnRow, ...], notes: tuple[KeptNote, ...]) -> Iterator[tuple[bool, Facts]]:
    """Every fact on file, with whether it is one of Paywarden's own rows."""
    yield from ((True, row.facts) for row in rows)
    yield from ((False, note.facts) for note in notes if note.trust == "record" and note.facts is not None)


def _money(kind: str, payment_id: str, amount_minor: int, hours: float) -> Facts:
    return {
        "type": kind,
        "payment_id": payment_id,
        "amount_minor": amount_minor,
        "currency": USD,
        "at": _at(hours),
    }


def _at(hours: float) -> str:
    return rfc3339(_START + timedelta(hours=hours))


def _uuid(*words: object) -> UUID:
    return UUID(int=drawn(*words) >> _UUID_BITS)
