"""The HTTP door as tests use it: callers with and without keys, and the provider that sends its events."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import psycopg
from fastapi import FastAPI
from starlette.routing import BaseRoute

from paywarden.api.application import OpenDesk, build
from paywarden.db.transaction import transaction
from paywarden.flow import access, recovery
from paywarden.flow.desk import Actor, Desk
from paywarden.flow.words import Limit, MandateTerms
from paywarden.identity.tenants import QUICKSTART_TENANT_ID
from paywarden.kit import ids
from paywarden.sandbox.control import SandboxControl
from tests.sandbox_process import WEBHOOK_SECRET

BASE_URL = "http://127.0.0.1:8000"
# Longer than any test looks: what is pending stays so until the test says otherwise.
SETTLES_AFTER_SECONDS = 120
_NUMBERS = count(1)
_ROUTES: list[BaseRoute] = []


@dataclass
class Door:
    """The application, its desk, and a caller on this machine without a key."""

    app: FastAPI
    desk: Desk
    local: httpx.AsyncClient
    sandbox: SandboxControl

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A local, keyless POST; a body, if any, as JSON."""
        return (
            await self.local.post(path, json=body, headers=headers)
            if body is not None
            else await self.local.post(path, headers=headers)
        )

    async def get(self, path: str, **query: Any) -> httpx.Response:
        """A local, keyless GET."""
        return await self.local.get(path, params=query or None)

    @asynccontextmanager
    async def caller(self, key: str) -> AsyncIterator["Caller"]:
        """Somebody with an API key."""
        async with client(self.app, headers={"Authorization": f"Bearer {key}"}) as opened:
            yield Caller(opened)

    @asynccontextmanager
    async def settling_at_once(self) -> AsyncIterator[None]:
        """Meanwhile the provider settles whatever it takes."""
        await self.sandbox.change_settings(webhook_delay_seconds=0)
        yield
        await self.sandbox.change_settings(webhook_delay_seconds=SETTLES_AFTER_SECONDS)

    async def work(self) -> None:
        """Do what is due, as the worker does."""
        while await recovery.run_once(self.desk):
            pass

    async def succeed(self, provider_id: str, **more: Any) -> httpx.Response:
        """The provider says that this payment succeeded."""
        event = {"id": f"evt_{next(_NUMBERS)}", "type": "payment.succeeded", "data": {"id": provider_id, **more}}
        return await self.event(event)

    async def event(self, event: Any, path: str = "/webhooks/payments", secret: str = WEBHOOK_SECRET) -> httpx.Response:
        """An event with its signature."""
        body = json.dumps(event).encode()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": signature, "Content-Type": "application/json"}
        return await self.local.post(path, content=body, headers=headers)

    async def admin_key(self) -> str:
        """A key of the quick-start tenant's administrator."""
        return await access.create_admin_key(self.desk.pool, QUICKSTART_TENANT_ID)

    async def tenant(self, name: str) -> str:
        """Another tenant; the key of its administrator, who has a mandate."""
        key = (await access.create_tenant(self.desk.pool, name, "test"))["admin_key"]
        principal = await access.authenticate(self.desk.pool, key)
        limits = (Limit("usd", "payment", 50_000), Limit("usd", "day", 1_000_000))
        terms = MandateTerms(principal.id, "all", ("charge", "refund"), limits, "UTC")
        await access.create_mandate(self.desk, Actor(principal), terms)
        return key

    async def count(self, table: str) -> int:
        """Rows of the quick-start tenant in a table."""
        async with transaction(self.desk.pool, QUICKSTART_TENANT_ID) as connection:
            query = psycopg.sql.SQL("select count(*) as n from paywarden.{}").format(psycopg.sql.Identifier(table))
            row = await (await connection.execute(query)).fetchone()
        assert row is not None
        return int(row["n"])


@dataclass
class Caller:
    """Somebody with an API key, who pays with a fresh idempotency key unless told otherwise."""

    http: httpx.AsyncClient

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.http.get(path, params=query or None)

    async def post(self, path: str, body: Any = None, *, key: str | None = None) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.http.post(path, headers=headers, **({} if body is None else {"json": body}))

    async def pay(self, path: str = "/v1/payments", **body: Any) -> httpx.Response:
        return await self.post(path, body, key=f"key-{next(_NUMBERS)}")

    async def charge(self, amount_minor: int = 2_500, customer: str = "cust_1", **more: Any) -> httpx.Response:
        body = {"kind": "charge", "amount_minor": amount_minor, "currency": "usd", "customer": customer}
        return await self.pay(**{**body, "purpose": "order", **more})

    async def held(self) -> str:
        """A hold of an administrator, on a mandate that it gives itself."""
        me = next(each["id"] for each in (await self.get("/v1/agents")).json()["data"] if each["name"] == "admin")
        limits = [{"currency": "usd", "window": "day", "limit_minor": 10_000}]
        terms = {"principal": me, "name": "gate", "kinds": ["gate"], "limits": limits, "timezone": "UTC"}
        mandate = (await self.post("/v1/mandates", terms)).json()["id"]
        return str((await self.pay("/v1/holds", amount_minor=5, currency="usd", mandate=mandate)).json()["id"])


def application(open_desk: OpenDesk) -> FastAPI:
    """The application as it is shipped, with the routes of the first one: what they take and answer is compiled once.

    All else is its own: the desk, the metrics, the state.
    """
    app = build(open_desk)
    if not _ROUTES:
        _ROUTES.extend(app.router.routes)
    assert len(app.router.routes) == len(_ROUTES)
    app.router.routes[:] = _ROUTES
    return app


@asynccontextmanager
async def open_door(app: FastAPI, desk: Desk, sandbox: SandboxControl) -> AsyncIterator[Door]:
    """The application with its lifespan."""
    async with app.router.lifespan_context(app), client(app) as local:
        yield Door(app, desk, local, sandbox)


def client(app: FastAPI, address: str = "127.0.0.1", **options: Any) -> httpx.AsyncClient:
    """A caller from ``address``. What is raised in the application must not come out of it."""
    transport = httpx.ASGITransport(app, client=(address, 50_000))
    return httpx.AsyncClient(transport=transport, base_url=BASE_URL, timeout=60, **options)


def absent_id(prefix: ids.Prefix) -> str:
    """A well-formed id of nothing."""
    return ids.to_text(prefix, ids.new_uuid())
