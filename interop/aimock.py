"""``@copilotkit/aimock`` as a child process: told over its control routes what to answer, asked what it was sent."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
from tests.stack import wait_until

from paywarden.kit.children import ended_with_parent

API_KEY = "sk-ant-interop-0123456789abcdef"
_PROGRAM = Path(__file__).parent / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
_LISTENS = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")
_START_SECONDS = 30.0


class Aimock:
    """A mock of the Messages API that nobody here wrote. It takes API_KEY and no other key.

    Start it from the main thread: the kernel ends it with the thread that forked it.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "aimock.log"
        self._child = _started(folder, self._log)
        wait_until(lambda: self._complained() or _LISTENS.search(self._output()) is not None, _START_SECONDS, "aimock")
        found = _LISTENS.search(self._output())
        assert found, f"aimock did not start: {self._output()}"
        self.url = found.group(1)
        self._control = httpx.Client(
            base_url=f"{self.url}/__aimock",
            headers={"Authorization": f"Bearer {API_KEY}"},
            timeout=10,
            trust_env=False,
        )

    def answer(self, *fixtures: dict[str, Any]) -> None:
        """Forget everything, then answer like this: the first fixture that matches a request serves it."""
        self._control.post("/reset").raise_for_status()
        self._control.post("/fixtures", json={"fixtures": list(fixtures)}).raise_for_status()

    def requests(self) -> list[dict[str, Any]]:
        """What came since then, as aimock understood it, with the status it gave; oldest first."""
        return [
            entry
            for entry in self._control.get("/journal").raise_for_status().json()
            if entry["path"] == "/v1/messages"
        ]

    def stop(self) -> None:
        """End it; nothing is left of it."""
        self._control.close()
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _output(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def _complained(self) -> bool:
        return self._child.poll() is not None


def _started(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    nothing = folder / "nothing.json"
    nothing.write_text(json.dumps({"fixtures": []}))
    with log.open("wb") as output:
        return subprocess.Popen(
            ["node", str(_PROGRAM), "--port", "0", "--host", "127.0.0.1", "--fixtures", str(nothing)],
            env={"PATH": os.environ["PATH"], "AIMOCK_API_KEYS": API_KEY},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=ended_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one system call, and no import or lock
        )


def says(content: Any, *, turn: int | None = None, **response: Any) -> dict[str, Any]:
    """A fixture: this answer to every request, or only to the one with ``turn`` answers of the model before it."""
    match: dict[str, Any] = {} if turn is None else {"turnIndex": turn}
    return {"match": match, "response": {"content": content, "usage": _USAGE, **response}}


def fails(status: int, kind: str, **response: Any) -> dict[str, Any]:
    """A fixture: an error as the Messages API words it."""
    return {"match": {}, "response": {"error": {"type": kind, "message": kind}, "status": status, **response}}


_USAGE = {"input_tokens": 300, "output_tokens": 100}
