"""What an adversary needs beside the stage: the superuser's SQL, a clock that jumps, forged time, signed events."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from paywarden.db import transaction as transactions
from paywarden.flow import access, knowledge, provider_event, recovery
from paywarden.flow.ask import Ask
from paywarden.flow.desk import Actor
from paywarden.kit import ids
from paywarden.kit.states import FINAL, Status
from paywarden.memory.notes import NewNote
from paywarden.payments.rows import Payment
from tests.conftest import Database
from tests.flow.stage import Stage
from tests.sandbox_process import WEBHOOK_SECRET

MOVING = {Status.PENDING, Status.RESERVED, Status.SUBMITTING, Status.OUTCOME_UNKNOWN, Status.PROCESSING}


class JumpingClock:
    """The database's clock: it runs on, and jumps when told to. Leases, windows and expiries follow it."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self._connection = connection
        connection.execute("create table public.clock_jump as select interval '0' as jump")
        connection.execute("grant select on public.clock_jump to public")
        connection.execute(
            "create or replace function paywarden.clock() returns timestamptz language sql volatile"
            " as 'select clock_timestamp() + jump from public.clock_jump'"
        )

    def advance(self, seconds: float) -> None:
        self._connection.execute(
            "update public.clock_jump set jump = jump + make_interval(secs => %s)", [float(seconds)]
        )


