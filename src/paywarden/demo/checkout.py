"""The story of the checkout: one agent asks, another looks at the large carts, and neither can do the other's part."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from paywarden.client import AsyncPaywarden, PaywardenApiError
from paywarden.client.objects import Payment
from paywarden.demo.carts import TRUSTED_AT_FIRST_MINOR, Cart, load_carts
from paywarden.demo.cases import CURRENCY
from paywarden.demo.report import Story
from paywarden.demo.stage import MOVING, Payments, Stage, ask, each, hired, outcome, settle

PRICING, FRAUD, BOOKS = "pricing-agent", "fraud-agent", "books-agent"
# Per payment and per day.
_MANDATES = {"charge": (200_000, 100_000_000)}
_UNDECIDED = MOVING | {"in_review"}
_WAIT_SECONDS = 1


async def checkout(stage: Stage) -> Story:
    """Play the carts."""
    carts, payments = load_carts(), Payments()
    refusals: dict[tuple[int, int], str] = {}

    async def pay(cart: Cart) -> None:
        asked = await ask(pricing, _charge(stage, pricing, cart))
        if isinstance(asked, str):
            refusals[cart.number, 1] = asked
        else:
            payments[cart.number, 1] = asked

    async with hired(stage, PRICING, ["initiate"], _MANDATES) as pricing, hired(stage, FRAUD, ["risk"]) as fraud:
        first, second = ([cart for cart in carts if cart.round == number] for number in (1, 2))
        await each(stage, "Shoppers pay small carts", first, pay)
        await settle(stage, pricing, "The provider confirms the small carts", payments)
        async with _watching(stage, fraud):
            await each(stage, "Shoppers pay large carts", second, pay)
            await settle(stage, pricing, "The fraud agent looks at the large ones", payments, _UNDECIDED)
        asked: dict[tuple[int, int], Payment | str] = {**payments, **refusals}
        outcomes = [
            await outcome(pricing, _reference(stage, cart), cart.amount_minor, asked[cart.number, 1]) for cart in carts
        ]
    says = f"{len(carts)} carts: {PRICING} asks, {FRAUD} looks at the large ones, {BOOKS} compares the books"
    return Story("checkout", says, outcomes)


def _reference(stage: Stage, cart: Cart) -> str:
    return f"CART-{stage.run}-{cart.number:02}"


def _customer(stage: Stage, shopper: int) -> str:
    return f"demo-{stage.run}-s{shopper}"


async def _charge(stage: Stage, pricing: AsyncPaywarden, cart: Cart) -> Payment:
    """The cart's reference is its key: asking again never charges twice."""
    reference = _reference(stage, cart)
    return await pricing.charge(
        cart.amount_minor,
        CURRENCY,
        _customer(stage, cart.shopper),
        purpose="checkout",
        reference=reference,
        idempotency_key=reference,
    )


# ---- The fraud agent


@asynccontextmanager
async def _watching(stage: Stage, fraud: AsyncPaywarden) -> AsyncIterator[None]:
    """The fraud agent at work, for as long as there are carts."""
    stop = asyncio.Event()
    work = asyncio.create_task(_watch(stage, fraud, stop))
    try:
        yield
    finally:
        stop.set()
        await work


async def _watch(stage: Stage, fraud: AsyncPaywarden, stop: asyncio.Event) -> None:
    """Wait for reviews of this run's carts, take one at a time, and judge it."""
    while not stop.is_set():
        waiting = (await fraud.list_reviews(role="risk", unclaimed=True, wait_seconds=_WAIT_SECONDS))["data"]
        ours = [review for review in waiting if _is_ours(stage, review["payment"])]
        for review in ours:
            await _judge(fraud, review)
        if waiting and not ours:
            # Somebody else's carts, for another fraud agent: they would be listed again at once.
            await asyncio.sleep(_WAIT_SECONDS)


def _is_ours(stage: Stage, payment: Any) -> bool:
    return str(payment["customer"]).startswith(_customer(stage, 0)[:-1])


async def _judge(fraud: AsyncPaywarden, review: Any) -> None:
    try:
        fence = (await fraud.claim_review(review["id"]))["fence"]
        payment = review["payment"]
        paid = (await fraud.list_payments(customer=payment["customer"], status="succeeded"))["data"]
        stranger = not paid and payment["amount_minor"] >= TRUSTED_AT_FIRST_MINOR
        verdict, reason = ("reject", "a first order of this size") if stranger else ("approve", _history(paid))
        await fraud.give_verdict(review["id"], verdict, reason, action_digest=review["action_digest"], fence=fence)  # type: ignore[arg-type]
    except PaywardenApiError as error:
        if error.status != 409:  # Another fraud agent was there first: that is fine.
            raise


def _history(paid: Sequence[Payment]) -> str:
    return f"paid before: {len(paid)} order{'' if len(paid) == 1 else 's'}"
