"""Many payments at once, as the superuser, with everything that belongs to them: every invariant holds afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any
from uuid import UUID

import psycopg
from msgspec.structs import asdict
from psycopg.rows import dict_row

from bench.access import Agent
from bench.server import Row
from bench.service import Service
from paywarden.db.sql import load
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit import ids
from paywarden.ledger import chart

SQL = load(__package__)
# In a hundred: what a desk looks like after a year.
A_YEAR = ("succeeded",) * 84 + ("denied",) * 6 + ("failed",) * 5 + ("canceled",) * 3 + ("processing", "in_review")
STEPS = (
    "seed_rows",
    "seed_moves",
    "seed_the_moves",
    "seed_customers",
    "seed_payments",
    "seed_transitions",
    "seed_keys",
    "seed_holds",
    "seed_hold_lines",
    "seed_transfers",
    "seed_operations",
    "seed_events",
    "seed_balances",
)
_TABLES = "payments payment_transitions idempotency_keys holds hold_lines transfers operations events customers"


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many payments, their states in turn."""

    count: int
    statuses: Sequence[str]


def seed(service: Service, agent: Agent, wanted: Wanted) -> list[Row]:
    """Write them, of this agent, on its mandate's window of today; names, amounts and public ids of all, in order."""
    with psycopg.connect(
        service.superuser_url, row_factory=dict_row, cursor_factory=psycopg.ClientCursor
    ) as connection:
        values = _values(connection, service, agent, wanted)
        # Foreign keys hold by construction, and checking each would take longer than everything else.
        connection.execute("set session_replication_role = replica")
        for name in STEPS:
            connection.execute(SQL[name].encode(), values)
        seeded = connection.execute(SQL.seeded_events.encode()).fetchall()
    return seeded


def tidy(service: Service) -> None:
    """Vacuum and analyze, as the server does by itself after a while."""
    with psycopg.connect(service.superuser_url, autocommit=True) as connection:
        for table in _TABLES.split():
            connection.execute(f"vacuum (analyze) paywarden.{table}".encode())


def _values(connection: psycopg.Connection[Row], service: Service, agent: Agent, wanted: Wanted) -> dict[str, Any]:
    window = _window(connection, service, agent)
    return {
        "count": wanted.count,
        "statuses": list(wanted.statuses),
        "run": token_hex(6),
        "transaction": connection.execute("select pg_current_xact_id()::text as id").fetchall()[0]["id"],
        "tenant": QUICKSTART_TENANT_ID,
        "principal": agent.id,
        "agent": agent.name,
        "mandate": agent.mandate_id,
        "window": window,
        "spent": _account(connection, chart.authority_spent(agent.mandate_id, "usd")),
        "clearing": _account(connection, chart.provider_clearing("rest", "default", "usd")),
        "revenue": _account(connection, chart.revenue("usd")),
    }


def _account(connection: psycopg.Connection[Row], account: chart.AccountRef) -> UUID:
    """The account's id; opened if it was never used."""
    spec = {**asdict(account), "id": ids.new_uuid(), "tenant": QUICKSTART_TENANT_ID}
    connection.execute(SQL.seed_account.encode(), spec)
    found: UUID = connection.execute(SQL.account_id.encode(), spec).fetchall()[0]["id"]
    return found


def _window(connection: psycopg.Connection[Row], service: Service, agent: Agent) -> UUID:
    """The window of today, opened by a first real charge: its grant, its limit and its name are the service's own."""
    body = {"kind": "charge", "amount_minor": 100, "currency": "usd", "customer": "cust-0", "purpose": "order"}
    headers = {"Idempotency-Key": token_hex(8), "Prefer": "respond-async", "Authorization": f"Bearer {agent.key}"}
    with service.client() as client:
        client.post("/v1/payments", json=body, headers=headers).raise_for_status()
    like = f"authority/{ids.to_text('mdt', agent.mandate_id)}/%"
    found = connection.execute(SQL.latest_window.encode(), {"tenant": QUICKSTART_TENANT_ID, "code": like}).fetchall()
    window: UUID = found[0]["id"]
    return window
