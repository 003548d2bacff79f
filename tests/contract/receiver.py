"""A real receiver of webhooks on loopback: keeps every delivery, answers as it is told."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from paywarden.kit.canonical import loads_strict
from tests.contract.waiting import eventually


@dataclass(frozen=True, slots=True)
class Delivery:
    """One POST as it arrived, and what was answered."""

    body: bytes
    signature: str | None
    status: int

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = loads_strict(self.body)
        return event

    @property
    def reference(self) -> str | None:
        return self.event["data"]["metadata"].get("internal_payment_id")


@dataclass
class Receiver:
    """Answers ``statuses`` one after the other, then 200."""

    deliveries: list[Delivery] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhooks/payments"

    async def open(self) -> None:
        """Listen; again on the same port after ``close``."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def wait_for(self, count: int, *references: str) -> list[Delivery]:
        """The deliveries about these references once there are at least ``count``."""

        async def look() -> list[Delivery]:
            found = self.about(*references)
            return found if len(found) >= count else []

        return await eventually(look)

    def about(self, *references: str) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if delivery.reference in references]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
        headers = {name.lower(): value for name, _, value in lines}
        body = await reader.readexactly(int(headers["content-length"]))
        status = self.statuses.pop(0) if self.statuses else 200
        self.deliveries.append(Delivery(body, headers.get("x-signature"), status))
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".encode())
        await writer.drain()
        writer.close()
