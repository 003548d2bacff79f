"""Logs: JSON lines on standard error, redacted after rendering, so that no way of formatting a value gets around it."""

import json
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

import structlog

from paywarden.kit.text import contains_card_number

_REDACTED = "[redacted]"
_CARD = "[card]"
# Taking out anything shorter would hide ordinary words, and show by the gaps what the value is.
_SHORTEST_SECRET = 6
# Their INFO lines hold whole URLs, their DEBUG lines headers.
_TALKATIVE = ("httpx", "httpcore", "hpack", "asyncio", "psycopg", "psycopg.pool", "anthropic", "httpx2", "httpcore2")
_REPEATING_LIBRARY = "psycopg"
_REPEATING_EVENTS = frozenset({"the database is not reachable; will look again", "no gauges"})
_QUIET_SECONDS = 60.0
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"pw_(?:test|live)_[A-Za-z0-9_]+"), _REDACTED),
    (re.compile(r"sk-ant-[A-Za-z0-9_-]+"), _REDACTED),
    (re.compile(r"(?i)(bearer)[\s:]+[^\s\"'\\,;)]+"), rf"\1 {_REDACTED}"),
    (re.compile(r"(://[^\s/:@\"'\\]*:)[^\s@\"'\\]+@"), rf"\1{_REDACTED}@"),
    (re.compile(r"(?i)(password\s*=\s*)[^\s\"'\\&]+"), rf"\1{_REDACTED}"),
)
# Not the digits behind a decimal point: those of an ordinary fraction may pass the Luhn check by chance.
_IN_ADDRESS = re.compile(
    r"://[^:/@]*:(?P<login>.+)@|\bpassword\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<option>[^\s&']+))"
)
_OBJECT_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_DIGITS_RUN = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")


class Scrubber:
    """Takes out of a rendered line what must never be in a log: the given values, and whatever looks like a secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST_SECRET}
        longest_first = sorted(forms, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def scrub(self, line: str) -> str:
        """The line without secrets and card numbers."""
        if self._values is not None:
            line = self._values.sub(_REDACTED, line)
        for pattern, replacement in _PATTERNS:
            line = pattern.sub(replacement, line)
        return _DIGITS_RUN.sub(_without_card, line)


def _forms(secret: str) -> Iterator[str]:
    """A secret as it stands, and as JSON, ``repr`` and URLs would show it; of an address also its password alone."""
    for value in (secret, *_passwords(secret)):
        as_json, as_ascii_json = json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1]
        as_python = repr(value)[1:-1]
        yield from (value, as_json, as_ascii_json, as_python, json.dumps(as_python)[1:-1], quote(value, safe=""))


def _passwords(address: str) -> Iterator[str]:
    """What may be a password in an address, as it stands and decoded, also when the address is not well formed.

    An unescaped @ or / in a password makes libraries take its halves for a host or a port, and name them.
    """
    for found in _IN_ADDRESS.finditer(address):
        password = found.group("quoted") or found.group("login") or found.group("option")
        yield from (password, unquote(password), *re.split(r"[@/:?#]", password))


def _without_card(found: re.Match[str]) -> str:
    return _CARD if contains_card_number(found.group()) else found.group()


class _ScrubbingFormatter(structlog.stdlib.ProcessorFormatter):
    def __init__(self, scrubber: Scrubber, **options: Any) -> None:
        super().__init__(**options)
        self._scrubber = scrubber

    def format(self, record: logging.LogRecord) -> str:
        return self._scrubber.scrub(super().format(record))


class _OncePerMinute(logging.Filter):
    """Of what repeats while the database is away, one line a minute for each thing said, whatever it is said about."""

    def __init__(self) -> None:
        super().__init__()
        self._last_told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is told."""
        said = _what_is_said(record)
        if said is None:
            return True
        now = time.monotonic()
        if now - self._last_told.get(said, -math.inf) < _QUIET_SECONDS:
            return False
        self._last_told[said] = now
        if isinstance(record.msg, str):
            record.msg, record.args = _OBJECT_ADDRESS.sub("", record.getMessage()), None
        return True


def _what_is_said(record: logging.LogRecord) -> str | None:
    """The sentence without what differs from time to time; None when every line counts."""
    if record.name.startswith(_REPEATING_LIBRARY):
        return str(record.msg)
    # Ours come as a dictionary from structlog.
    event = record.msg.get("event") if isinstance(record.msg, dict) else None
    return event if event in _REPEATING_EVENTS else None


class _Handler(logging.StreamHandler[Any]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the name that logging calls
        """The standard one prints the record's arguments, unredacted."""
        sys.stderr.write(json.dumps({"event": "a log record could not be rendered", "logger": record.name}) + "\n")


request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that is being answered, in every line about it."""


def _with_request_id(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    present = request_id.get()
    return event if present is None else {"request_id": present, **event}


def configure(level: str, secrets: Iterable[str]) -> None:
    """Send every log of this process, also of libraries and uncaught errors, through one redacting handler."""
    seen_by_all: list[structlog.typing.Processor] = [
        _with_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *seen_by_all,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        _ScrubbingFormatter(
            Scrubber(secrets), processor=structlog.processors.JSONRenderer(default=repr), foreign_pre_chain=seen_by_all
        )
    )
    handler.addFilter(_OncePerMinute())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    _log_what_nobody_catches()


def _log_what_nobody_catches() -> None:
    log = logging.getLogger("paywarden.uncaught")

    def in_main(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("uncaught error", exc_info=(kind, error, traceback))

    def in_thread(happened: threading.ExceptHookArgs) -> None:
        if happened.exc_value is not None:
            in_main(happened.exc_type, happened.exc_value, happened.exc_traceback)

    sys.excepthook = in_main
    threading.excepthook = in_thread
