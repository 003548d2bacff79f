"""The one write door of the ledger, and the reads that go with it."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from msgspec.structs import astuple
from psycopg import AsyncConnection, Error

from paywarden.db.sql import NEWEST, load
from paywarden.ledger import gates
from paywarden.ledger.intents import HoldRow, Intent, Outcome, Reserve
from paywarden.ledger.sheet import Sheet

SQL = load(__package__)
_REFUSED = "PWREF"
Connection = AsyncConnection[dict[str, Any]]
Run = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Runs a statement with its values and returns its only row."""


async def write(connection: Connection, intents: Sequence[Intent]) -> list[Outcome]:
    """Write intents in order and return one outcome for each, in the open transaction of one tenant.

    Refused intents change nothing and are told in their outcome; an SQL error ends the caller's transaction.
    """
    sheet = Sheet()
    sheet.add(None, intents)
    cursor = await connection.execute(SQL.write, {"sheet": sheet.as_json()})
    return _outcomes(intents, await cursor.fetchone())


async def write_all(connection: Connection, intents: Sequence[Intent]) -> None:
    """Write all the intents, so that a pipeline may commit without waiting for their outcomes.

    A refusal is an SQL error, which ends the transaction; ``refused`` reads it.
    """
    sheet = Sheet()
    sheet.add(None, intents)
    await connection.execute(SQL.write_all, {"sheet": sheet.as_json()})


def refused(error: Error) -> list[str] | None:
    """The result of each intent, in order, when ``error`` is the ledger's refusal to ``write_all``; else None."""
    if error.sqlstate != _REFUSED:
        return None
    answers = json.loads(error.diag.message_detail or "[]")
    return ["ok" if isinstance(answer, str) else answer["result"] for answer in answers]


async def write_group(run: Run, slices: Sequence[tuple[UUID, Sequence[Intent]]]) -> list[list[Outcome]]:
    """Write the intents of several tenants, each in order; for each slice the list of its outcomes.

    What fails in SQL is rolled back alone and told as ``error``. The slices must come in the order of their tenants,
    each tenant once. Raises what deadlocks and lost connections raise; then nothing is written.
    """
    sheet = Sheet()
    for tenant_id, intents in slices:
        sheet.add(tenant_id, intents)
    row = await run(SQL.write_group, {"sheet": sheet.as_json()})
    outcomes = iter(_outcomes([each for _, intents in slices for each in intents], row))
    return [list(islice(outcomes, len(intents))) for _, intents in slices]


def _outcomes(intents: Sequence[Intent], row: dict[str, Any] | None) -> list[Outcome]:
    answers = row["outcomes"] if row else []
    if len(answers) != len(intents):
        raise RuntimeError(f"the ledger answered {len(answers)} of {len(intents)} intents")
    return [_outcome(intent, answer) for intent, answer in zip(intents, answers, strict=True)]


def _outcome(intent: Intent, answer: dict[str, Any] | str) -> Outcome:
    if isinstance(answer, str) and isinstance(intent, Reserve):
        return Outcome("ok", hold=_new_hold(intent, datetime.fromisoformat(answer)))
    assert isinstance(answer, dict)  # noqa: S101  only a new hold is answered by its moment alone
    hold = answer.get("hold")
    return Outcome(
        answer["result"],
        answer.get("accounts"),
        bool(answer.get("late")),
        answer.get("below_floor"),
        None if hold is None else gates.row_of(hold),
        answer,
    )


def _new_hold(intent: Reserve, created_at: datetime) -> HoldRow:
    """The row of a hold that was just made: the caller knows all of it but the moment."""
    gate, seconds = intent.gate, intent.expires_in_seconds
    named: tuple[Any, Any, Any, Any, Any] = (None, None, None, None, None) if gate is None else astuple(gate)
    return HoldRow(
        intent.hold_id,
        intent.payment_id,
        "pending",
        intent.amount_minor,
        0,
        *named,
        None if seconds is None else created_at + timedelta(seconds=seconds),
        created_at,
        None,
    )


async def accounts(connection: Connection) -> list[dict[str, Any]]:
    """Every account of the tenant with balance, held and floor in its normal direction."""
    return await (await connection.execute(SQL.list_accounts)).fetchall()


async def transfers_of_payment(connection: Connection, payment_id: UUID) -> list[dict[str, Any]]:
    """The transfers of one payment with their account codes, oldest first."""
    return await (await connection.execute(SQL.transfers_of_payment, {"payment_id": payment_id})).fetchall()


async def transfers(
    connection: Connection,
    *,
    after: tuple[str, UUID] | None,
    limit: int,
    payment_id: UUID | None = None,
    accounts: Sequence[tuple[str, str]] | None = None,
) -> list[dict[str, Any]]:
    """Committed transfers, newest first, below a cursor of (transaction, id).

    All of them, those of one payment, or those that touch one of the ``accounts`` by (book, code).
    """
    transaction_id, transfer_id = after or NEWEST
    values: dict[str, Any] = {"after_transaction": transaction_id, "after_id": transfer_id, "limit": limit}
    statement = SQL.list_transfers
    if payment_id is not None:
        statement, values["payment_id"] = SQL.list_transfers_of_payment, payment_id
    elif accounts is not None:
        statement = SQL.list_transfers_of_accounts
        values |= {"books": [book for book, _ in accounts], "codes": [code for _, code in accounts]}
    return await (await connection.execute(statement, values)).fetchall()


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


async def accounts_of(connection: Connection, codes: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Of these (book, code) the accounts that were opened, one for each asset, with balance, held and floor."""
    values = {"books": [book for book, _ in codes], "codes": [code for _, code in codes]}
    return await (await connection.execute(SQL.accounts_of_codes, values)).fetchall()
