"""A scripted Messages API on loopback: real HTTP, every request kept, answers given in the order of the script.

It checks nothing and is no model; it can answer, and break off, in all the ways in which the real one might.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

MODEL = "claude-sonnet-5-5"
USAGE = {
    "input_tokens": 300,
    "output_tokens": 100,
    "cache_read_input_tokens": 1500,
    "cache_creation_input_tokens": 0,
    "service_tier": "standard",
}
GOOD = {
    "verdict": "approve",
    "amount_minor": 1250,
    "reason": "Two charges of one reference are recorded.",
    "confidence": 91,
    "evidence": ["pay_1", "pay_2"],
    "missing_facts": [],
}


@dataclass(frozen=True, slots=True)
class Scripted:
    """One answer. ``promised_bytes`` more are announced than come; ``silent`` sends nothing, ``cut`` hangs up."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    request_id: str | None = "req_1"
    promised_bytes: int = 0
    silent: bool = False
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class MessagesApi:
    """Answers ``script`` one after the other, then whatever ``otherwise`` makes of a request's body."""

    script: list[Scripted] = field(default_factory=list)
    otherwise: Callable[[dict[str, Any]], Scripted] = field(default=lambda _: Scripted(599, b"unscripted"))
    requests: list[Received] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _received(reader)
            self.requests.append(request)
            answer = self.script.pop(0) if self.script else self.otherwise(request.body)
            if answer.silent:
                await reader.read()
            elif not answer.cut:
                writer.write(_rendered(answer))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def messages_api(*script: Scripted) -> AsyncIterator[MessagesApi]:
    api = MessagesApi(list(script))
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        server.close()


def said(text: str, **changes: Any) -> Scripted:
    """A message of one text."""
    return message([{"type": "text", "text": text, "citations": None}], **changes)


def advised(**changes: Any) -> Scripted:
    """A sound advice, or one with these fields changed."""
    return said(json.dumps(GOOD | changes))


def message(content: Any, *, request_id: str = "req_1", **changes: Any) -> Scripted:
    """A message of these blocks, with these fields of its envelope changed."""
    envelope = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }
    return Scripted(body=json.dumps(envelope | changes).encode(), request_id=request_id)


def failed(status: int, kind: str, *headers: tuple[str, str]) -> Scripted:
    """An error as the API words it."""
    body = {"type": "error", "error": {"type": kind, "message": f"this is {kind}"}}
    return Scripted(status, json.dumps(body).encode(), (("Content-Type", "application/json"), *headers))


async def _received(reader: asyncio.StreamReader) -> Received:
    request_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(request_line.split(" ")[1], headers, json.loads(body or b"{}"))


def _rendered(answer: Scripted) -> bytes:
    length = len(answer.body) + answer.promised_bytes
    headers = [*answer.headers, ("Content-Length", str(length)), ("Connection", "close")]
    if answer.request_id is not None:
        headers.append(("request-id", answer.request_id))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {answer.status} X\r\n{head}\r\n".encode() + answer.body