@dataclass
class World:
    """A stage, its database as the superuser sees it, and both clocks."""

    stage: Stage
    database: Database
    connection: psycopg.Connection[dict[str, Any]]
    clock: JumpingClock
    # What other tests have left in the provider's book.
    old_references: frozenset[str] = frozenset()

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run a statement as the superuser, who sees every tenant."""
        cursor = self.connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: Any) -> Any:
        """The only value of the only row."""
        (row,) = self.sql(statement, *values)
        (value,) = row.values()
        return value

    async def advance(self, seconds: float) -> None:
        """Time passes, for us and for the provider."""
        self.clock.advance(seconds)
        await self.stage.sandbox.advance_clock(seconds)

    async def work(self, rounds: int = 30) -> int:
        """Run the worker until nothing is due; how many rows it touched."""
        touched = 0
        for _ in range(rounds):
            done = await recovery.run_once(self.stage.desk)
            if not done:
                return touched
            touched += done
        return touched

    async def settle(self, *payments: Payment, rounds: int = 40) -> list[Payment]:
        """Let time pass and the worker work until these payments are at rest; both clocks jump, nobody waits."""
        for _ in range(rounds):
            await self.work()
            now = [await self.stage.find(payment.id) for payment in payments]
            if not {payment.status for payment in now} & MOVING:
                return now
            await self.advance(7)
        raise AssertionError(f"still moving: {[payment.status for payment in now]}")

    async def book(self) -> dict[str, Any]:
        """The provider's truth, as far as this test made it."""
        book = await self.stage.sandbox.book()
        for moved in ("charges", "refunded", "paid_out"):
            book[moved] = {name: times for name, times in book[moved].items() if name not in self.old_references}
        for kind in ("payments", "refunds", "payouts"):
            book[kind] = [entry for entry in book[kind] if reference_of(entry) not in self.old_references]
        return book

    async def lies(self, payments: Iterable[Payment]) -> list[str]:
        """Where our books and the provider's do not agree, and every invariant that does not hold."""
        book = await self.book()
        moved = book["charges"] | book["refunded"] | book["paid_out"]
        theirs = {
            reference_of(entry): entry["status"] for entry in book["payments"] + book["refunds"] + book["payouts"]
        }
        found = [f"{reference} moved money {times} times" for reference, times in moved.items() if times > 1]
        for payment in payments:
            ours, paid = (await self.stage.find(payment.id)).status, moved.get(payment.public_id, 0)
            if (ours is Status.SUCCEEDED) != (paid > 0):
                found.append(f"{payment.public_id} is {ours} and moved money {paid} times")
            # A refused confirmation leaves an object there that nobody has charged.
            if ours is Status.FAILED and theirs.get(payment.public_id) not in {None, "failed", "requires_confirmation"}:
                found.append(f"{payment.public_id} failed without evidence")
        return found + sorted(await self.stage.broken_invariants())

    async def check_books(self, payments: Iterable[Payment], *, charged: int | None = None) -> None:
        """Nothing lies; with ``charged``, so many charges were made by the provider."""
        assert await self.lies(payments) == []
        if charged is not None:
            assert sum((await self.book())["charges"].values()) == charged

    def account(self, code: str) -> tuple[int, int]:
        """Balance and held of the quick-start tenant's account whose code begins like this."""
        rows = self.sql(
            "select balance, held from paywarden.accounts where code like %s and tenant_id = %s",
            f"{code}%",
            self.stage.agent.tenant_id,
        )
        return sum(row["balance"] for row in rows), sum(row["held"] for row in rows)

    def held(self) -> int:
        """What all accounts of all tenants have promised away, in minor units."""
        return int(self.one("select coalesce(sum(held), 0) from paywarden.accounts"))

    def statuses(self, payment: Payment) -> list[str]:
        """The states a payment went through."""
        rows = self.sql(
            "select to_status from paywarden.payment_transitions where payment_id = %s order by sort_key", payment.id
        )
        return [row["to_status"] for row in rows]

    def discrepancies(self, payment: Payment | None = None) -> list[str]:
        rows = self.sql("select kind, payment_id from paywarden.discrepancies where status = 'open' order by kind")
        return [row["kind"] for row in rows if payment is None or row["payment_id"] == payment.id]

    def edit(self, statement: str, *values: Any) -> None:
        """Change rows as somebody who owns the machine: no trigger, no foreign key looks."""
        with self.connection.transaction():
            self.connection.execute("set local session_replication_role = replica")
            self.connection.execute(statement, values)

    async def double_charge(self, customer: str, amount_minor: int) -> Payment:
        """Two paid charges of one order: a refund of one of them is what our own records justify."""
        order = f"ORD-{next(self.stage.numbers)}"
        twice = [await self.stage.charge(amount_minor, customer_id=customer, reference=order) for _ in range(2)]
        await self.settle(*twice)
        return await self.stage.find(twice[0].id)

    def refund_of(self, charge: Payment, amount_minor: int, text: str = "I was charged twice for this order") -> Ask:
        return Ask("refund", amount_minor, "usd", original_payment_id=charge.id, request_text=text)

    async def note(self, customer: str, content: str, **more: Any) -> UUID:
        return await knowledge.add_note(self.stage.desk, self.stage.admin, NewNote(customer, content, **more))

    async def reviewer(
        self, name: str = "reviewer", kind: Any = "person", roles: tuple[str, ...] = ("review",)
    ) -> Actor:
        return Actor(await access.create_agent(self.stage.desk, self.stage.admin, kind, name, list(roles)))

    async def review_of(self, payment: Payment) -> UUID:
        """The open review of a payment."""
        return UUID(
            str(self.one("select id from paywarden.reviews where payment_id = %s and status = 'open'", payment.id))
        )

    async def receive(self, body: bytes, endpoint: provider_event.Endpoint | None = None) -> UUID | None:
        """A signed event arrives."""
        at = endpoint or provider_event.quickstart_endpoint(self.stage.desk)
        try:
            return await provider_event.receive(self.stage.desk, at, body, sign(body, at.secret))
        except asyncio.CancelledError as error:
            # Who writes for many has died in a task of its own.
            raise Death from error

    async def tell(self, body: bytes) -> UUID | None:
        """A signed event arrives and is applied."""
        inbox_id = await self.receive(body)
        if inbox_id is not None:
            await provider_event.apply(self.stage.desk, self.stage.agent.tenant_id, inbox_id)
        return inbox_id

    def checks(self, payment: Payment | None = None) -> list[dict[str, Any]]:
        """What the rules found, of this payment or at all, in their order."""
        rows = self.sql(
            "select payment_id, decision_id, found.* from paywarden.checks,"
            " rows from (jsonb_to_recordset(findings) as (rule text, result text, detail text))"
            " with ordinality as found (rule, result, detail, place) order by id, place"
        )
        return [row for row in rows if payment is None or row["payment_id"] == payment.id]

    def inbox(self) -> list[str]:
        rows = self.sql("select status from paywarden.webhook_inbox order by id")
        return [row["status"] for row in rows]

    async def other_tenant(self, name: str = "other") -> Actor:
        """The administrator of another tenant, with a mandate there."""
        key = (await access.create_tenant(self.stage.desk.pool, name, "test"))["admin_key"]
        admin = Actor(await access.authenticate(self.stage.desk.pool, key))
        await self.mandate(admin, admin)
        return admin

    async def mandate(self, admin: Actor, whom: Actor, *, day_minor: int = 10_000_000, **terms: Any) -> UUID:
        given = access.MandateTerms(
            whom.principal.id, terms.pop("name", "m"), terms.pop("kinds", ("charge", "refund")),
            (access.Limit("usd", "day", day_minor), *terms.pop("more", ())), "UTC", **terms,
        )  # fmt: skip
        return (await access.create_mandate(self.stage.desk, admin, given)).id


