"""The Idempotency-Key header, and the fingerprint that ties a key to one request."""

import re
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from paywarden.flow.words import IdempotentRequest
from paywarden.kit.canonical import digest
from paywarden.kit.errors import InvalidFieldError

REPLAYED = "Idempotent-Replayed"
_HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_SCHEMA: dict[str, Any] = {"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}


def _checked_key(request: Request) -> str | None:
    given = request.headers.getlist(_HEADER)
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise InvalidFieldError(_HEADER, "must be given once, as 1 to 255 visible ASCII characters")
    return given[0]


def _optional_key(
    request: Request,
    _: Annotated[
        str | None,
        Header(alias=_HEADER, description="The same for each retry of one request.", json_schema_extra=_SCHEMA),
    ] = None,
) -> str | None:
    return _checked_key(request)


def _required_key(
    request: Request,
    _: Annotated[
        str,
        Header(
            alias=_HEADER,
            description="New for each payment, the same for each retry of it. Kept for 30 days.",
            json_schema_extra=_SCHEMA,
        ),
    ],
) -> str:
    key = _checked_key(request)
    assert key is not None  # noqa: S101  the header is required
    return key


OptionalKey = Annotated[str | None, Depends(_optional_key)]
RequiredKey = Annotated[str, Depends(_required_key)]


async def keyed(request: Request, key: str | None) -> IdempotentRequest | None:
    """The key with the SHA-256 of (method, path, sorted query, canonical body); None without a key.

    To be called when the body is known to be valid, so that what is wrong with it is told by its field.
    """
    if key is None:
        return None
    query = sorted([name, value] for name, value in request.query_params.multi_items())
    parts = [request.method, request.url.path, query, await request.json()]
    return IdempotentRequest(key, digest(parts))
