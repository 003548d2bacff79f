"""``/v1/agents`` and ``/v1/keys``: agents, people and services, and the keys they come with."""

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import Body, Identifier, PrincipalId, example, path_id, path_principal_id
from paywarden.api.pages import Page, whole
from paywarden.api.render.authority import AgentObject, KeyObject, NewKeyObject, agent_object, key_object
from paywarden.api.requests import KeyRoute
from paywarden.flow import access
from paywarden.flow.words import Actor, Desk
from paywarden.kit.roles import ROLES, Role

router = APIRouter(route_class=KeyRoute, tags=["agents and keys"], prefix="/v1")
_TEN_YEARS_SECONDS = 10 * 365 * 24 * 3600


class NewAgent(Body):
    """Who is to act, and in which roles."""

    model_config = example({"kind": "agent", "name": "refund-bot", "roles": ["initiate"]})
    kind: Literal["agent", "person", "service"] = "agent"
    name: Identifier
    roles: Annotated[list[Role], Field(max_length=len(ROLES))]


class NewKey(Body):
    """Whose key, and for how long; without a time it works until it is revoked."""

    model_config = example({"principal": "agt_01h455vb4pex5vsknk084sn02q", "expires_in_seconds": 2_592_000})
    principal: PrincipalId
    expires_in_seconds: Annotated[int, Field(ge=1, le=_TEN_YEARS_SECONDS)] | None = None


async def public_ids(desk: Desk, actor: Actor) -> Mapping[UUID, str]:
    """The public ids of the tenant's principals, whose prefix tells their kind."""
    return {principal.id: principal.public_id for principal in await access.list_principals(desk, actor)}


@router.post(
    "/agents",
    operation_id="createAgent",
    summary="A new agent, person or service",
    status_code=201,
    response_model=AgentObject,
    responses=documented.WRITE,
)
async def create_agent(desk: TheDesk, actor: TheActor, body: NewAgent) -> JSONResponse:
    """It can do nothing before it has a key, and spend nothing before it has a mandate."""
    created = await access.create_agent(desk, actor, body.kind, body.name, list(body.roles))
    return JSONResponse(agent_object(created), 201)


@router.get(
    "/agents",
    operation_id="listAgents",
    summary="All agents, people and services",
    response_model=Page[AgentObject],
    responses=documented.READ,
)
async def list_agents(desk: TheDesk, actor: TheActor) -> JSONResponse:
    """Oldest first."""
    return JSONResponse(whole([agent_object(each) for each in await access.list_principals(desk, actor)]))


@router.post(
    "/agents/{agent_id}/suspend",
    operation_id="suspendAgent",
    summary="Stop a principal at once",
    response_model=AgentObject,
    responses=documented.WRITE,
)
async def suspend(desk: TheDesk, actor: TheActor, agent_id: str) -> JSONResponse:
    """Its keys stop working, and what it reserved is not sent."""
    changed = await access.set_principal_status(desk, actor, path_principal_id(agent_id), "suspended")
    return JSONResponse(agent_object(changed))


@router.post(
    "/agents/{agent_id}/activate",
    operation_id="activateAgent",
    summary="Let a suspended principal act again",
    response_model=AgentObject,
    responses=documented.WRITE,
)
async def activate(desk: TheDesk, actor: TheActor, agent_id: str) -> JSONResponse:
    """Its keys work again."""
    changed = await access.set_principal_status(desk, actor, path_principal_id(agent_id), "active")
    return JSONResponse(agent_object(changed))


@router.post(
    "/keys",
    operation_id="createKey",
    summary="A new API key, shown this once",
    status_code=201,
    response_model=NewKeyObject,
    responses=documented.WRITE,
)
async def create_key(desk: TheDesk, actor: TheActor, body: NewKey) -> JSONResponse:
    """Only its hash is kept."""
    row, secret = await access.create_key(desk, actor, body.principal, body.expires_in_seconds)
    return JSONResponse({**key_object(row, await public_ids(desk, actor)), "secret": secret}, 201)


@router.get(
    "/keys",
    operation_id="listKeys",
    summary="All keys, without their secrets",
    response_model=Page[KeyObject],
    responses=documented.READ,
)
async def list_keys(desk: TheDesk, actor: TheActor) -> JSONResponse:
    """Newest first."""
    rows = await access.list_keys(desk, actor)
    principals = await public_ids(desk, actor)
    return JSONResponse(whole([key_object(row, principals) for row in rows]))


@router.post(
    "/keys/{key_id}/revoke",
    operation_id="revokeKey",
    summary="End a key at once",
    response_model=KeyObject,
    responses=documented.WRITE,
)
async def revoke_key(desk: TheDesk, actor: TheActor, key_id: str) -> JSONResponse:
    """Ending it twice changes nothing."""
    row = await access.revoke_key(desk, actor, path_id("key", key_id, "There is no such key."))
    return JSONResponse(key_object(row, await public_ids(desk, actor)))
