"""The generic ``rest`` provider: what is sent, and which of the five kinds of answer came back.

Whatever is not provably one of the other kinds is ``Unknown``: time-out, reset, cut or unreadable body, an answer too
large, a redirect, any 5xx and any 4xx but 400, 402, 422 and 429.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote, urlsplit

import httpx

from paywarden.kit.canonical import canonical_json
from paywarden.kit.errors import ConfigurationError
from paywarden.providers.port import (
    Answer,
    Fetched,
    Found,
    NotFound,
    OperationKind,
    Order,
    PreparedRequest,
    ProviderEvent,
    ProviderFacts,
    ProviderPayment,
    StatementLine,
    Transient,
    Unknown,
)
from paywarden.providers.rest_answers import (
    UnreadableError,
    provider_id,
    read_line,
    read_list,
    read_payment,
)
from paywarden.providers.rest_events import parse_event, read_event
from paywarden.providers.rest_replies import Reply, answer_of, payment_of, usable

MAX_ANSWER_BYTES = 1024 * 1024
MAX_STATEMENT_PAGES = 1_000
_MAX_RETRY_AFTER_SECONDS = 3_600.0
_ROOMS: Mapping[OperationKind, str] = {
    "submit": "payments",
    "confirm": "payments",
    "refund": "refunds",
    "payout": "payouts",
}

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Page:
    """One page of a statement, and the cursor of the one that follows."""

    lines: list[StatementLine]
    following: str | None


class RestProvider:
    """One account at a provider that speaks the generic contract; see ``providers/port.py`` for the promises.

    ``payouts`` says that it also has the routes below ``/v1/payouts``.
    """

    def __init__(self, url: str, api_key: str, *, name: str = "rest", payouts: bool = False) -> None:
        self._url = _checked_url(url)
        self._facts = ProviderFacts(
            name=name,
            key_window=timedelta(hours=24),
            compares_body=True,
            saves_errors=False,
            idempotent_submit=True,
            capabilities=frozenset({"confirm", "refund", "statement", *(["payout"] if payouts else [])}),
        )
        # No environment: a .netrc would replace the key. No compression: a small body cannot unfold into a large one.
        # No time-out here: every call is bounded as a whole.
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}", "Accept-Encoding": "identity", "User-Agent": "paywarden"},
            timeout=httpx.Timeout(None),
            follow_redirects=False,
            trust_env=False,
            verify=_trusted_certificates(),
        )

    @property
    def facts(self) -> ProviderFacts:
        return self._facts

    def prepare(self, order: Order, idempotency_key: str) -> PreparedRequest:
        """Raises ValueError when a confirm or refund names no provider payment."""
        metadata = {"internal_payment_id": order.our_reference, "agent_id": order.agent}
        if order.kind == "submit":
            body = canonical_json(
                {
                    "amount_cents": order.amount_minor,
                    "amount": order.amount_minor,
                    "currency": order.currency,
                    "customer_id": order.customer,
                    "description": order.description,
                    "confirm": order.confirm,
                    "metadata": metadata,
                }
            )
            return PreparedRequest("POST", "/v1/payments", body, idempotency_key)
        if order.kind == "payout":
            return PreparedRequest("POST", "/v1/payouts", canonical_json(_payout(order, metadata)), idempotency_key)
        path = f"/v1/payments/{_segment(order.provider_payment_id)}"
        if order.kind == "confirm":
            return PreparedRequest("POST", f"{path}/confirm", b"{}", idempotency_key)
        body = canonical_json({"amount_cents": order.amount_minor, "metadata": metadata})
        return PreparedRequest("POST", f"{path}/refunds", body, idempotency_key)

    async def send(self, request: PreparedRequest, timeout_seconds: float) -> Answer:
        headers = {"Content-Type": "application/json", "Idempotency-Key": request.idempotency_key}

        async def exchange() -> Answer:
            return answer_of(await self._call(request.method, request.path, headers=headers, content=request.body))

        return await _bounded(exchange, timeout_seconds)

    async def fetch(self, kind: OperationKind, provider_id: str, timeout_seconds: float) -> Fetched:
        """A refund is looked up at ``/v1/refunds/{id}``, which a provider need not have: then it is NotFound."""
        path = f"/v1/{_ROOMS[kind]}/{_segment(provider_id)}"

        async def exchange() -> Fetched:
            reply = await self._call("GET", path)
            if reply.status == HTTPStatus.NOT_FOUND:
                return NotFound()
            found = usable(reply, payment_of)
            if not isinstance(found, ProviderPayment):
                return found
            return Found(found) if found.provider_id == provider_id else Unknown("another id", reply.status)

        return await _bounded(exchange, timeout_seconds)

    async def fetch_by_reference(
        self, kind: OperationKind, our_reference: str, timeout_seconds: float
    ) -> Sequence[ProviderPayment] | Transient | Unknown:
        """Only what states our reference itself: a provider that ignores the filter must not hand us a stranger's."""

        async def exchange() -> Sequence[ProviderPayment] | Transient | Unknown:
            reply = await self._call("GET", f"/v1/{_ROOMS[kind]}", params={"internal_payment_id": our_reference})
            if reply.status == HTTPStatus.NOT_FOUND:
                return ()
            return usable(reply, lambda body: _ours(body, our_reference))

        return await _bounded(exchange, timeout_seconds)

    async def statement(
        self, since: datetime, until: datetime, timeout_seconds: float
    ) -> Sequence[StatementLine] | Transient | Unknown | None:
        """All pages, within the time-out as a whole; a statement that loses or repeats its cursor is Unknown."""

        async def exchange() -> Sequence[StatementLine] | Transient | Unknown | None:
            lines: list[StatementLine] = []
            cursor: str | None = None
            for page in range(MAX_STATEMENT_PAGES):
                reply = await self._call("GET", "/v1/statement", params=_period(since, until, cursor))
                if reply.status == HTTPStatus.NOT_FOUND and page == 0:
                    return None
                found = usable(reply, _page)
                if isinstance(found, Transient | Unknown):
                    return found
                lines.extend(found.lines)
                following = found.following
                if following is None:
                    return _within(lines, since, until)
                if following == cursor:
                    break
                cursor = following
            return Unknown("the statement does not end")

        return await _bounded(exchange, timeout_seconds)

    def parse_event(self, body: bytes, signature: str | None, secret: str) -> ProviderEvent:
        return parse_event(body, signature, secret)

    def read_event(self, body: bytes) -> ProviderEvent:
        return read_event(body)

    async def close(self) -> None:
        await self._client.aclose()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Reply:
        """One exchange, read to its end. Raises httpx.HTTPError or UnreadableError when there is no whole answer."""
        url = f"{self._url}{path}"
        async with self._client.stream(method, url, headers=headers, content=content, params=params) as response:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise UnreadableError("the body is encoded")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise UnreadableError("the body is too large")
            return Reply(response.status_code, bytes(body), _retry_after(response.headers.get("retry-after")))


