"""Who was influenced by a note: the decisions that were given it, whether or not they cite it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from paywarden.memory.notes import SQL, Connection


@dataclass(frozen=True, slots=True)
class Influence:
    """A decision that was given the note. ``score`` is the note's cosine similarity to the request then.

    ``amount_minor`` is what the checked advice approved, in minor units of ``currency``; ``payment_status`` is that of
    the payment now, None for a decision without one.
    """

    decision_id: UUID
    cited: bool
    score: float
    payment_id: UUID | None
    payment_status: str | None
    customer_id: str | None
    adviser: str
    verdict: str
    amount_minor: int
    currency: str
    created_at: datetime


async def of_note(connection: Connection, note_id: UUID, limit: int, before: UUID | None) -> list[Influence]:
    """Decisions that were given the note, newest first; ``before`` is the last decision of the previous page."""
    values = {"note_id": note_id, "limit": limit, "before": before}
    rows = await (await connection.execute(SQL.decisions_of_note, values)).fetchall()
    return [Influence(**row) for row in rows]
