"""A provider of raw bytes: answers every connection with the next of its scripts, whatever was asked."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self


def http(status: int, body: bytes, *headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class ScriptedProvider:
    """``scripts`` are sent one per connection, the last again and again; then the connection is closed, or held."""

    scripts: Sequence[bytes]
    hold_open: bool = False
    requests: list[bytes] = field(default_factory=list)
    url: str = ""
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
            )
            self.requests.append(head + await reader.readexactly(length))
            writer.write(self.scripts[min(len(self.requests), len(self.scripts)) - 1])
            await writer.drain()
            if self.hold_open:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
