"""What an outside user of the quick start does again and again: ask, look with SQL, send events as the provider."""

import hashlib
import hmac
import json
from itertools import count
from typing import Any

import httpx
import psycopg

from tests.stack import Stack, wait_until

FINAL_SECONDS = 20.0
NUMBERS = count(1)
PROBLEM = {"type", "title", "status", "code", "detail", "request_id"}


def fresh(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{next(NUMBERS)}"


def payment(**changes: Any) -> dict[str, Any]:
    return {"user_id": fresh("user"), "amount_cents": 2500, "currency": "usd"} | changes


def rows(stack: Stack, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What somebody sees who looks with SQL."""
    with psycopg.connect(stack.ready["database_url"]) as connection:
        return connection.execute(query, values).fetchall()


def status_in(stack: Stack, view: str, name: str) -> str:
    return str(rows(stack, f"select status from {view} where id = %s", name)[0][0])


def await_status(stack: Stack, view: str, name: str, status: str) -> None:
    wait_until(lambda: status_in(stack, view, name) == status, FINAL_SECONDS, f"{name} {status}")


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem of a refusal."""
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert set(problem) >= PROBLEM
    return problem


def event(stack: Stack, kind: str, data: dict[str, Any], secret: str | None = None) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a provider's event."""
    body = json.dumps({"id": fresh("evt"), "type": kind, "data": data}).encode()
    signature = hmac.new((secret or stack.webhook_secret()).encode(), body, hashlib.sha256).hexdigest()
    return body, {"X-Signature": signature, "Content-Type": "application/json"}


def agent(stack: Stack, roles: list[str], **limits: int) -> httpx.Client:
    """Somebody with a key of his own, and a mandate when limits are given."""
    with stack.administrator() as admin:
        made = admin.post("/v1/agents", json={"kind": "agent", "name": fresh("agent"), "roles": roles}).json()
        key = admin.post("/v1/keys", json={"principal": made["id"]}).json()["secret"]
        if limits:
            lines = [{"currency": "usd", "window": name, "limit_minor": most} for name, most in limits.items()]
            mandate = {"principal": made["id"], "name": "m", "kinds": ["charge"], "limits": lines, "timezone": "UTC"}
            admin.post("/v1/mandates", json=mandate).raise_for_status()
    return stack.client(headers={"Authorization": f"Bearer {key}"})


def reserve(http: httpx.Client, name: str) -> str:
    answer = http.post(f"/agents/{name}/reserve", params={"amount_cents": 5000})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"id": answer.json()["id"], "status": "reserved"}
    return str(answer.json()["id"])
