"""``/healthz``, ``/readyz``, ``/metrics``: for whoever runs this process."""

from typing import Any, Literal

import structlog
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from paywarden.api import documented
from paywarden.api.access import TheDesk
from paywarden.api.requests import DoorRoute
from paywarden.flow import health
from paywarden.kit.errors import PaywardenError

router = APIRouter(route_class=DoorRoute, tags=["running it"])
_LOG = structlog.get_logger(__name__)
_METRICS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


class Alive(TypedDict):
    """The process answers."""

    status: Literal["ok"]


class Ready(TypedDict):
    """The process can do its work."""

    status: Literal["ready"]
    database: str
    due_payments: int


@router.get("/healthz", operation_id="isAlive", summary="Does the process answer?", response_model=Alive)
async def alive() -> JSONResponse:
    """Says nothing about the database: a process that waits for it should not be killed."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="isReady",
    summary="Can the process do its work?",
    response_model=Ready,
    responses=documented.problems(503),
)
async def ready(desk: TheDesk) -> JSONResponse:
    """503 while the database cannot be reached."""
    return JSONResponse({"status": "ready", **await health.ready(desk)})


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses=_METRICS,
)
async def metrics(request: Request, desk: TheDesk) -> Response:
    """What this process answered; without the gauges of the database while that cannot be reached."""
    try:
        gauges = await health.gauges(desk)
    except PaywardenError as error:
        _LOG.warning("no gauges", code=error.code)
        gauges = {}
    return Response(request.app.state.metrics.text(gauges), media_type=CONTENT_TYPE_LATEST)
