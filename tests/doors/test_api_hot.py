"""What a request does not go through: the framework's layers, and threads that only cost a wait."""

from collections.abc import Iterator
from inspect import iscoroutinefunction

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from paywarden.api import application
from paywarden.api.hot import HotRoutes


@pytest.mark.parametrize(
    ("path", "operation_id"),
    [("/v1/payments", "createPayment"), ("/v1/notes", "createNote"), ("/v1/notes/search", "searchNotes")],
)
def test_what_agents_do_all_day_passes_the_framework_by(path: str, operation_id: str) -> None:
    hot = HotRoutes(application._ROUTERS)
    asked = {"type": "http", "method": "POST", "path": path}
    assert hot.find(asked)
    assert asked["route"].operation_id == operation_id  # type: ignore[attr-defined]
    assert not hot.find({"type": "http", "method": "GET", "path": path})


def test_nothing_that_a_route_needs_waits_for_a_thread() -> None:
    routes = [route for router in application._ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    assert len(routes) > 50
    plain = [(route.path, call) for route in routes for call in calls(route.dependant) if not iscoroutinefunction(call)]
    assert plain == []


def calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from calls(inner)
