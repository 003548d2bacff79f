"""``/v1/mandates`` and ``/v1/tenant``: what may be spent, and the switch that stops everything."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import (
    AmountMinor,
    Body,
    Currency,
    Identifier,
    Instant,
    MandateKind,
    PrincipalId,
    example,
    path_id,
)
from paywarden.api.pages import Page, whole
from paywarden.api.render.authority import MandateObject, TenantObject, mandate_object, tenant_object
from paywarden.api.requests import KeyRoute
from paywarden.api.v1.principals import public_ids
from paywarden.flow import access
from paywarden.flow.words import Actor, Desk, Limit, MandateTerms

router = APIRouter(route_class=KeyRoute, tags=["authority"], prefix="/v1")


class LimitLine(Body):
    """The most a single payment may be, or the budget of a calendar day, in one currency."""

    currency: Currency
    window: Literal["payment", "day"]
    limit_minor: AmountMinor


class NewMandate(Body):
    """What a principal may spend. Every currency needs a budget per day."""

    model_config = example(
        {
            "principal": "agt_01h455vb4pex5vsknk084sn02q",
            "name": "refunds of the support desk",
            "kinds": ["refund"],
            "limits": [
                {"currency": "usd", "window": "payment", "limit_minor": 5000},
                {"currency": "usd", "window": "day", "limit_minor": 100000},
            ],
            "timezone": "Europe/Berlin",
        }
    )
    principal: PrincipalId
    name: Identifier
    kinds: Annotated[list[MandateKind], Field(min_length=1, max_length=4)]
    limits: Annotated[list[LimitLine], Field(min_length=1, max_length=100)]
    timezone: Identifier
    payees: Annotated[list[Identifier], Field(min_length=1, max_length=1000)] | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None

    def terms(self) -> MandateTerms:
        """The same in the flow's words."""
        return MandateTerms(
            principal_id=self.principal,
            name=self.name,
            kinds=tuple(self.kinds),
            limits=tuple(Limit(line.currency, line.window, line.limit_minor) for line in self.limits),
            timezone=self.timezone,
            payees=None if self.payees is None else tuple(self.payees),
            valid_from=self.valid_from,
            valid_until=self.valid_until,
        )


@router.post(
    "/mandates",
    operation_id="createMandate",
    summary="Say what a principal may spend",
    status_code=201,
    response_model=MandateObject,
    responses=documented.WRITE,
)
async def create(desk: TheDesk, actor: TheActor, body: NewMandate) -> JSONResponse:
    """In force at once, or from ``valid_from`` on."""
    mandate = await access.create_mandate(desk, actor, body.terms())
    return JSONResponse(mandate_object(mandate, await public_ids(desk, actor)), 201)


@router.get(
    "/mandates",
    operation_id="listMandates",
    summary="All mandates",
    response_model=Page[MandateObject],
    responses=documented.READ,
)
async def list_mandates(desk: TheDesk, actor: TheActor) -> JSONResponse:
    """Oldest first, revoked ones too."""
    mandates = await access.list_mandates(desk, actor)
    principals = await public_ids(desk, actor)
    return JSONResponse(whole([mandate_object(mandate, principals) for mandate in mandates]))


@router.post(
    "/mandates/{mandate_id}/revoke",
    operation_id="revokeMandate",
    summary="End a mandate",
    response_model=MandateObject,
    responses=documented.WRITE,
)
async def revoke(desk: TheDesk, actor: TheActor, mandate_id: str) -> JSONResponse:
    """What was reserved under it is not sent any more."""
    mandate = await access.revoke_mandate(desk, actor, path_id("mdt", mandate_id, "There is no such mandate."))
    return JSONResponse(mandate_object(mandate, await public_ids(desk, actor)))


@router.post(
    "/tenant/suspend",
    operation_id="suspendTenant",
    summary="The kill switch",
    response_model=TenantObject,
    responses=documented.WRITE,
)
async def suspend(desk: TheDesk, actor: TheActor) -> JSONResponse:
    """Nothing more is sent to any provider."""
    return await _switch(desk, actor, "suspended")


@router.post(
    "/tenant/activate",
    operation_id="activateTenant",
    summary="Undo the kill switch",
    response_model=TenantObject,
    responses=documented.WRITE,
)
async def activate(desk: TheDesk, actor: TheActor) -> JSONResponse:
    """Payments are made again."""
    return await _switch(desk, actor, "active")


async def _switch(desk: Desk, actor: Actor, status: Literal["active", "suspended"]) -> JSONResponse:
    await access.set_tenant_status(desk, actor, status)
    return JSONResponse(tenant_object(actor.tenant_id, status))
