"""The routes of a payment provider, as the generic ``rest`` provider speaks them, with the faults in their way."""

import asyncio
import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from paywarden.sandbox import charges, payouts
from paywarden.sandbox.book import Book, Transaction
from paywarden.sandbox.broken_wire import CutConnection, HalfBody, Silence
from paywarden.sandbox.faults import Fault, Faults, Operation, Struck, Subject
from paywarden.sandbox.refusals import (
    MAX_ID_CHARACTERS,
    RefusedError,
    read_object,
    read_payment,
    read_payout,
    read_refund,
)
from paywarden.sandbox.replays import Answer, Request, answer_once
from paywarden.sandbox.statement import statement_page

Work = Callable[[Transaction, Struck | None], dict[str, Any]]


class ProviderApi:
    """The provider's routes over one book and its faults."""

    def __init__(self, book: Book, faults: Faults, stopping: asyncio.Event) -> None:
        self._book, self._faults, self._stopping = book, faults, stopping

    def routes(self) -> list[Route]:
        return [
            Route("/v1/payments", self.create_payment, methods=["POST"]),
            Route("/v1/payments", self.payments_by_reference, methods=["GET"]),
            Route("/v1/payments/{payment_id}", self.payment, methods=["GET"]),
            Route("/v1/payments/{payment_id}/confirm", self.confirm_payment, methods=["POST"]),
            Route("/v1/payments/{payment_id}/refunds", self.create_refund, methods=["POST"]),
            Route("/v1/refunds", self.refunds_by_reference, methods=["GET"]),
            Route("/v1/refunds/{refund_id}", self.refund, methods=["GET"]),
            Route("/v1/payouts", self.create_payout, methods=["POST"]),
            Route("/v1/payouts", self.payouts_by_reference, methods=["GET"]),
            Route("/v1/payouts/{payout_id}", self.payout, methods=["GET"]),
            Route("/v1/statement", self.statement, methods=["GET"]),
        ]

    async def create_payment(self, http: HttpRequest) -> Response:
        request = await _read(http)
        ask = read_payment(request.body)
        struck = self._faults.asked_for((ask.customer_id, ask.description), request.key) or self._faults.strike(
            Subject("submit", ask.reference, ask.customer_id)
        )
        return await self._move(request, struck, lambda tx, hit: charges.create_payment(tx, ask, hit))

    async def confirm_payment(self, http: HttpRequest) -> Response:
        request = await _read(http)
        read_object(request.body)
        payment_id = http.path_params["payment_id"]
        struck = self._faults.strike(await self._subject("confirm", payment_id))
        return await self._move(request, struck, lambda tx, hit: charges.confirm_payment(tx, payment_id, hit))

    async def create_refund(self, http: HttpRequest) -> Response:
        request = await _read(http)
        ask = read_refund(request.body)
        payment_id = http.path_params["payment_id"]
        customer = (await self._subject("refund", payment_id)).customer
        struck = self._faults.strike(Subject("refund", ask.reference, customer))
        return await self._move(request, struck, lambda tx, hit: charges.create_refund(tx, payment_id, ask, hit))

    async def create_payout(self, http: HttpRequest) -> Response:
        request = await _read(http)
        ask = read_payout(request.body)
        struck = self._faults.asked_for((ask.payee, ask.description), request.key) or self._faults.strike(
            Subject("payout", ask.reference, ask.payee)
        )
        return await self._move(request, struck, lambda tx, hit: payouts.create_payout(tx, ask, hit))

    async def payment(self, http: HttpRequest) -> Response:
        payment_id = http.path_params["payment_id"]

        def look(tx: Transaction) -> dict[str, Any]:
            row = charges.find_payment(tx, payment_id)
            if row is None or row["hidden_until"] > tx.now_ms:
                raise RefusedError(404, "not_found", "no such payment")
            return charges.payment_view(tx, row)

        return await self._show(await self._subject("fetch", payment_id), look)

    async def refund(self, http: HttpRequest) -> Response:
        refund_id = http.path_params["refund_id"]

        def look(tx: Transaction) -> dict[str, Any]:
            row = charges.find_refund(tx, refund_id)
            if row is None or row["hidden_until"] > tx.now_ms:
                raise RefusedError(404, "not_found", "no such refund")
            return charges.refund_view(tx, row)

        return await self._show(Subject("fetch"), look)

    async def payout(self, http: HttpRequest) -> Response:
        payout_id = http.path_params["payout_id"]

        def look(tx: Transaction) -> dict[str, Any]:
            row = payouts.find_payout(tx, payout_id)
            if row is None or row["hidden_until"] > tx.now_ms:
                raise RefusedError(404, "not_found", "no such payout")
            return payouts.payout_view(tx, row)

        return await self._show(Subject("fetch"), look)

    async def payments_by_reference(self, http: HttpRequest) -> Response:
        reference = _query(http, "internal_payment_id")

        def look(tx: Transaction) -> dict[str, Any]:
            sql = "SELECT * FROM payments WHERE reference = ? AND hidden_until <= ? ORDER BY created_at, id"
            return {"data": [charges.payment_view(tx, row) for row in tx.all(sql, reference, tx.now_ms)]}

        return await self._show(Subject("fetch", reference), look)

    async def refunds_by_reference(self, http: HttpRequest) -> Response:
        reference = _query(http, "internal_payment_id")

        def look(tx: Transaction) -> dict[str, Any]:
            sql = "SELECT * FROM refunds WHERE reference = ? AND hidden_until <= ? ORDER BY created_at, id"
            return {"data": [charges.refund_view(tx, row) for row in tx.all(sql, reference, tx.now_ms)]}

        return await self._show(Subject("fetch", reference), look)

    async def payouts_by_reference(self, http: HttpRequest) -> Response:
        reference = _query(http, "internal_payment_id")

        def look(tx: Transaction) -> dict[str, Any]:
            sql = "SELECT * FROM payouts WHERE reference = ? AND hidden_until <= ? ORDER BY created_at, id"
            return {"data": [payouts.payout_view(tx, row) for row in tx.all(sql, reference, tx.now_ms)]}

        return await self._show(Subject("fetch", reference), look)

    async def statement(self, http: HttpRequest) -> Response:
        since, until = _instant(http, "from"), _instant(http, "to")
        after = _cursor(http.query_params.get("cursor"))
        lines, following = await self._book.run(lambda tx: statement_page(tx, since, until, after))
        return JSONResponse(
            {"data": lines, "next": following and base64.urlsafe_b64encode(following.encode()).decode()}
        )

    async def _subject(self, operation: Operation, payment_id: str) -> Subject:
        row = await self._book.run(lambda tx: charges.find_payment(tx, payment_id))
        return Subject(operation, row["reference"], row["customer_id"]) if row else Subject(operation)

    async def _move(self, request: Request, struck: Struck | None, work: Work) -> Response:
        """Do it once per key; the faults before it stop it, those after it lose its answer."""
        if early := await _before(struck):
            return early
        answer = await self._book.run(lambda tx: answer_once(tx, request, lambda: work(tx, struck)))
        return self._after(struck, answer)

    async def _show(self, subject: Subject, look: Callable[[Transaction], dict[str, Any]]) -> Response:
        struck = self._faults.strike(subject)
        if early := await _before(struck):
            return early
        return self._after(struck, Answer(await self._book.run(look), replayed=False))

    def _after(self, struck: Struck | None, answer: Answer) -> Response:
        match struck.fault if struck else None:
            case Fault.DROP_AFTER_CHARGE:
                return CutConnection()
            case Fault.ERROR_500_AFTER_CHARGE:
                return _error(500, "internal", "something went wrong")
            case Fault.HALF_BODY:
                return HalfBody()
            case Fault.WRONG_JSON:
                return Response(b'{"id": sbx, "status": [', media_type="application/json")
            case Fault.TIMEOUT:
                return Silence(struck.seconds if struck and struck.seconds is not None else 0.0, self._stopping)
        headers = {"Idempotent-Replayed": "true"} if answer.replayed else None
        return JSONResponse(answer.body, headers=headers)


