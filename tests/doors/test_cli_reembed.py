"""``paywarden memory reembed`` beside a running service: killed at any time it goes on, and the switch has no gap."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paywarden.client import Paywarden
from tests.contract.embeddings_api import good
from tests.contract.messages_api import MessagesApi, Scripted
from tests.doors.model_thread import model
from tests.stack import Stack

pytestmark = pytest.mark.timeout(180)
NOTES = 350


@pytest.fixture(scope="module")
def api() -> Iterator[MessagesApi]:
    with model(good) as started:
        yield started


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, api: MessagesApi) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("reembed") / "data")
    try:
        yield stack.start()
        stack.stop()
    finally:
        stack.end()


def hosted(stack: Stack, api: MessagesApi) -> Stack:
    """The same installation as somebody sees it who has chosen a hosted embedder."""
    environment = {"PAYWARDEN_EMBEDDER": "openai", "OPENAI_API_KEY": "sk-canary-0123456789"}
    return Stack(stack.data, **environment, PAYWARDEN_EMBEDDER_BASE_URL=f"{api.url}/v1")


def desk_of(stack: Stack) -> Paywarden:
    return Paywarden(stack.url, stack.ready["admin_key"])


def reembed(stack: Stack, *arguments: str) -> Any:
    done = stack.command("memory", "reembed", *arguments, "--data", str(stack.data))
    assert "canary" not in done.stdout + done.stderr + stack.complaints()
    return done


def doctor(stack: Stack) -> dict[str, str]:
    done = stack.command("doctor", "--json", "--data", str(stack.data))
    return {each["what"]: each["found"] for each in json.loads(done.stdout)["findings"]}


def test_a_job_that_is_killed_loses_nothing_and_the_switch_has_no_gap(stack: Stack, api: MessagesApi) -> None:
    with desk_of(stack) as desk:
        for start in range(0, NOTES, 175):
            desk.import_notes(
                [{"customer": "c", "content": f"message {number}"} for number in range(start, start + 175)]
            )
    assert doctor(stack)["Embedder"] == "use-multilingual-3; it has read every note"
    other = hosted(stack, api)
    api.otherwise = lambda body: good(body) if len(api.requests) <= 2 else Scripted(silent=True)
    job = other.spawn("memory", "reembed", "--data", str(stack.data))
    deadline = time.monotonic() + 60
    while len(api.requests) < 3:
        assert time.monotonic() < deadline, other.complaints()
        time.sleep(0.02)
    os.kill(job.pid, signal.SIGKILL)
    job.wait(10)

    api.otherwise = good
    read_before = [text for request in api.requests[:2] for text in request.body["input"]]
    seen = len(api.requests)
    done = reembed(other, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "object": "reembedding", "embedder": "openai:text-embedding-3-small:1024", "read": NOTES - 200, "refused": 0,
    }  # fmt: skip
    read_now = [text for request in api.requests[seen:] for text in request.body["input"]]
    assert sorted(read_before + read_now) == sorted(f"message {number}" for number in range(NOTES))
    assert "notes of quickstart: 150" in done.stderr
    again = reembed(other)
    assert "openai:text-embedding-3-small:1024 has read 0 notes: it had read all of them before" in again.stdout

    # All that time the service has gone on with its own embedder; now it changes to the other one.
    with desk_of(stack) as desk:
        assert desk.search_notes("c", "message 7", limit=1)["data"][0]["content"] == "message 7"
    stack.stop()
    switched = hosted(stack, api).start()
    try:
        assert doctor(switched)["Embedder"] == "openai:text-embedding-3-small:1024; it has read every note"
        with desk_of(switched) as desk:
            (found,) = desk.search_notes("c", "message 7", limit=1)["data"]
            assert (found["content"], round(found["score"] or 0, 4)) == ("message 7", 1)
        switched.stop()
    finally:
        switched.end()
    stack.start()


def test_what_is_wrong_is_said_in_a_line(stack: Stack, api: MessagesApi) -> None:
    other = hosted(stack, api)
    api.otherwise = lambda _: Scripted(401, b"{}")
    with desk_of(stack) as desk:
        desk.add_note("d", "one more")
    refused = reembed(other, "--patience", "0")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "openai:text-embedding-3-small:1024 does not accept its key: HTTP 401." in refused.stderr
    assert "Traceback" not in refused.stderr
    api.otherwise = lambda body: Scripted(400, b"{}") if "one more" in body["input"] else good(body)
    told = reembed(other, "--json")
    assert (told.returncode, json.loads(told.stdout)["refused"]) == (1, 1)
    assert reembed(other, "nobody").stderr == "paywarden: There is no tenant of the name 'nobody'.\n"
    half = Stack(stack.data, PAYWARDEN_EMBEDDER="voyage")
    told = half.command("up", "--data", str(Path(stack.data).parent / "elsewhere"))
    assert (told.returncode, "VOYAGE_API_KEY must be set" in told.stderr) == (2, True)
