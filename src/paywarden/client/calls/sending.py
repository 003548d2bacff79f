"""How the calls are put together."""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from paywarden.client.conversation import Call
from paywarden.client.usage import checked_id, checked_idempotency_key
from paywarden.kit import ids

T = TypeVar("T")


def get(path: str, **query: str | int | None) -> Call[Any]:
    """A question; what is None is left out of the query."""
    return Call("GET", path, query=given(query))


def post(path: str, **body: Any) -> Call[Any]:
    """A change that is safe to repeat; what is None is left out of the body."""
    return Call("POST", path, given(body))


def pay(path: str, idempotency_key: str | None, *, wait: bool = True, **body: Any) -> Call[Any]:
    """A call that moves money or is billed, with the caller's key or a fresh one."""
    key = f"pw-{ids.new_uuid()}" if idempotency_key is None else checked_idempotency_key(idempotency_key)
    return Call("POST", path, given(body), idempotency_key=key, respond_async=not wait)


def given(values: Mapping[str, T | None]) -> dict[str, T]:
    """What was given."""
    return {name: value for name, value in values.items() if value is not None}


def at(collection: str, identifier: str, verb: str | None = None) -> str:
    """The path of one of a collection, or of what is done to it. Raises PaywardenUsageError."""
    path = f"/v1/{collection}/{quote(checked_id(collection.removesuffix('s'), identifier), safe='')}"
    return f"{path}/{verb}" if verb else path
