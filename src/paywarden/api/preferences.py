"""The Prefer header (RFC 7240): ``respond-async`` asks for the answer before the service goes on with the work."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Header, Request

from paywarden.api.access import given_headers

RESPOND_ASYNC = "respond-async"
APPLIED: Mapping[str, str] = {"Preference-Applied": RESPOND_ASYNC}
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def responds_async_of(request: Request) -> bool:
    """Whether the caller does not want to wait."""
    return any(prefers_async(given) for given in given_headers(request, b"prefer"))


async def responds_async(
    request: Request,
    _: Annotated[
        str | None,
        Header(
            alias="Prefer",
            description=f"`{RESPOND_ASYNC}`: answer 202 as soon as the payment is stored and what its rules alone can "
            "decide is decided; a worker does the rest. Other preferences are ignored.",
            json_schema_extra={"examples": [RESPOND_ASYNC]},
        ),
    ] = None,
) -> bool:
    return responds_async_of(request)


# The same few are sent all day.
@lru_cache(maxsize=64)
def prefers_async(header: str) -> bool:
    """Whether one Prefer header names ``respond-async``; what else it names is ignored, as the RFC wants it."""
    return any(
        re.split(r"[;=]", preference, maxsplit=1)[0].strip().lower() == RESPOND_ASYNC
        for preference in _QUOTED.sub("", header).split(",")
    )


RespondAsync = Annotated[bool, Depends(responds_async)]
