"""Whom the service calls, as cheap as one can be, so that only our own work is measured.

``python -m bench.stubs provider PORT``: accepts every charge at once, once for each key, and counts them.
``python -m bench.stubs model PORT``: a Messages API that approves each case in full and cites its first record.
"""

import asyncio
import itertools
import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

_HEAD_END = b"\r\n\r\n"
_HEAD = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nrequest-id: req_bench\r\n\r\n"
_NOTE = re.compile(r"note_[0-9a-z]{26}")
_AMOUNT = re.compile(r'"requested_amount_minor": (\d+)')
_USAGE = {"input_tokens": 900, "output_tokens": 100, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
Answer = tuple[int, Mapping[str, Any]]
Answerer = Callable[[str, Mapping[str, str], bytes], Answer]


def provider() -> Answerer:
    """One answer for one key, however often it comes. ``GET /count`` tells how many charges there are."""
    answers: dict[str, Mapping[str, Any]] = {}
    numbers = itertools.count(1)

    def answer(line: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if line.startswith("GET /count "):
            return 200, {"charges": len(answers)}
        if not line.startswith("POST /v1/payments "):
            return 404, {"error": "there is no such route"}
        key = headers.get("idempotency-key", "")
        if key not in answers:
            asked = json.loads(body)
            kept = {name: asked[name] for name in ("amount", "currency", "metadata")}
            answers[key] = {"id": f"charge-{next(numbers)}", "status": "succeeded", **kept}
        return 200, answers[key]

    return answer


def model() -> Answerer:
    """The same opinion of every case."""

    def answer(line: str, headers: Mapping[str, str], body: bytes) -> Answer:
        asked = json.loads(body)
        text = json.dumps(asked["messages"], ensure_ascii=False).replace('\\"', '"')
        amount, notes = _AMOUNT.search(text), _NOTE.findall(text)
        advice = {
            "verdict": "approve",
            "amount_minor": int(amount[1]) if amount else 0,
            "reason": "The invoice is on record, it is open, and it was due.",
            "confidence": 95,
            "evidence": notes[:1],
            "missing_facts": [],
        }
        said = [{"type": "text", "text": json.dumps(advice)}]
        return 200, {
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": asked["model"],
            "content": said,
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": _USAGE,
        }

    return answer


async def serve(answerer: Answerer, port: int) -> None:
    """Serve on loopback until the process is ended."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                line, *lines = (await reader.readuntil(_HEAD_END)).decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                status, answer = answerer(line, headers, body)
                text = json.dumps(answer).encode()
                writer.write(_HEAD % (status, len(text)) + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve({"provider": provider, "model": model}[sys.argv[1]](), int(sys.argv[2])))