@pytest.fixture
async def world(stage: Stage, database: Database) -> AsyncIterator[World]:
    book = await stage.sandbox.book()
    old = frozenset(reference_of(entry) for kind in ("payments", "refunds", "payouts") for entry in book[kind])
    with psycopg.connect(database.superuser_url, row_factory=dict_row, autocommit=True) as connection:
        yield World(stage, database, connection, JumpingClock(connection), old)


def reference_of(entry: dict[str, Any]) -> str:
    """Which of our payments an entry of the provider's book is about."""
    return str(entry["metadata"].get("internal_payment_id"))


def sign(body: bytes, secret: str = WEBHOOK_SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def event(
    event_type: str, provider_id: str, *, reference: str | None = None, key: str | None = "", **data: Any
) -> bytes:
    """The provider's event about one of its payments; with an id of its own unless told otherwise."""
    body: dict[str, Any] = {"type": event_type, "created": "2030-01-01T12:00:00Z", "data": {"id": provider_id, **data}}
    if key is not None:
        body["id"] = key or f"evt_{ids.new_uuid().hex}"
    if reference is not None:
        body["data"]["metadata"] = {"internal_payment_id": reference}
    return json.dumps(body).encode()


class Death(BaseException):
    """A process ends here: nothing below ``BaseException`` may notice."""


class Reaper:
    """Ends the process at the n-th transaction from now: before its commit, or just after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real: Callable[..., Any] = transactions._transaction
        self._seen, self._at, self._before = 0, 0, False
        monkeypatch.setattr(transactions, "_transaction", self._mortal)

    def strike_at(self, number: int, *, before_commit: bool) -> None:
        self._seen, self._at, self._before = 0, number, before_commit

    def rest(self) -> bool:
        """Strike no more; whether it had struck."""
        struck, self._at = 0 < self._at <= self._seen, 0
        return struck

    @asynccontextmanager
    async def _mortal(self, pool: Any, opening: str) -> AsyncIterator[Any]:
        self._seen += 1
        mine = self._seen == self._at
        async with self._real(pool, opening) as connection:
            yield connection
            if mine and self._before:
                raise Death
        if mine:
            raise Death


@pytest.fixture
def reaper(monkeypatch: pytest.MonkeyPatch) -> Reaper:
    return Reaper(monkeypatch)


async def all_of(*calls: Any) -> list[Any]:
    """The answers and errors of calls made at once."""
    return await asyncio.gather(*calls, return_exceptions=True)


def at_rest(payment: Payment) -> bool:
    return payment.status in FINAL
