"""What came back from the Messages API: an advice, or the name of what it is instead.

The SDK builds its objects without checking them, so what an opinion depends on is read here from the bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as strict_dataclass

from paywarden.decisions.advice import Advice, MalformedAdviceError, parse_advice
from paywarden.decisions.prices import TokenUsage
from paywarden.kit.canonical import loads_strict

FailureWord = Literal[
    "adviser_refused",
    "adviser_truncated",
    "adviser_rate_limited",
    "adviser_overloaded",
    "adviser_unavailable",
    "adviser_unreachable",
    "adviser_disconnected",
    "adviser_unreadable",
    "adviser_unauthenticated",
    "adviser_rejected",
]
MAX_ANSWER_BYTES: Final = 1024 * 1024
_THINKING = frozenset({"thinking", "redacted_thinking"})
_TRUNCATED = frozenset({"max_tokens", "model_context_window_exceeded"})
_STRICT = ConfigDict(extra="ignore", strict=True)
_Count = Annotated[int, Field(ge=0, le=1_000_000_000)]


class AdviserFailedError(Exception):
    """The model gave no opinion. ``detail`` quotes nothing that it or anybody else wrote.

    ``raw_answer`` is what came instead, ``charged`` false when the API is known to bill nothing for the call.
    """

    def __init__(
        self,
        word: FailureWord,
        detail: str,
        *,
        request_id: str | None = None,
        raw_answer: str | None = None,
        charged: bool = True,
    ) -> None:
        super().__init__(f"{word}: {detail}")
        self.request_id = request_id
        self.raw_answer = raw_answer
        self.charged = charged


@dataclass(frozen=True, slots=True)
class Reply:
    """A message of the model. ``text`` is all it wrote, ``content`` its blocks as they came, thoughts included."""

    model: str
    stop_reason: str | None
    text: str
    content: tuple[Mapping[str, Any], ...]
    usage: TokenUsage
    request_id: str | None = None


@strict_dataclass(frozen=True, slots=True, config=_STRICT)
class _Usage:
    input_tokens: _Count
    output_tokens: _Count
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None


@strict_dataclass(frozen=True, slots=True, config=_STRICT)
class _Message:
    type: Literal["message"]
    role: Literal["assistant"]
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@/-]{1,100}\z")]
    stop_reason: str | None
    content: list[dict[str, Any]]
    usage: _Usage


_MESSAGE: TypeAdapter[_Message] = TypeAdapter(_Message)


def read_reply(body: bytes, request_id: str | None) -> Reply:
    """The message in an answer of status 200. Raises AdviserFailedError (``adviser_unreadable``) when it is none."""
    try:
        message = _MESSAGE.validate_json(json.dumps(loads_strict(body)))
    except ValidationError:
        raise _unreadable("the answer is no message of the Messages API", body, request_id) from None
    except ValueError:
        raise _unreadable("the answer is not JSON", body, request_id) from None
    texts = [block.get("text") for block in message.content if block.get("type") == "text"]
    return Reply(
        model=message.model,
        stop_reason=message.stop_reason,
        text="".join(text for text in texts if isinstance(text, str)),
        content=tuple(message.content),
        usage=_usage(message.usage),
        request_id=request_id,
    )


def read_advice(reply: Reply) -> Advice:
    """The opinion in a reply.

    Raises AdviserFailedError for a refusal and a truncation, whatever they hold, and MalformedAdviceError for anything
    that is not exactly one advice.
    """
    if reply.stop_reason == "refusal":
        raise AdviserFailedError("adviser_refused", "the model refused to judge the case")
    if reply.stop_reason in _TRUNCATED:
        raise AdviserFailedError("adviser_truncated", f"the answer was cut at {reply.usage.output} tokens")
    if reply.stop_reason != "end_turn":
        raise MalformedAdviceError("the answer did not come to its end")
    kinds = [block.get("type") for block in reply.content if block.get("type") not in _THINKING]
    if kinds != ["text"]:
        raise MalformedAdviceError("the answer is not exactly one text")
    return parse_advice(reply.text)


def answered_turns(reply: Reply, then: str) -> list[dict[str, Any]]:
    """How the conversation goes on after a reply. Of a reply without words nothing can be sent back."""
    turn = {"role": "user", "content": then}
    if not reply.text.strip():
        return [turn]
    thoughts = [dict(block) for block in reply.content if block.get("type") in _THINKING]
    return [{"role": "assistant", "content": [*thoughts, {"type": "text", "text": reply.text}]}, turn]


def answer_schema() -> dict[str, Any]:
    """The JSON schema of an advice in which, as ``parse_advice`` demands, no field may be left out."""
    schema = TypeAdapter(Advice).json_schema()
    for field in schema["properties"].values():
        field.pop("default", None)
    return {**schema, "required": list(schema["properties"])}


def _usage(usage: _Usage) -> TokenUsage:
    return TokenUsage(
        input=usage.input_tokens,
        output=usage.output_tokens,
        cache_read=usage.cache_read_input_tokens or 0,
        cache_write=usage.cache_creation_input_tokens or 0,
    )


def _unreadable(detail: str, body: bytes, request_id: str | None) -> AdviserFailedError:
    text = body.decode("utf-8", "backslashreplace")
    return AdviserFailedError("adviser_unreadable", detail, request_id=request_id, raw_answer=text)
