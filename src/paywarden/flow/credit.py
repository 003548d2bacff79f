"""Credit: what customers are given to use through the billing gate. Finance gives it; no agent funds its own gate."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from uuid import UUID

from paywarden.audit import events
from paywarden.billing import top_ups
from paywarden.billing.top_ups import Funding, NewTopUp, TopUp
from paywarden.db.transaction import retrying, transaction
from paywarden.flow.desk import DEFAULT_ACCOUNT, Actor, Connection, Desk
from paywarden.identity import principals
from paywarden.kit import ids
from paywarden.kit.errors import ForbiddenError, IdempotencyInProgressError, InvalidFieldError, NotFoundError
from paywarden.kit.money import Money, currency_of
from paywarden.kit.text import clean_id, clean_text
from paywarden.ledger import chart, door
from paywarden.ledger.chart import AccountRef
from paywarden.ledger.intents import Book, Movement
from paywarden.payments import idempotency
from paywarden.payments.idempotency import IdempotentRequest

_ACCOUNTS: Mapping[Funding, Callable[[str, str], AccountRef]] = {
    "granted": chart.granted_credit,
    "prepaid": chart.customer_credit,
}
_SOURCES: Mapping[Funding, Callable[[str], AccountRef]] = {
    "granted": chart.credit_source,
    "prepaid": lambda currency: chart.bank(DEFAULT_ACCOUNT, currency),
}


@dataclass(frozen=True, slots=True)
class Balance:
    """Credit of one kind in one currency, in minor units. ``blocked``: a late fact took it below zero; look first."""

    funding: Funding
    currency: str
    balance_minor: int
    held_minor: int
    blocked: bool

    @property
    def available_minor(self) -> int:
        """What may still be held."""
        return self.balance_minor - self.held_minor


@dataclass(frozen=True, slots=True)
class ToppedUp:
    """The top-up, and whether it is the answer to an earlier request with the same key."""

    top_up: TopUp
    replayed: bool


async def top_up(desk: Desk, actor: Actor, new: NewTopUp, request: IdempotentRequest) -> ToppedUp:
    """Give a customer credit, once for each key: granted, or prepaid with cash that came outside a provider.

    Raises InvalidFieldError, ForbiddenError (needs the role settle or administer), IdempotencyKeyReusedError,
    OverloadedError.
    """
    _require_finance(actor)
    _validate(new)

    async def once() -> ToppedUp:
        async with transaction(desk.pool, actor.tenant_id) as connection:
            top_up_id = ids.new_uuid()
            if not await idempotency.register_top_up(connection, actor.principal.id, request, top_up_id):
                return ToppedUp(await _earlier(connection, actor, request), replayed=True)
            return ToppedUp(await _make(connection, actor, top_up_id, new), replayed=False)

    return await retrying(once)


def _require_finance(actor: Actor) -> None:
    """Whoever only asks for money must not fund its own gate."""
    if not actor.principal.roles & {"settle", "administer"}:
        who = f"{actor.principal.kind} '{actor.principal.name}'"
        raise ForbiddenError(f"This needs the role 'settle' or 'administer', which {who} does not have.")


def _validate(new: NewTopUp) -> None:
    Money(new.amount_minor, new.currency)
    clean_id(new.customer_id, "customer")
    if new.reference is not None:
        clean_id(new.reference, "reference")
    if new.reason is not None:
        clean_text(new.reason, "reason")
    if new.funding == "prepaid" and new.reference is None:
        raise InvalidFieldError(
            "reference", "must say where prepaid cash can be looked up, for example a bank statement"
        )


async def _earlier(connection: Connection, actor: Actor, request: IdempotentRequest) -> TopUp:
    stored = await idempotency.earlier(connection, actor.principal.id, request)
    if stored is None:
        raise IdempotencyInProgressError("The key is being stored; retry in a moment.", retry_after_seconds=1)
    made = None if stored.top_up_id is None else await top_ups.find(connection, stored.top_up_id)
    if made is None:
        raise LookupError("a key without its top-up")
    return made


async def _make(connection: Connection, actor: Actor, top_up_id: UUID, new: NewTopUp) -> TopUp:
    await principals.ensure_customer(connection, new.customer_id)
    made = await top_ups.insert(connection, top_up_id, actor.principal.id, new)
    booking = Book(f"top_up:{made.public_id}", "top_up", [_movement(new)], fact=True)
    (outcome,) = await door.write(connection, [booking])
    if outcome.result != "ok":
        raise RuntimeError(f"the ledger answered {outcome.result} to a top-up")
    await events.record(
        connection,
        "credit.topped_up",
        ("credit_top_up", top_up_id),
        principal_id=actor.principal.id,
        request_id=actor.request_id,
        data=asdict(new),
    )
    return made


def _movement(new: NewTopUp) -> Movement:
    source = _SOURCES[new.funding](new.currency)
    return Movement(source, _ACCOUNTS[new.funding](new.customer_id, new.currency), new.amount_minor)


async def show(desk: Desk, actor: Actor, customer_id: str) -> list[Balance]:
    """A customer's credit, what was granted first; empty for one who never had any.

    Raises InvalidFieldError, NotFoundError.
    """
    clean_id(customer_id, "customer")
    # An account's code is the same in every currency.
    accounts = {funding: account(customer_id, "usd") for funding, account in _ACCOUNTS.items()}
    names = {(account.book, account.code): funding for funding, account in accounts.items()}
    async with transaction(desk.pool, actor.tenant_id) as connection:
        if not await principals.customer_exists(connection, customer_id):
            raise NotFoundError("There is no such customer.")
        rows = await door.accounts_of(connection, list(names))
    return [
        Balance(names[row["book"], row["code"]], currency_of(row["asset"]), row["balance"], row["held"], row["blocked"])
        for row in rows
    ]


async def page(
    desk: Desk, actor: Actor, *, limit: int, after: UUID | None = None, customer_id: str | None = None
) -> list[TopUp]:
    """Top-ups of the tenant, newest first, after the top-up ``after``."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await top_ups.page(connection, limit=limit, after=after, customer_id=customer_id)