def refused(error: RefusedError) -> Response:
    """The JSON error of a refusal."""
    return _error(error.status, error.code, error.message)


async def _before(struck: Struck | None) -> Response | None:
    match struck.fault if struck else None:
        case Fault.DELAY:
            await asyncio.sleep(struck.seconds if struck and struck.seconds is not None else 0.0)
        case Fault.DROP_BEFORE_CHARGE:
            return CutConnection()
        case Fault.ERROR_500_BEFORE_CHARGE:
            return _error(500, "internal", "something went wrong")
        case Fault.RATE_LIMIT:
            return _error(429, "rate_limited", "too many requests", {"Retry-After": "1"})
    return None


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


async def _read(http: HttpRequest) -> Request:
    key = http.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_ID_CHARACTERS:
        raise RefusedError(400, "invalid_request", f"Idempotency-Key must have 1 to {MAX_ID_CHARACTERS} characters")
    return Request(http.url.path, await http.body(), key)


def _query(http: HttpRequest, name: str) -> str:
    value = http.query_params.get(name)
    if not value:
        raise RefusedError(400, "invalid_request", f"{name} is missing")
    return value


def _instant(http: HttpRequest, name: str) -> int:
    try:
        instant = datetime.fromisoformat(_query(http, name))
        if instant.tzinfo is None:
            raise ValueError("no zone")
        return int(instant.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise RefusedError(400, "invalid_request", f"{name} must be an RFC 3339 instant") from error


def _cursor(text: str | None) -> str:
    try:
        return base64.urlsafe_b64decode(text or "").decode()
    except (binascii.Error, ValueError) as error:
        raise RefusedError(400, "invalid_request", "cursor is not one of ours") from error
