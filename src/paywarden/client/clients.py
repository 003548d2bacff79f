"""The blocking and the asynchronous client: the same methods, one tiny driver each."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload
from urllib.parse import urlsplit

import httpx

from paywarden.client import tools
from paywarden.client.calls import authority, credit, holds, ledger, memory, payments, reviews
from paywarden.client.conversation import Answer, Call, Conversation, NoAnswer, Pause, Reply
from paywarden.client.errors import PaywardenUsageError
from paywarden.client.gate import AsyncGate, Gate, HoldStory
from paywarden.client.usage import NOT_UTF8, checked_api_key, checked_url
from paywarden.kit.tls import trusted_for

P = ParamSpec("P")
T = TypeVar("T")
# The service answers a payment within 10 s and a decision within 60 s.
TIMEOUT_SECONDS = 65.0
_CONNECT_TIMEOUT_SECONDS = 5.0


class Method(Generic[P, T]):
    """A conversation as a method of both clients: it returns its result, or an awaitable of it."""

    def __init__(self, start: Callable[P, Conversation[T]]) -> None:
        self._start = start

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: "Paywarden", owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AsyncPaywarden", owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: "Paywarden | AsyncPaywarden | None", owner: type) -> Any:
        if client is None:
            return self

        @wraps(self._start)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.run(self._start(*args, **kwargs))

        return call


class Methods:
    """What both clients can do; documented at the function of the same name."""

    charge = Method(payments.charge)
    refund = Method(payments.refund)
    payout = Method(payments.payout)
    check_payment = Method(payments.check_payment)
    get_payment = Method(payments.get_payment)
    list_payments = Method(payments.list_payments)
    get_dossier = Method(payments.get_dossier)
    confirm_payment = Method(payments.confirm_payment)
    cancel_payment = Method(payments.cancel_payment)
    give_facts = Method(payments.give_facts)
    attest_payment = Method(payments.attest_payment)
    list_reviews = Method(reviews.list_reviews)
    get_review = Method(reviews.get_review)
    claim_review = Method(reviews.claim_review)
    keep_review = Method(reviews.keep_review)
    release_review = Method(reviews.release_review)
    give_verdict = Method(reviews.give_verdict)
    add_note = Method(memory.add_note)
    search_notes = Method(memory.search_notes)
    import_notes = Method(memory.import_notes)
    expire_note = Method(memory.expire_note)
    get_note_embedder = Method(memory.get_note_embedder)
    list_note_decisions = Method(memory.list_note_decisions)
    decide = Method(memory.decide)
    get_decision = Method(memory.get_decision)
    replay_decision = Method(memory.replay_decision)
    create_mandate = Method(authority.create_mandate)
    list_mandates = Method(authority.list_mandates)
    revoke_mandate = Method(authority.revoke_mandate)
    create_agent = Method(authority.create_agent)
    list_agents = Method(authority.list_agents)
    suspend_agent = Method(authority.suspend_agent)
    activate_agent = Method(authority.activate_agent)
    create_key = Method(authority.create_key)
    list_keys = Method(authority.list_keys)
    revoke_key = Method(authority.revoke_key)
    suspend_tenant = Method(authority.suspend_tenant)
    activate_tenant = Method(authority.activate_tenant)
    create_hold = Method(holds.create_hold)
    create_holds = Method(holds.create_holds)
    get_hold = Method(holds.get_hold)
    list_holds = Method(holds.list_holds)
    capture_hold = Method(holds.capture_hold)
    release_hold = Method(holds.release_hold)
    extend_hold = Method(holds.extend_hold)
    top_up_credit = Method(credit.top_up_credit)
    reverse_top_up = Method(credit.reverse_top_up)
    list_top_ups = Method(credit.list_top_ups)
    get_credit = Method(credit.get_credit)
    list_accounts = Method(ledger.list_accounts)
    list_transfers = Method(ledger.list_transfers)
    trial_balance = Method(ledger.trial_balance)
    reconcile = Method(ledger.reconcile)
    list_discrepancies = Method(ledger.list_discrepancies)
    run_tool = Method(tools.run_tool)


class Paywarden(Methods):
    """The blocking client: ``with Paywarden(url, key) as desk: desk.charge(...)``."""

    def __init__(self, url: str, key: str | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._http = httpx.Client(**_settings(url, key, timeout_seconds))

    def run(self, conversation: Conversation[T]) -> T:
        """Drive a conversation to its end and return its result."""
        reply: Reply = None
        while True:
            try:
                step = conversation.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            reply = self._take(step)

    def gate(self, amount_minor: int, currency: str, customer: str | None = None, **options: Any) -> Gate:
        """Hold an amount around a costly call: ``with desk.gate(...) as hold: ...; hold.capture(cost_minor)``.

        The options are those of ``create_hold``.
        """
        return Gate(self.run, HoldStory(amount_minor, currency, customer, **options))

    def _take(self, step: Call[Any] | Pause) -> Reply:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            return _answer(self._http.send(_request(self._http, step)))
        except httpx.TransportError as error:
            return _no_answer(self._http, error)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncPaywarden(Methods):
    """The asynchronous client: ``async with AsyncPaywarden(url, key) as desk: await desk.charge(...)``."""

    def __init__(self, url: str, key: str | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._http = httpx.AsyncClient(**_settings(url, key, timeout_seconds))

    async def run(self, conversation: Conversation[T]) -> T:
        """Drive a conversation to its end and return its result."""
        reply: Reply = None
        while True:
            try:
                step = conversation.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            reply = await self._take(step)

    def gate(self, amount_minor: int, currency: str, customer: str | None = None, **options: Any) -> AsyncGate:
        """The same: ``async with desk.gate(...) as hold: ...; await hold.capture(cost_minor)``."""
        return AsyncGate(self.run, HoldStory(amount_minor, currency, customer, **options))

    async def _take(self, step: Call[Any] | Pause) -> Reply:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return _answer(await self._http.send(_request(self._http, step)))
        except httpx.TransportError as error:
            return _no_answer(self._http, error)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _settings(url: str, key: str | None, timeout_seconds: float) -> dict[str, Any]:
    base_url = checked_url(url)
    here = is_loopback(url)
    return {
        "base_url": base_url,
        "headers": {"Authorization": f"Bearer {key}"} if checked_api_key(key) else {},
        "timeout": httpx.Timeout(timeout_seconds, connect=_CONNECT_TIMEOUT_SECONDS),
        # A key for a service on this machine must not travel to a proxy that the environment names.
        "trust_env": not here,
        "verify": trusted_for(url) if here else True,
    }


def is_loopback(url: str) -> bool:
    """Whether an address can only be of this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _request(http: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    headers = {"Idempotency-Key": call.idempotency_key} if call.idempotency_key else {}
    if call.respond_async:
        headers["Prefer"] = "respond-async"
    try:
        return http.build_request(call.method, call.path, params=dict(call.query), json=call.body, headers=headers)
    except UnicodeEncodeError:
        raise PaywardenUsageError("request", NOT_UTF8) from None


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)


def _no_answer(http: httpx.Client | httpx.AsyncClient, error: httpx.TransportError) -> NoAnswer:
    """``sent`` is false only when there never was a connection to send through."""
    sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    what = "broke off or took too long" if sent else "could not be reached"
    return NoAnswer(f"{str(http.base_url).rstrip('/')} {what} ({type(error).__name__})", sent)