async def _bounded(exchange: Callable[[], Awaitable[Result]], timeout_seconds: float) -> Result | Transient | Unknown:
    """The result within the time-out; what the network did instead, in the port's words."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await exchange()
    except httpx.ConnectError:
        return Transient("no connection", sent="no")
    except TimeoutError:
        return Unknown("no answer in time")
    except (httpx.HTTPError, OSError) as error:
        return Unknown(f"no whole answer: {type(error).__name__}")
    except UnreadableError as error:
        return Unknown(f"unreadable: {error}")


def _payout(order: Order, metadata: Mapping[str, str]) -> dict[str, object]:
    """Raises ValueError when the order names no payee."""
    if order.payee is None:
        raise ValueError("a payout must name its payee")
    return {
        "amount_cents": order.amount_minor,
        "amount": order.amount_minor,
        "currency": order.currency,
        "payee": order.payee,
        "description": order.description,
        "metadata": metadata,
    }


def _ours(body: bytes, our_reference: str) -> tuple[ProviderPayment, ...]:
    entries, _ = read_list(body)
    return tuple(read_payment(entry) for entry in entries if _states(entry, our_reference))


def _page(body: bytes) -> _Page:
    entries, following = read_list(body)
    return _Page([read_line(entry) for entry in entries], following)


@cache
def _trusted_certificates() -> ssl.SSLContext:
    """Shared by all adapters of the process: to load them takes 25 ms."""
    return httpx.create_ssl_context(trust_env=False)


def _states(entry: object, our_reference: str) -> bool:
    metadata = entry.get("metadata") if isinstance(entry, dict) else None
    return isinstance(metadata, dict) and metadata.get("internal_payment_id") == our_reference


def _within(lines: list[StatementLine], since: datetime, until: datetime) -> list[StatementLine]:
    inside = [line for line in lines if since <= line.occurred_at < until]
    return sorted(inside, key=lambda line: line.occurred_at)


def _period(since: datetime, until: datetime, cursor: str | None) -> dict[str, str]:
    period = {"from": since.astimezone(UTC).isoformat(), "to": until.astimezone(UTC).isoformat()}
    return period if cursor is None else {**period, "cursor": cursor}


def _retry_after(header: str | None) -> float | None:
    if header is None or not (header.isascii() and header.isdigit()):
        return None
    return min(float(header), _MAX_RETRY_AFTER_SECONDS)


def _segment(text: str | None) -> str:
    """An id as one segment of a path. Raises ValueError when it cannot be one."""
    return quote(provider_id(text), safe="")


def _checked_url(url: str) -> str:
    """The provider's URL without a trailing slash. Raises ConfigurationError for anything that could hold a secret."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("the provider's URL must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError("the provider's URL must hold no user, query or fragment")
    return url.rstrip("/")
