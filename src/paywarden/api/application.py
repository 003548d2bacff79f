"""The application: routes, problems, envelope, and the desk for as long as it serves."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from paywarden.api import health, openapi, problems
from paywarden.api.envelope import Envelope
from paywarden.api.hot import HotRoutes
from paywarden.api.metrics import Metrics
from paywarden.api.quickstart import agents, decisions, knowledge, payments, webhooks
from paywarden.api.v1 import attestations, authority, credits, facts, held, holds, ledger, notes, principals, reviews
from paywarden.api.v1 import decisions as v1_decisions
from paywarden.api.v1 import payments as v1_payments
from paywarden.flow.words import Desk

OpenDesk = Callable[[], AbstractAsyncContextManager[Desk]]
_ROUTERS = (
    *(module.router for module in (payments, agents, webhooks, decisions, knowledge)),
    v1_payments.hot,
    notes.lean,
    *(
        module.router
        for module in (
            v1_payments,
            holds,
            held,
            facts,
            attestations,
            reviews,
            notes,
            v1_decisions,
            authority,
            principals,
            ledger,
            credits,
        )
    ),
    health.router,
)


class Application(FastAPI):
    """FastAPI with a door beside it: a request to a hot route does not go through its layers."""

    hot: HotRoutes
    hot_door: Envelope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not self.hot.find(scope):
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self.hot_door(scope, receive, send)


def build(open_desk: OpenDesk, process: str | None = None) -> FastAPI:
    """The ASGI application; it opens its desk when it starts to serve and gives it back at the end.

    ``process`` is which one of several it is that share a port.
    """
    metrics = Metrics(process)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_desk() as desk:
            app.state.desk = desk
            yield

    # No page that loads scripts from elsewhere: it would share the origin of the routes that pay without a key.
    app = Application(
        title="Paywarden",
        version=openapi.VERSION,
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.metrics = metrics
    for router in _ROUTERS:
        app.include_router(router)
    problems.install(app)
    openapi.install(app)
    app.hot = HotRoutes(_ROUTERS)
    app.hot_door = Envelope(app.hot, metrics)
    app.add_middleware(Envelope, metrics=metrics)
    return app
