"""Providers' events: verified over the raw body, durable before the answer, applied right after it."""

from uuid import UUID

import structlog
from fastapi import APIRouter, Request
from starlette.background import BackgroundTask

from paywarden.api import documented
from paywarden.api.access import TheDesk
from paywarden.api.hot import HotEventRoute, JsonAnswer
from paywarden.api.render.quickstart import ReceivedEvent
from paywarden.flow import event_groups, provider_event
from paywarden.flow.words import Desk, Endpoint
from paywarden.kit.errors import OverloadedError

router = APIRouter(route_class=HotEventRoute, tags=["webhooks in"], prefix="/webhooks")
_LOG = structlog.get_logger(__name__)
_EVENT = {
    "parameters": [
        {
            "name": "X-Signature",
            "in": "header",
            "required": True,
            "description": "Hexadecimal HMAC-SHA256 of the body with the endpoint's secret.",
            "schema": {"type": "string"},
        }
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
}


@router.post(
    "/payments",
    operation_id="receiveQuickstartEvent",
    summary="Receive an event of the quick-start tenant's provider",
    response_model=ReceivedEvent,
    responses=documented.EVENT,
    openapi_extra=_EVENT,
)
async def receive_quickstart(request: Request, desk: TheDesk) -> JsonAnswer:
    """A repeat of an event is received like the first and changes nothing."""
    return await _receive(request, desk, provider_event.quickstart_endpoint(desk))


@router.post(
    "/payments/{provider}/{endpoint}",
    operation_id="receiveEvent",
    summary="Receive an event at a registered endpoint",
    response_model=ReceivedEvent,
    responses=documented.EVENT,
    openapi_extra=_EVENT,
)
async def receive(request: Request, desk: TheDesk, provider: str, endpoint: str) -> JsonAnswer:
    """The endpoint names the tenant, the account at the provider and the secret."""
    return await _receive(request, desk, await provider_event.endpoint(desk, provider, endpoint))


async def _receive(request: Request, desk: Desk, endpoint: Endpoint) -> JsonAnswer:
    signatures = request.headers.getlist("x-signature")
    signature = signatures[0] if len(signatures) == 1 else None
    stored = await provider_event.receive(desk, endpoint, await request.body(), signature)
    apply = None if stored is None else BackgroundTask(_apply_soon, desk, endpoint.tenant_id, stored)
    return JsonAnswer({"ok": True, "received": True}, background=apply)


async def _apply_soon(desk: Desk, tenant_id: UUID, inbox_id: UUID) -> None:
    """Only faster than waiting for the worker, which applies whatever is left here."""
    try:
        await event_groups.apply_soon(desk, tenant_id, inbox_id)
    except OverloadedError:
        _LOG.debug("the event is left to the worker")
    except Exception:
        _LOG.warning("the event is left to the worker", exc_info=True)
