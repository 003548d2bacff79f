"""Who asks in the cases: an agent with a key and a mandate that no case can exhaust."""

from dataclasses import dataclass
from uuid import UUID

from bench.service import Service
from paywarden.kit import ids

_PER_PAYMENT_MINOR = 100_000
_PER_DAY_MINOR = 10**14


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent with the role initiate, and its mandate for charges and refunds in usd."""

    id: UUID
    name: str
    key: str
    mandate_id: UUID


def new_agent(service: Service, name: str) -> Agent:
    """Make one over HTTP, as an administrator does."""
    with service.client() as client:

        def post(path: str, **body: object) -> dict[str, str]:
            made: dict[str, str] = client.post(path, json=body).raise_for_status().json()
            return made

        agent = post("/v1/agents", kind="agent", name=name, roles=["initiate"])["id"]
        key = post("/v1/keys", principal=agent)["secret"]
        limits = [
            {"currency": "usd", "window": "payment", "limit_minor": _PER_PAYMENT_MINOR},
            {"currency": "usd", "window": "day", "limit_minor": _PER_DAY_MINOR},
        ]
        kinds = ["charge", "refund"]
        mandate = post("/v1/mandates", principal=agent, name=name, kinds=kinds, limits=limits, timezone="UTC")["id"]
    return Agent(ids.parse("agt", agent), name, key, ids.parse("mdt", mandate))
