"""A payment provider that costs as little as one can: it accepts every charge at once and counts its keys.

The sandbox has durable books and faults; here only our own work shall be measured. ``python -m bench.provider PORT``.
"""

import asyncio
import itertools
import json
import sys
from typing import Any

_HEAD_END = b"\r\n\r\n"
_HEAD = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Provider:
    """One answer for one key, however often it comes."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it is closed."""
        try:
            while True:
                head = (await reader.readuntil(_HEAD_END)).decode("latin-1").split("\r\n")
                headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:] if line}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                status, answer = self._answer(head[0], headers, body)
                text = json.dumps(answer).encode()
                writer.write(_HEAD % (status, len(text)) + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            writer.close()

    def _answer(self, line: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        method, path, _ = line.split(" ", 2)
        if (method, path) == ("GET", "/count"):
            return 200, {"charges": len(self._answers)}
        if (method, path) != ("POST", "/v1/payments"):
            return 404, {"error": "there is no such route"}
        key = headers.get("idempotency-key", "")
        if key not in self._answers:
            asked = json.loads(body)
            kept = {name: asked[name] for name in ("amount", "currency", "metadata")}
            self._answers[key] = {"id": f"charge-{next(self._numbers)}", "status": "succeeded", **kept}
        return 200, self._answers[key]


async def main(port: int) -> None:
    """Serve on loopback until the process is ended."""
    server = await asyncio.start_server(Provider().serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
