"""The billing gate: holds."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from paywarden.client import objects
from paywarden.client.calls.sending import at, get, pay
from paywarden.client.conversation import Conversation, converse
from paywarden.client.objects import Page
from paywarden.kit import ids


def create_hold(
    amount_minor: int,
    currency: str,
    customer: str | None = None,
    *,
    mandate: str | None = None,
    funding: Literal["prepaid", "granted"] | None = None,
    feature: str | None = None,
    expires_in_seconds: int | None = None,
    idempotency_key: str | None = None,
) -> Conversation[objects.Hold]:
    """Hold an amount on a customer's credit, on a mandate's budget, or on both, before what it pays for is done.

    ``funding`` says which credit: prepaid (the default) or granted. Not enough is ``insufficient`` (403).
    """
    return converse(
        pay(
            "/v1/holds",
            idempotency_key,
            amount_minor=amount_minor,
            currency=currency,
            customer=customer,
            mandate=mandate,
            funding=funding,
            feature=feature,
            expires_in=expires_in_seconds,
        )
    )


def create_holds(holds: Sequence[Mapping[str, Any]]) -> Conversation[objects.HoldAnswers]:
    """Hold up to 100 amounts; each stands for itself and is answered in its place.

    Each has the route's fields (``amount_minor, currency, customer`` ...); an absent ``idempotency_key`` is made.
    """
    keyed = [{"idempotency_key": f"pw-{ids.new_uuid()}", **hold} for hold in holds]
    # The keys are the members' own; with one here the call is sent again when its answer got lost.
    return converse(pay("/v1/holds:batch", None, holds=keyed))


def get_hold(hold: str) -> Conversation[objects.Hold]:
    """A hold as it stands."""
    return converse(get(at("holds", hold)))


def list_holds(
    *, customer: str | None = None, status: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Conversation[Page[objects.Hold]]:
    """Holds, newest first."""
    return converse(get("/v1/holds", customer=customer, status=status, limit=limit, cursor=cursor))


def capture_hold(
    hold: str, amount_minor: int, *, final: bool = True, idempotency_key: str | None = None
) -> Conversation[objects.Hold]:
    """Take what it cost, at most what is held. With ``final`` the rest goes back, without it more may be captured."""
    return converse(pay(at("holds", hold, "capture"), idempotency_key, amount_minor=amount_minor, final=final))


def release_hold(hold: str) -> Conversation[objects.Hold]:
    """Give back what is held."""
    # Releasing twice is releasing once; with a key the call is sent again when its answer got lost.
    return converse(pay(at("holds", hold, "release"), None))


def extend_hold(hold: str, expires_in_seconds: int) -> Conversation[objects.Hold]:
    """Let a hold expire so many seconds from now, at most 30 days."""
    # As above: doing it twice does no harm.
    return converse(pay(at("holds", hold, "extend"), None, expires_in=expires_in_seconds))
