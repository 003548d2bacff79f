"""A service on loopback that says what a test tells it to say, line by line, and remembers what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Say:
    """One scripted answer; ``drop`` closes the connection instead, after the request was read."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class ScriptedService:
    """Where it listens, what it was asked, and what it will say; the last line is repeated."""

    url: str
    script: list[Say]
    asked: list[Asked] = field(default_factory=list)

    def next_line(self) -> Say:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def problem(status: int, code: str, detail: str = "It is so.", retry_after: int | None = None, **extra: Any) -> Say:
    """A problem as Paywarden says it."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail}
    return Say(status, {**body, "request_id": "req_1", **extra}, headers)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        service: ScriptedService = self.server.service  # type: ignore[attr-defined]
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        service.asked.append(Asked(self.command, self.path, headers, json.loads(raw) if raw else None))
        line = service.next_line()
        if line.drop:
            self.close_connection = True
            return
        body = line.body if isinstance(line.body, bytes) else json.dumps(line.body).encode()
        self.send_response(line.status)
        for name, value in line.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815  the names that http.server calls

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test reads ``asked``."""


@contextmanager
def scripted(*script: Say) -> Iterator[ScriptedService]:
    """Run the service for a while."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    service = ScriptedService(f"http://127.0.0.1:{server.server_port}", list(script) or [Say()])
    server.service = service  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
