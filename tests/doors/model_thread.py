"""The scripted Messages API beside tests that are not asynchronous: a thread with a loop of its own."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.contract.messages_api import MessagesApi, Scripted, advised, messages_api

Answer = Callable[[dict[str, Any]], Scripted]
_OWN_ID = re.compile(r"pay_[0-9a-z]{26}")


@contextmanager
def model(answer: Answer) -> Iterator[MessagesApi]:
    """A model that answers every request by ``answer``, which may be changed as ``api.otherwise``."""
    started: list[MessagesApi] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with messages_api() as api:
            api.otherwise = answer
            started.append(api)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield started[0]
    finally:
        done.set()
        thread.join(20)


def case_of(body: dict[str, Any]) -> str:
    """What the model was given to read."""
    return json.dumps(body["messages"][0]["content"])


def approves_on_own_records(amount_minor: int) -> Answer:
    """Approves this amount and cites every payment of ours that it was shown."""

    def answer(body: dict[str, Any]) -> Scripted:
        shown = list(dict.fromkeys(_OWN_ID.findall(case_of(body))))
        return advised(amount_minor=amount_minor, evidence=shown[:50], confidence=95, reason="Charged twice.")

    return answer
