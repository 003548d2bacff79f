"""Who asks: the holder of an API key, or on the embedded default a program on this machine."""

import re
from typing import Annotated, cast

from fastapi import Depends, Request

from paywarden.api.problems import REQUEST_ID
from paywarden.api.quickstart_gate import RequestFacts, refusal
from paywarden.flow import access
from paywarden.flow.words import Actor, Desk
from paywarden.kit.errors import AuthenticationError

ACTOR = "paywarden.actor"
_BEARER = re.compile(r"bearer +([\x21-\x7e]{1,512})", re.IGNORECASE | re.ASCII)


def desk_of(request: Request) -> Desk:
    """The desk of this process."""
    return cast(Desk, request.app.state.desk)


def actor_of(request: Request) -> Actor:
    """Who asks; the route has seen to it that somebody does."""
    return cast(Actor, request.scope[ACTOR])


# What an endpoint asks for. Coroutines: FastAPI runs whatever else is callable in a thread, and waits for it.
async def the_desk(request: Request) -> Desk:
    """``desk_of``, for an endpoint."""
    return desk_of(request)


async def the_actor(request: Request) -> Actor:
    """``actor_of``, for an endpoint."""
    return actor_of(request)


def given_headers(request: Request, name: bytes) -> list[str]:
    """Every value that was given under this lower-case name, without looking at the other headers."""
    return [value.decode("latin-1") for given, value in request.scope["headers"] if given == name]


TheDesk = Annotated[Desk, Depends(the_desk)]
TheActor = Annotated[Actor, Depends(the_actor)]


async def by_key(request: Request) -> Actor:
    """The principal of the API key. Raises AuthenticationError."""
    return Actor(await access.authenticate(desk_of(request).pool, _key_of(request)), request.scope[REQUEST_ID])


async def by_remembered_key(request: Request) -> Actor:
    """The same as it is remembered: for flows that make sure of it in their commit. Raises AuthenticationError."""
    standing = await desk_of(request).standings.of_key(_key_of(request))
    return Actor(standing.principal, request.scope[REQUEST_ID], standing)


def _key_of(request: Request) -> str:
    given = given_headers(request, b"authorization")
    if not given:
        raise AuthenticationError("Send your API key: 'Authorization: Bearer pw_...'.")
    found = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        raise AuthenticationError("The Authorization header must be given once, as 'Bearer' and an API key.")
    return found.group(1)


async def by_key_or_local(request: Request) -> Actor:
    """The principal of the API key; without one, the quick start's own if this is a local program."""
    if "authorization" in request.headers:
        return await by_key(request)
    desk = desk_of(request)
    reason = refusal(facts_of(request, desk))
    if reason is not None:
        raise AuthenticationError(f"Send your API key: 'Authorization: Bearer pw_...'. It is needed because {reason}.")
    return Actor(await access.quickstart_principal(desk), request.scope[REQUEST_ID])


def facts_of(request: Request, desk: Desk) -> RequestFacts:
    """What the quick-start gate looks at."""
    headers = request.headers
    return RequestFacts(
        switched_on=desk.settings.keyless_quickstart,
        bound_to=desk.settings.host,
        provider_url=desk.settings.payment_api_url,
        client=request.client.host if request.client else None,
        hosts=tuple(headers.getlist("host")),
        header_names=frozenset(name.lower() for name in headers),
        fetch_sites=tuple(headers.getlist("sec-fetch-site")),
        content_types=tuple(headers.getlist("content-type")),
        has_body=headers.get("content-length", "0") != "0" or "transfer-encoding" in headers,
    )
