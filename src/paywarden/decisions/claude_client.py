"""One call to the Messages API by the official SDK, and the names of the ways in which it can fail.

Importing the SDK takes most of a second and 48 MB: ``claude.py`` imports this module when it first asks.
"""

from collections.abc import AsyncIterator
from functools import cache
from typing import Any, Final

import anthropic
import httpx2
from anthropic.types import OutputConfigParam

from paywarden.decisions.adviser import Effort
from paywarden.decisions.claude_answer import (
    MAX_ANSWER_BYTES,
    AdviserFailedError,
    FailureWord,
    Reply,
    answer_schema,
    read_reply,
)

_STATUS_WORDS: Final[dict[int, FailureWord]] = {
    401: "adviser_unauthenticated",
    403: "adviser_unauthenticated",
    429: "adviser_rate_limited",
    529: "adviser_overloaded",
}
_MAX_REQUEST_ID_CHARACTERS = 255


class ClaudeClient:
    """Connections to the API. It asks once: whether to ask again is for the adviser to know."""

    def __init__(self, api_key: str, base_url: str | None) -> None:
        self._sdk = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            # Every consultation is bounded as a whole.
            timeout=None,
            # A span would carry the case to wherever the environment says.
            open_telemetry=False,
            default_headers={"Accept-Encoding": "identity"},
            # The SDK follows redirects by default, and takes the case along to wherever they lead.
            http_client=anthropic.DefaultAsyncHttpxClient(
                follow_redirects=False, event_hooks={"response": [_bound_answer]}
            ),
        )

    async def ask(self, model: str, max_tokens: int, effort: Effort, system: str, turns: list[dict[str, Any]]) -> Reply:
        """The model's next message. Raises AdviserFailedError when there is none."""
        try:
            answer = await self._sdk.messages.with_raw_response.create(
                model=model,
                max_tokens=max_tokens,
                system=[{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}],
                messages=turns,  # type: ignore[arg-type]
                output_config=_output_config(effort),
            )
        except anthropic.APIStatusError as error:
            raise _refused_call(error) from None
        except anthropic.APIConnectionError as error:
            raise _broken_call(error.__cause__) from None
        return read_reply(answer.http_response.content, _request_id(answer.headers))

    async def close(self) -> None:
        """Give the connections back."""
        await self._sdk.close()


class _OversizedAnswerError(Exception):
    """More than MAX_ANSWER_BYTES, or compressed so that nobody can know."""


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for chunk in self._stream:
            seen += len(chunk)
            if seen > MAX_ANSWER_BYTES:
                raise _OversizedAnswerError
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bound_answer(response: httpx2.Response) -> None:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _OversizedAnswerError
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _BoundedStream(response.stream)


@cache
def _output_config(effort: Effort) -> OutputConfigParam:
    config: OutputConfigParam = {
        "format": {"type": "json_schema", "schema": anthropic.transform_schema(answer_schema())}
    }
    if effort != "unset":
        config["effort"] = effort
    return config


def _refused_call(error: anthropic.APIStatusError) -> AdviserFailedError:
    """The API answered with a status that is no success: it says so itself, and bills nothing."""
    status = error.status_code
    otherwise: FailureWord = "adviser_unavailable" if status >= 500 else "adviser_rejected"
    wait = error.response.headers.get("retry-after", "")
    again = f", to be asked again after {wait} seconds" if wait.isascii() and wait.isdigit() and len(wait) < 6 else ""
    return AdviserFailedError(
        _STATUS_WORDS.get(status, otherwise),
        f"HTTP {status}{again}",
        request_id=_request_id(error.response.headers),
        raw_answer=error.response.text,
        charged=False,
    )


def _broken_call(cause: BaseException | None) -> AdviserFailedError:
    """No whole answer came. Whether the call was billed nobody knows, unless it was never made."""
    match cause:
        case _OversizedAnswerError():
            return AdviserFailedError("adviser_unreadable", f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        case httpx2.ConnectError() | httpx2.ProxyError() | httpx2.UnsupportedProtocol():
            return AdviserFailedError("adviser_unreachable", "no connection to the model's API", charged=False)
        case _:
            kind = type(cause).__name__
            return AdviserFailedError("adviser_disconnected", f"the connection broke before the answer ({kind})")


def _request_id(headers: httpx2.Headers) -> str | None:
    value: str = headers.get("request-id", "")
    printable = value.isascii() and value.isprintable() and 0 < len(value) <= _MAX_REQUEST_ID_CHARACTERS
    return value if printable else None
