"""Routes that are asked thousands of times a second: read and answered without the framework's machinery.

A ``LeanRoute`` is declared like every other route, so the OpenAPI document, the types of its fields and every check are
the same. Its signature is read once, when it is made; at a request nothing is left but to read what it names. For a
``HotRoute`` the caller's key is looked up in what is remembered of it (flow/authority.py), so an endpoint must hand its
``actor`` to a flow that compares the tenant's count of authority changes in the commit: ``hold.create`` does,
``access`` does not.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from fastapi import Request, Response
from fastapi.routing import APIRouter
from pydantic import BaseModel, ValidationError
from starlette.background import BackgroundTask
from starlette.types import Receive, Scope, Send

from paywarden.api import access, idempotency, preferences, problems
from paywarden.api.requests import DoorRequest, DoorRoute, EventRoute, Handler, KeyRoute
from paywarden.flow.words import Actor
from paywarden.kit.errors import InvalidFieldError, PaywardenError

_LOG = structlog.get_logger(__name__)
_ANSWER = "paywarden.hot_answer"
_NO_QUERY: frozenset[str] = frozenset()
_Reader = Callable[[Request], Any]
# How a parameter of an endpoint is read; what is not here, a hot route does not offer.
_READERS: Mapping[Callable[..., Any], _Reader] = {
    access.the_desk: access.desk_of,
    access.the_actor: access.actor_of,
    idempotency.required_key: idempotency.required_key_of,
    idempotency.optional_key: idempotency.key_of,
    preferences.responds_async: preferences.responds_async_of,
}
_encode = msgspec.json.Encoder().encode


class JsonAnswer(Response):
    """An answer of JSON without the general class's care for what it cannot be."""

    def __init__(
        self,
        content: Any,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        self.status_code = status_code
        self.background = background
        self.body = _encode(content)
        self.raw_headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
            *((name.lower().encode(), value.encode()) for name, value in (headers or {}).items()),
        ]


class LeanRoute(DoorRoute):
    """A route that does without the framework, whoever may ask."""

    def get_route_handler(self) -> Handler:
        """What FastAPI would do for this signature, and no more."""
        readers = self._readers()
        body_name, model = self._body()
        endpoint = self.endpoint

        async def answer(request: Request) -> Response:
            # One of the hot routes' own comes as it shall be.
            door = request
            if not isinstance(door, DoorRequest):
                door = DoorRequest(request.scope, request.receive, self.limit_bytes)
            await self.check(door, _NO_QUERY, takes_body=model is not None)
            values = {name: read(door) for name, read in readers}
            if model is not None:
                values[body_name] = _valid(model, await door.json())
            return await endpoint(**values)  # type: ignore[no-any-return]

        return answer

    def _readers(self) -> Sequence[tuple[str, _Reader]]:
        dependant = self.dependant
        if dependant.query_params or dependant.header_params or dependant.cookie_params:
            raise TypeError(f"{self.path}: a hot route takes neither queries nor headers of its own")
        readers = [(each.name, _READERS[each.call]) for each in dependant.dependencies if each.name and each.call]
        readers += [(each.name, _path_reader(each.alias)) for each in dependant.path_params]
        if dependant.request_param_name is not None:
            readers.append((dependant.request_param_name, lambda request: request))
        return readers

    def _body(self) -> tuple[str, type[BaseModel] | None]:
        fields = self.dependant.body_params
        if not fields:
            return "", None
        model = fields[0].field_info.annotation
        if len(fields) > 1 or not isinstance(model, type) or not issubclass(model, BaseModel):
            raise TypeError(f"{self.path}: the body of a hot route is one model")
        return fields[0].name, model


class HotRoute(LeanRoute, KeyRoute):
    """For holders of an API key, who are many and in a hurry."""

    async def admit(self, request: Request) -> Actor | None:
        """The principal of the key as it is remembered."""
        return await access.by_remembered_key(request)


class LeanKeyRoute(LeanRoute, KeyRoute):
    """For holders of an API key, where nothing is committed that would notice what was remembered wrongly."""


class HotEventRoute(LeanRoute, EventRoute):
    """For providers, who tell of every payment."""


class HotRoutes:
    """ASGI application of the hot routes: to be asked what it finds for a request, and then for an answer."""

    def __init__(self, routers: Sequence[APIRouter]) -> None:
        hot = [route for router in routers for route in router.routes if isinstance(route, LeanRoute)]
        answering = [(route, route.get_route_handler()) for route in hot]
        self._by_path = {route.path: (route, answer) for route, answer in answering if not route.param_convertors}
        self._by_form = [(route.path_regex, route, answer) for route, answer in answering if route.param_convertors]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what was found."""
        try:
            response = await scope[_ANSWER](DoorRequest(scope, receive, scope["route"].limit_bytes))
        except PaywardenError as error:
            response = problems.of_own(scope[problems.REQUEST_ID], error)
        await response(scope, receive, send)

    def find(self, scope: Scope) -> bool:
        """Whether this is a request to a hot route, by a method that it has; the scope knows which from then on."""
        if scope["type"] != "http" or (found := self._named(scope)) is None:
            return False
        if scope["method"] not in (found[0].methods or ()):
            return False
        scope["route"], scope[_ANSWER] = found
        return True

    def _named(self, scope: Scope) -> tuple[LeanRoute, Handler] | None:
        path = scope["path"]
        if (found := self._by_path.get(path)) is not None:
            return found
        for form, route, answer in self._by_form:
            if match := form.match(path):
                scope["path_params"] = match.groupdict()
                return route, answer
        return None


def _path_reader(name: str) -> _Reader:
    return lambda request: request.path_params[name]


def _valid(model: type[BaseModel], value: Any) -> BaseModel:
    """Raises InvalidFieldError that names the first field that is wrong."""
    if value is None:
        raise InvalidFieldError("body", "is required")
    try:
        return model.__pydantic_validator__.validate_python(value)  # type: ignore[no-any-return]
    except ValidationError as error:
        raise problems.of_invalid([{**found, "loc": ("body", *found["loc"])} for found in error.errors()]) from None
