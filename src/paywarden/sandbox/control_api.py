"""The sandbox's own routes below ``/_sandbox``: faults, settings, the clock, and the book as the oracle of tests."""

import math
from typing import Any, get_args
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from paywarden.sandbox import outbox
from paywarden.sandbox.book import Book, Transaction
from paywarden.sandbox.charges import payment_view, refund_view
from paywarden.sandbox.faults import MONEY_ONLY, Armed, Fault, Faults, Operation
from paywarden.sandbox.payouts import payout_view
from paywarden.sandbox.refusals import MAX_ID_CHARACTERS, RefusedError, read_object, text

_MAX_SECONDS = 10 * 365 * 86_400
_SETTING_NAMES = {"webhook_url", "webhook_delay_seconds", "duplicate_webhooks", "shuffle_webhooks"}


class ControlApi:
    """The control routes over one book and its faults."""

    def __init__(self, book: Book, faults: Faults) -> None:
        self._book, self._faults = book, faults

    def routes(self) -> list[Route]:
        return [
            Route("/_sandbox/faults", self.arm, methods=["POST"]),
            Route("/_sandbox/faults", self.disarm, methods=["DELETE"]),
            Route("/_sandbox/settings", self.change_settings, methods=["POST"]),
            Route("/_sandbox/clock", self.advance_clock, methods=["POST"]),
            Route("/_sandbox/webhooks:resend", self.resend, methods=["POST"]),
            Route("/_sandbox/book", self.book, methods=["GET"]),
        ]

    async def arm(self, request: Request) -> Response:
        self._faults.arm(_armed(read_object(await request.body())))
        return JSONResponse({"ok": True})

    async def disarm(self, request: Request) -> Response:
        self._faults.disarm()
        return JSONResponse({"ok": True})

    async def change_settings(self, request: Request) -> Response:
        changes = read_object(await request.body())
        _check_settings(changes)
        settings = await self._book.change_settings(**changes)
        return JSONResponse({name: getattr(settings, name) for name in sorted(_SETTING_NAMES)})

    async def advance_clock(self, request: Request) -> Response:
        seconds = _seconds(read_object(await request.body()), "advance_seconds")
        if seconds is None:
            raise _bad("advance_seconds", "is missing")
        offset_ms = self._book.settings.clock_offset_ms + int(seconds * 1000)
        await self._book.change_settings(clock_offset_ms=offset_ms)
        return JSONResponse({"offset_seconds": offset_ms / 1000})

    async def resend(self, request: Request) -> Response:
        reference = text(read_object(await request.body()), "reference", MAX_ID_CHARACTERS)
        return JSONResponse({"deliveries": await self._book.run(lambda tx: outbox.resend(tx, reference))})

    async def book(self, request: Request) -> Response:
        return JSONResponse(await self._book.run(_book))


def _book(tx: Transaction) -> dict[str, Any]:
    """Everything; ``charges``, ``refunded`` and ``paid_out`` count how often a reference really moved money."""
    return {
        "payments": [payment_view(tx, row) for row in tx.all("SELECT * FROM payments ORDER BY created_at, id")],
        "refunds": [refund_view(tx, row) for row in tx.all("SELECT * FROM refunds ORDER BY created_at, id")],
        "payouts": [payout_view(tx, row) for row in tx.all("SELECT * FROM payouts ORDER BY created_at, id")],
        "charges": _counts(
            tx,
            "SELECT reference, count(*) AS n FROM payments WHERE reference IS NOT NULL"
            " AND settles_at IS NOT NULL AND outcome = 'succeeded' GROUP BY reference",
        ),
        "refunded": _counts(
            tx,
            "SELECT reference, count(*) AS n FROM refunds WHERE reference IS NOT NULL"
            " AND outcome = 'succeeded' GROUP BY reference",
        ),
        "paid_out": _counts(
            tx,
            "SELECT reference, count(*) AS n FROM payouts WHERE reference IS NOT NULL"
            " AND outcome = 'succeeded' GROUP BY reference",
        ),
        "undelivered": outbox.undelivered(tx),
    }


def _counts(tx: Transaction, sql: str) -> dict[str, int]:
    return {row["reference"]: row["n"] for row in tx.all(sql)}


def _armed(value: dict[str, Any]) -> Armed:
    match = value.get("match", {})
    if not isinstance(match, dict) or set(match) - {"reference", "customer"}:
        raise _bad("match", "may name reference and customer")
    armed = Armed(
        fault=_fault(value.get("fault")),
        seconds=_seconds(value, "seconds"),
        rate=_rate(value.get("rate", 1)),
        times_left=_times(value.get("times")),
        operation=_operation(value.get("operation")),
        reference=text(match, "reference", MAX_ID_CHARACTERS),
        customer=text(match, "customer", MAX_ID_CHARACTERS),
    )
    if armed.operation == "fetch" and armed.fault in MONEY_ONLY:
        raise _bad("operation", "of this fault cannot be fetch")
    return armed


def _fault(value: Any) -> Fault:
    try:
        return Fault(value)
    except ValueError as error:
        raise _bad("fault", f"must be one of {', '.join(Fault)}") from error


def _operation(value: Any) -> Operation | None:
    operations: tuple[Operation, ...] = get_args(Operation)
    for operation in operations:
        if value == operation:
            return operation
    if value is not None:
        raise _bad("operation", f"must be one of {', '.join(operations)}")
    return None


def _rate(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise _bad("rate", "must be a number from 0 to 1")
    return float(value)


def _times(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise _bad("times", "must be a whole number from 1, or null")
    times: int | None = value
    return times


def _seconds(value: dict[str, Any], name: str) -> float | None:
    seconds = value.get(name)
    if seconds is None:
        return None
    if type(seconds) not in (int, float) or not math.isfinite(seconds) or not 0 <= seconds <= _MAX_SECONDS:
        raise _bad(name, "must be a number of seconds from 0 to ten years")
    return float(seconds)


def _check_settings(changes: dict[str, Any]) -> None:
    if unknown := set(changes) - _SETTING_NAMES:
        raise _bad(sorted(unknown)[0], "is no setting")
    if "webhook_delay_seconds" in changes and _seconds(changes, "webhook_delay_seconds") is None:
        raise _bad("webhook_delay_seconds", "must be a number of seconds")
    copies = changes.get("duplicate_webhooks", 0)
    if type(copies) is not int or not 0 <= copies <= 100:
        raise _bad("duplicate_webhooks", "must be a whole number from 0 to 100")
    if type(changes.get("shuffle_webhooks", False)) is not bool:
        raise _bad("shuffle_webhooks", "must be true or false")
    if (url := text(changes, "webhook_url", 2_000)) and urlsplit(url).scheme not in ("http", "https"):
        raise _bad("webhook_url", "must be an http or https URL")


def _bad(name: str, problem: str) -> RefusedError:
    return RefusedError(400, "invalid_request", f"{name} {problem}")
