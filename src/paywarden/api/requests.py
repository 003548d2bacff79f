"""How a request is read: who asks comes first, then the query, then the body, all strictly, before any route runs."""

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from paywarden.api import access, strict_json
from paywarden.api.problems import BodyTooLargeError, UnsupportedMediaTypeError
from paywarden.flow.words import Actor
from paywarden.kit.errors import InvalidFieldError
from paywarden.kit.text import contains_card_number

JSON_LIMIT_BYTES = 256 * 1024
EVENT_LIMIT_BYTES = 1024 * 1024
# What is longer than a route's limit is still received up to here, and thrown away: whoever is answered while it sends
# sees a broken connection instead of the refusal.
_THROWN_AWAY_BYTES = 4 * 1024 * 1024
_LONGEST_NAME = 64
_JSON = "application/json"
# What servers put where the bytes of an address are no UTF-8; two different addresses would become the same one.
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class DoorRequest(Request):
    """A request whose body is bounded and, if it is JSON, parsed without tolerance."""

    def __init__(self, scope: Scope, receive: Receive, limit_bytes: int) -> None:
        super().__init__(scope, receive)
        self._limit_bytes = limit_bytes

    async def body(self) -> bytes:
        """The whole body. Raises BodyTooLargeError before more than the limit is kept."""
        if not hasattr(self, "_body"):
            if _declared_bytes(self) > _THROWN_AWAY_BYTES:
                raise self._too_large()
            self._body = await self._received()
        return self._body

    async def _received(self) -> bytes:
        kept, size_bytes = bytearray(), 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            size_bytes += len(chunk)
            too_long = size_bytes > self._limit_bytes
            if size_bytes > _THROWN_AWAY_BYTES or (too_long and not more):
                raise self._too_large()
            if not more and not kept:
                return chunk
            if not too_long:
                kept += chunk
            if not more:
                return bytes(kept)

    async def json(self) -> Any:
        """The body as JSON, None when there is no body. Raises InvalidFieldError, UnsupportedMediaTypeError."""
        if not hasattr(self, "_json"):
            body = await self.body()
            self._json = self._parsed(body) if body else None
        return self._json

    def _parsed(self, body: bytes) -> Any:
        types = access.given_headers(self, b"content-type")
        if types != [_JSON] and (len(types) != 1 or types[0].partition(";")[0].strip().lower() != _JSON):
            raise UnsupportedMediaTypeError("Send the body as JSON, with the header Content-Type: application/json.")
        return strict_json.parse(body)

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(f"A body may have at most {self._limit_bytes} bytes here.", param="body")


def _declared_bytes(request: Request) -> int:
    for text in access.given_headers(request, b"content-length"):
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    return 0


class DoorRoute(APIRoute):
    """A route that knows who asks before it reads anything, and reads nothing it does not know."""

    security: ClassVar[list[dict[str, list[str]]]] = []
    limit_bytes: ClassVar[int] = JSON_LIMIT_BYTES
    raw_body: ClassVar[bool] = False

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        options["openapi_extra"] = {"security": self.security, **(options.get("openapi_extra") or {})}
        super().__init__(path, endpoint, **options)

    async def admit(self, request: Request) -> Actor | None:
        """Who asks, None where nobody needs to say. Raises AuthenticationError."""
        return None

    def get_route_handler(self) -> Handler:
        """FastAPI's handler behind the checks of this door."""
        handle = super().get_route_handler()
        names = frozenset(field.alias for field in self.dependant.query_params)
        takes_body = self.body_field is not None

        async def checked(request: Request) -> Response:
            door = DoorRequest(request.scope, request.receive, self.limit_bytes)
            await self.check(door, names, takes_body=takes_body)
            return await handle(door)

        return checked

    async def check(self, door: DoorRequest, query_names: frozenset[str], *, takes_body: bool) -> None:
        """Who asks, then the path and the query, then that the body is JSON. Raises PaywardenError."""
        door.scope[access.ACTOR] = await self.admit(door)
        if _UNREADABLE in door.scope["path"]:
            _check_path(door)
        if door.scope["query_string"]:
            _check_query(door, query_names)
        if door.method != "GET" and not self.raw_body:
            await _check_body(door, takes_body=takes_body)


async def _check_body(request: DoorRequest, *, takes_body: bool) -> None:
    value = await request.json()
    if not takes_body and value not in (None, {}):
        raise InvalidFieldError("body", "must be empty: this route takes no fields")


def _check_path(request: Request) -> None:
    if not _is_utf8(request.scope["raw_path"]):
        named = (name for name, value in request.path_params.items() if _UNREADABLE in value)
        raise InvalidFieldError(next(named, "path"), "must be UTF-8")


def _is_utf8(quoted: bytes) -> bool:
    try:
        unquote_to_bytes(quoted).decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_query(request: Request, names: frozenset[str]) -> None:
    """A name that is not known, or given twice, is refused: nobody can know which value was meant."""
    seen: set[str] = set()
    readable = _is_utf8(request.scope["query_string"])
    for name, value in request.query_params.multi_items():
        plain = name.isascii() and name.isprintable() and len(name) <= _LONGEST_NAME
        if name not in names:
            shown = name if plain and not contains_card_number(name) else "query"
            raise InvalidFieldError(shown, "is not a parameter of this route")
        if name in seen:
            raise InvalidFieldError(name, "must be given once")
        if not readable and _UNREADABLE in value:
            raise InvalidFieldError(name, "must be UTF-8")
        seen.add(name)


class KeyRoute(DoorRoute):
    """For holders of an API key."""

    security: ClassVar[list[dict[str, list[str]]]] = [{"apiKey": []}]

    async def admit(self, request: Request) -> Actor | None:
        """The principal of the key."""
        return await access.by_key(request)


class QuickstartRoute(DoorRoute):
    """For holders of an API key and, on the embedded default, for programs on this machine."""

    security: ClassVar[list[dict[str, list[str]]]] = [{}, {"apiKey": []}]

    async def admit(self, request: Request) -> Actor | None:
        """The principal of the key, or the quick start's own."""
        return await access.by_key_or_local(request)


class EventRoute(DoorRoute):
    """For providers: who they are is proven by the signature of the raw body."""

    limit_bytes: ClassVar[int] = EVENT_LIMIT_BYTES
    raw_body: ClassVar[bool] = True
