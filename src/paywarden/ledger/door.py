"""The one write door of the ledger, and the reads that go with it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from paywarden.db.sql import load
from paywarden.ledger.intents import Intent, Outcome, as_json

SQL = load(__package__)
Connection = AsyncConnection[dict[str, Any]]


async def write(connection: Connection, intents: Sequence[Intent]) -> list[Outcome]:
    """Write intents in order and return one outcome for each, in the open transaction of one tenant.

    Refused intents change nothing and are told in their outcome; an SQL error ends the caller's transaction.
    """
    cursor = await connection.execute(SQL.write, {"intents": Jsonb([as_json(intent) for intent in intents])})
    row = await cursor.fetchone()
    answers = row["outcomes"] if row else []
    if len(answers) != len(intents):
        raise RuntimeError(f"the ledger answered {len(answers)} of {len(intents)} intents")
    return [_outcome(answer) for answer in answers]


def _outcome(answer: dict[str, Any]) -> Outcome:
    return Outcome(
        answer["result"], answer.get("accounts"), bool(answer.get("late")), answer.get("below_floor"), answer
    )


async def accounts(connection: Connection) -> list[dict[str, Any]]:
    """Every account of the tenant with balance, held and floor in its normal direction."""
    return await (await connection.execute(SQL.list_accounts)).fetchall()


async def transfers_of_payment(connection: Connection, payment_id: UUID) -> list[dict[str, Any]]:
    """The transfers of one payment with their account codes, oldest first."""
    return await (await connection.execute(SQL.transfers_of_payment, {"payment_id": payment_id})).fetchall()


async def transfers(connection: Connection, *, after: tuple[str, UUID] | None, limit: int) -> list[dict[str, Any]]:
    """Committed transfers, newest first, below a cursor of (transaction, id)."""
    transaction_id, transfer_id = after or (None, None)
    values = {"after_transaction": transaction_id, "after_id": transfer_id, "limit": limit}
    return await (await connection.execute(SQL.list_transfers, values)).fetchall()


async def holds_of_payment(connection: Connection, payment_id: UUID) -> list[dict[str, Any]]:
    """The holds of one payment with the accounts they promise from."""
    return await (await connection.execute(SQL.holds_of_payment, {"payment_id": payment_id})).fetchall()


async def trial_balance(connection: Connection) -> list[dict[str, Any]]:
    """Per book and asset: debits, credits, and their difference, which is zero."""
    return await (await connection.execute(SQL.trial_balance)).fetchall()


async def clearing_movements(connection: Connection, provider: str, account: str) -> list[dict[str, Any]]:
    """Per payment and asset, what the ledger booked on the provider's clearing account, in minor units."""
    values = {"code": f"provider_clearing/{provider}/{account}"}
    return await (await connection.execute(SQL.clearing_movements, values)).fetchall()
