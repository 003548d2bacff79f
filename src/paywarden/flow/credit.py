"""Credit: what customers are given to use through the billing gate.

Finance gives it, and takes back what was given by mistake; no agent funds its own gate.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from paywarden.audit import events
from paywarden.billing import top_ups
from paywarden.billing.top_ups import Funding, NewTopUp, TopUp
from paywarden.db.transaction import retrying, transaction
from paywarden.flow.desk import DEFAULT_ACCOUNT, Actor, Connection, Desk
from paywarden.identity import principals
from paywarden.kit import ids
from paywarden.kit.errors import (
    ForbiddenError,
    IdempotencyInProgressError,
    InsufficientFundsError,
    InvalidFieldError,
    NotFoundError,
    StateConflictError,
)
from paywarden.kit.money import Money, asset, currency_of, display
from paywarden.kit.text import clean_id, clean_text
from paywarden.ledger import chart, door
from paywarden.ledger.chart import AccountRef
from paywarden.ledger.intents import Book, Movement
from paywarden.payments import idempotency
from paywarden.payments.idempotency import IdempotentRequest

ABSENT = "There is no such top-up."
MAX_GIVEN_MINOR = 10**18
"""What all credit of one kind in one currency may come to. A balance counts nine times as much: what providers prove
about the same accounts later always fits."""
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
    """The top-up as it stands, and whether it is the answer to an earlier request with the same key."""

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
    source, account = _accounts(new)
    booking = Book(_operation(made), "top_up", [Movement(source, account, new.amount_minor)], fact=True)
    (outcome,) = await door.write(connection, [booking])
    if outcome.result != "ok":
        raise RuntimeError(f"the ledger answered {outcome.result} to a top-up")
    await _require_room(connection, new, source)
    await events.record(
        connection,
        "credit.topped_up",
        ("credit_top_up", top_up_id),
        principal_id=actor.principal.id,
        request_id=actor.request_id,
        data=asdict(new),
    )
    return made


async def _require_room(connection: Connection, new: NewTopUp, source: AccountRef) -> None:
    """What was just booked still fits; asked afterwards, because then nobody else can book on the source."""
    rows = await door.accounts_of(connection, [(source.book, source.code)])
    (given_minor,) = [row["balance"] for row in rows if row["asset"] == source.asset]
    if given_minor > MAX_GIVEN_MINOR:
        most, before = (display(each, new.currency) for each in (MAX_GIVEN_MINOR, given_minor - new.amount_minor))
        raise InvalidFieldError(
            "amount_minor",
            f"is more than fits: all {new.funding} credit in {new.currency} together may come to {most},"
            f" and {before} was given before; nothing was given now",
        )


def _operation(made: TopUp) -> str:
    return f"top_up:{made.public_id}"


def _accounts(given: NewTopUp | TopUp) -> tuple[AccountRef, AccountRef]:
    """Where the credit comes from, and whose it is."""
    return _SOURCES[given.funding](given.currency), _ACCOUNTS[given.funding](given.customer_id, given.currency)


async def reverse(desk: Desk, actor: Actor, top_up_id: UUID, reason: str, request: IdempotentRequest) -> ToppedUp:
    """Take a wrong top-up back: whole, once, and only while the customer has as much left that is not held.

    Raises InvalidFieldError, ForbiddenError (needs the role settle or administer), NotFoundError,
    IdempotencyKeyReusedError, StateConflictError (it was taken back already), InsufficientFundsError, OverloadedError.
    """
    _require_finance(actor)
    clean_text(reason, "reason")

    async def once() -> ToppedUp:
        async with transaction(desk.pool, actor.tenant_id) as connection:
            made = await top_ups.find(connection, top_up_id)
            if made is None:
                raise NotFoundError(ABSENT)
            if not await idempotency.register_top_up(connection, actor.principal.id, request, made.id):
                return ToppedUp(await _earlier(connection, actor, request), replayed=True)
            return ToppedUp(await _take_back(connection, actor, made, reason), replayed=False)

    return await retrying(once)


async def _take_back(connection: Connection, actor: Actor, made: TopUp, reason: str) -> TopUp:
    if not await top_ups.take_back(connection, made.id, actor.principal.id, reason):
        raise StateConflictError("The top-up was reversed already; the list of top-ups says by whom and why.")
    source, account = _accounts(made)
    booking = Book(_operation(made), "reversal", [Movement(account, source, made.amount_minor)], fact=False)
    (outcome,) = await door.write(connection, [booking])
    if outcome.result == "insufficient":
        raise await _not_enough_left(connection, made)
    if outcome.result != "ok":
        raise RuntimeError(f"the ledger answered {outcome.result} to a reversal")
    await events.record(
        connection,
        "credit.top_up_reversed",
        ("credit_top_up", made.id),
        principal_id=actor.principal.id,
        request_id=actor.request_id,
        data={"customer_id": made.customer_id, "amount_minor": made.amount_minor, "currency": made.currency,
              "funding": made.funding, "reason": reason},
    )  # fmt: skip
    undone = await top_ups.find(connection, made.id)
    assert undone is not None  # noqa: S101  found above, and nothing deletes it
    return undone


async def _not_enough_left(connection: Connection, made: TopUp) -> InsufficientFundsError:
    """What to say when the ledger refuses, under whose locks the balance is read."""
    _, account = _accounts(made)
    rows = await door.accounts_of(connection, [(account.book, account.code)])
    (left,) = [_balance(made.funding, row) for row in rows if row["asset"] == asset(made.currency)]
    available, balance, held = (
        display(amount_minor, left.currency)
        for amount_minor in (left.available_minor, left.balance_minor, left.held_minor)
    )
    blocked = " The account is blocked: look first why it went below zero." if left.blocked else ""
    return InsufficientFundsError(
        f"Nothing was taken back: the top-up was {made.display}, and the customer has {available} of {left.funding}"
        f" credit available ({balance} less {held} held).{blocked}",
        available_minor=left.available_minor,
    )


def _balance(funding: Funding, row: Mapping[str, Any]) -> Balance:
    return Balance(funding, currency_of(row["asset"]), row["balance"], row["held"], row["blocked"])


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
    return [_balance(names[row["book"], row["code"]], row) for row in rows]


async def page(
    desk: Desk, actor: Actor, *, limit: int, after: UUID | None = None, customer_id: str | None = None
) -> list[TopUp]:
    """Top-ups of the tenant, newest first, after the top-up ``after``."""
    async with transaction(desk.pool, actor.tenant_id) as connection:
        return await top_ups.page(connection, limit=limit, after=after, customer_id=customer_id)
