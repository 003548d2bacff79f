"""Customers with prepaid credit, in one tenant or in many, and the keys of gates that may hold it."""

import hashlib
from secrets import token_hex
from typing import Any
from uuid import UUID

import psycopg

from bench.seed_payments import SQL
from bench.service import Service
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit import ids

# No case uses it up.
_CREDIT_MINOR = 10**12
_TENANTS = ("seed_tenants", "seed_principals", "seed_api_keys")
_CREDIT = ("seed_credit_customers", "seed_bank", "seed_credit", "seed_top_ups")


def seed_credit(service: Service, customers: int) -> None:
    """Customers cust-1, cust-2 ... of the quick-start tenant."""
    _run(service, _CREDIT, _credit([QUICKSTART_TENANT_ID], customers))


def seed_tenants(service: Service, tenants: int, customers: int) -> list[str]:
    """So many tenants with so many customers each; the keys of their gates."""
    made = [ids.new_uuid() for _ in range(tenants)]
    keys = [f"pw_test_{ids.to_text('ten', each).removeprefix('ten_')}_{token_hex(32)}" for each in made]
    values = {
        **_credit(made, customers),
        "names": [f"tenant-{each}" for each in made],
        "principals": [ids.new_uuid() for _ in made],
        "hashes": [hashlib.sha256(key.encode()).digest() for key in keys],
    }
    _run(service, (*_TENANTS, *_CREDIT), values)
    return keys


def _credit(tenants: list[UUID], customers: int) -> dict[str, Any]:
    return {"tenants": tenants, "customers": customers, "amount_minor": _CREDIT_MINOR}


def _run(service: Service, names: tuple[str, ...], values: dict[str, Any]) -> None:
    with psycopg.connect(service.superuser_url, cursor_factory=psycopg.ClientCursor) as connection:
        for name in names:
            connection.execute(SQL[name].encode(), values)
    with psycopg.connect(service.superuser_url, autocommit=True) as connection:
        connection.execute("vacuum (analyze) paywarden.accounts, paywarden.transfers")
