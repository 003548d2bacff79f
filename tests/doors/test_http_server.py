"""What the HTTP server itself promises, on real sockets: bounded heads, one packet an answer, a clean end."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from paywarden import http_server

_LIMIT_SECONDS = 20
# Where Linux's struct tcp_info says how many segments with data came in (include/uapi/linux/tcp.h).
_DATA_SEGMENTS_IN = struct.Struct("152xI")
_GET = b"GET /%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class App:
    """Answers with what it was asked: the path, and the body if there is one. ``/slow`` waits until it is let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        self.asked.set()
        if scope["path"] == "/slow":
            await self.let_go.wait()
        said = f"{scope['path']} {body.decode()}".strip()
        response = StreamingResponse(_parts(said)) if scope["path"] == "/parts" else PlainTextResponse(said)
        await response(scope, receive, send)


async def _parts(said: str) -> AsyncIterator[bytes]:
    for number in range(5):
        yield f"{said}-{number};".encode()
        await asyncio.sleep(0)


class Caller:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self, until: bytes) -> bytes:
        return await asyncio.wait_for(self._reader.readuntil(until), _LIMIT_SECONDS)

    async def rest(self) -> bytes:
        """What comes before the server hangs up; it fails when it does not."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self._reader.read(), _LIMIT_SECONDS)
        return b""

    def data_segments_in(self) -> int:
        plain: socket.socket = self._writer.get_extra_info("socket")
        info = plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _DATA_SEGMENTS_IN.size)
        return int(_DATA_SEGMENTS_IN.unpack(info)[0])


class Running:
    """A server, and how to call it."""

    def __init__(self, app: App, request_seconds: float) -> None:
        self.app, self.stopping, self.ready = app, asyncio.Event(), asyncio.Event()
        self._listening = http_server.listen("127.0.0.1", 0)
        self.port: int = self._listening.getsockname()[1]
        self.task = asyncio.create_task(
            http_server.serve(app, self._listening, self.stopping, self.ready.set, request_seconds=request_seconds)
        )

    async def call(self, request: bytes = b"") -> Caller:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.port))
        caller.send(request)
        return caller


@asynccontextmanager
async def running(request_seconds: float = 60) -> AsyncIterator[Running]:
    server = Running(App(), request_seconds)
    await asyncio.wait_for(server.ready.wait(), _LIMIT_SECONDS)
    yield server
    server.app.let_go.set()
    server.stopping.set()
    await asyncio.wait_for(server.task, _LIMIT_SECONDS)


async def test_an_answer_comes_in_one_packet() -> None:
    async with running() as server:
        caller = await server.call()
        for number in range(1, 4):
            caller.send(_GET % b"here")
            assert (await caller.answer(b"/here")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert caller.data_segments_in() == number


async def test_what_is_streamed_comes_whole_and_in_order() -> None:
    async with running() as server:
        caller = await server.call(_GET % b"parts" + _GET % b"then")
        answer = await caller.answer(b"/then")
        said = b"".join(b"/parts-%d;" % number for number in range(5))
        assert b"".join(part for part in answer.split(b"\r\n") if part.startswith(b"/parts-")) == said


async def test_requests_one_behind_the_other_are_answered_in_turn() -> None:
    async with running() as server:
        body = b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
        caller = await server.call(_GET % b"slow" + body + _GET % b"last")
        await server.app.asked.wait()
        server.app.let_go.set()
        answer = await caller.answer(b"/last")
        assert [answer.index(said) for said in (b"/slow", b"/post body", b"/last")] == sorted(
            answer.index(said) for said in (b"/slow", b"/post body", b"/last")
        )


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
async def test_an_upgrade_that_is_not_offered_is_an_ordinary_request(upgrade: bytes) -> None:
    """Some clients ask for HTTP/2 with their first request, whatever it is."""
    asks = b"Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + upgrade + b"\r\nHTTP2-Settings: AA\r\n"
    async with running() as server:
        caller = await server.call(b"POST /up HTTP/1.1\r\n" + asks + b"Content-Length: 4\r\n\r\nbody")
        answer = await caller.answer(b"/up body")
        assert (answer.count(b"HTTP/1.1 "), answer.count(b" 200 OK\r\n")) == (1, 1)
        caller.send(_GET % b"again")
        assert b" 200 OK\r\n" in await caller.answer(b"/again")


@pytest.mark.parametrize("count", [2, 3000])
async def test_upgrades_behind_each_other_are_refused_at_once(count: int) -> None:
    """Reading thousands of them again, each with all the rest, would hold up everybody."""
    wish = b"GET /up HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    async with running() as server:
        caller = await server.call(wish * count)
        assert await caller.rest() == b""
        good = await server.call(_GET % b"good")
        assert b" 200 OK\r\n" in await good.answer(b"/good")


@pytest.mark.parametrize("behind", [b"nonsense\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"])
async def test_nonsense_behind_a_request_is_not_answered_in_its_place(behind: bytes) -> None:
    """Its caller would believe that what was done was refused."""
    async with running() as server:
        caller = await server.call(b"POST /slow HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody" + behind)
        assert await caller.rest() == b""


def _headers(count: int, size: int) -> bytes:
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"x" * size) for number in range(count))
    return b"GET /head HTTP/1.1\r\n" + lines + b"\r\n"


async def test_a_head_has_a_bounded_number_of_headers() -> None:
    async with running() as server:
        most = await server.call(_headers(http_server.MOST_HEADERS, 1))
        assert b" 200 OK\r\n" in await most.answer(b"/head")
        more = await server.call(_headers(http_server.MOST_HEADERS + 1, 1))
        assert (await more.rest()).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("part", [b"GET /" + b"x" * 1000, b"GET /a HTTP/1.1\r\nX: " + b"x" * 1000])
async def test_a_head_has_a_bounded_size(part: bytes) -> None:
    async with running() as server:
        caller = await server.call(part)
        answered = asyncio.create_task(caller.rest())
        for _ in range(http_server.LONGEST_HEAD_BYTES // 1000 + 200):
            caller.send(b"x" * 1000)
            await asyncio.sleep(0)
            if answered.done():
                break
        # Whoever still sends may see the connection break before the answer; this fails when it is kept open.
        await answered
        good = await server.call(_GET % b"good")
        assert b" 200 OK\r\n" in await good.answer(b"/good")


async def test_a_body_is_no_head() -> None:
    async with running() as server:
        size = 2 * http_server.LONGEST_HEAD_BYTES
        caller = await server.call(b"POST /b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 1024):
            caller.send(b"y" * 1024)
            await asyncio.sleep(0)
        assert b" 200 OK\r\n" in await caller.answer(b"\r\n\r\n/b ")


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /a HT",
        _GET % b"first" + b"GET /sec",
        b"POST /b HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET",
        b"POST /b HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf",
    ],
    ids=["nothing", "half a head", "half a second head", "half a head behind a body", "half a body"],
)
async def test_who_does_not_get_on_with_a_request_is_hung_up_on(begun: bytes) -> None:
    async with running(request_seconds=0.2) as server:
        caller = await server.call(begun)
        assert b"GET" not in await caller.rest()


async def test_who_waits_for_an_answer_or_rests_is_not_hung_up_on() -> None:
    async with running(request_seconds=0.1) as server:
        caller = await server.call(_GET % b"rest")
        await caller.answer(b"/rest")
        slow = await server.call(_GET % b"slow")
        hung_up = await server.call()
        assert await hung_up.rest() == b""
        # The look that closed that one met these two as well.
        server.app.let_go.set()
        assert b" 200 OK\r\n" in await slow.answer(b"/slow")
        caller.send(_GET % b"again")
        assert b" 200 OK\r\n" in await caller.answer(b"/again")


async def test_at_the_end_what_is_in_flight_is_answered_and_nothing_else_taken() -> None:
    async with running() as server:
        resting = await server.call(_GET % b"rest")
        await resting.answer(b"/rest")
        server.app.asked.clear()
        slow = await server.call(_GET % b"slow")
        await server.app.asked.wait()
        server.stopping.set()
        assert await resting.rest() == b""
        await _refused(server.port)
        server.app.let_go.set()
        assert (await slow.rest()).endswith(b"/slow")
        await asyncio.wait_for(server.task, _LIMIT_SECONDS)


async def _refused(port: int) -> None:
    deadline = asyncio.get_running_loop().time() + _LIMIT_SECONDS
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        writer.close()
        assert asyncio.get_running_loop().time() < deadline, "it still listens"
        await asyncio.sleep(0.01)


def test_a_port_is_shared_only_by_those_who_agree() -> None:
    with http_server.listen("127.0.0.1", 0, shared=True) as first:
        port = first.getsockname()[1]
        http_server.listen("127.0.0.1", port, shared=True).close()
        with pytest.raises(OSError, match="in use"):
            http_server.listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_other_addresses_of_this_machine(host: str) -> None:
    with http_server.listen(host, 0) as listening:
        assert listening.getsockname()[1]
