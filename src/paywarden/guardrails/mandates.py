"""Mandates: what a principal may spend. Static rules here; the budgets themselves are balances of the ledger."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from paywarden.guardrails import windows
from paywarden.guardrails.facts import Check, MandateKind, Spending
from paywarden.kit import ids
from paywarden.kit.clock import rfc3339
from paywarden.kit.errors import PaymentDeniedError
from paywarden.kit.money import asset, display

LimitWindow = Literal["payment", "day"]
NO_MANDATE = "no_mandate"


@dataclass(frozen=True, slots=True)
class Limit:
    """The most a single payment may be, or the budget of a calendar day, in one currency."""

    currency: str
    window: LimitWindow
    limit_minor: int


@dataclass(frozen=True, slots=True)
class Mandate:
    """A standing permission. ``payees``: the counterparties it is for, None for any; ``valid_until`` is exclusive."""

    id: UUID
    principal_id: UUID
    name: str
    kinds: frozenset[MandateKind]
    payees: frozenset[str] | None
    limits: tuple[Limit, ...]
    timezone: str
    valid_from: datetime
    valid_until: datetime | None
    status: Literal["active", "revoked"]
    version: int
    # A currency without a budget is not covered.
    currencies: frozenset[str] = field(init=False, compare=False, repr=False)
    # Its static rules as they are told of every payment that passes them all, made once.
    passed: tuple[Check, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        budgets = frozenset(limit.currency for limit in self.limits if limit.window == "day")
        object.__setattr__(self, "currencies", budgets)
        object.__setattr__(self, "passed", tuple(_told(rule, True, detail) for rule, detail in _rules(self)))

    def limit_minor(self, currency: str, window: LimitWindow) -> int | None:
        """The limit of this currency and window in minor units, None when there is none."""
        for limit in self.limits:
            if (limit.currency, limit.window) == (currency, window):
                return limit.limit_minor
        return None

    def names_payee(self, payee: str, now: datetime) -> bool:
        """Whether it stands now, is for payouts, and names this payee."""
        stands = self.status == "active" and _valid(self, now) and "payout" in self.kinds
        return stands and self.payees is not None and payee in self.payees


class Choice(Struct, frozen=True):
    """The mandate a payment rests on, or None and the checks that say why there is none."""

    mandate: Mandate | None
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """What refused it; its first rule is the one to name."""
        return tuple(check for check in self.checks if check.result == "fail")


class AuthorityLine(Struct, frozen=True):
    """Authority to hold: ``amount_minor`` of the window's account, which is granted ``limit_minor`` when it opens."""

    mandate_id: UUID
    window: windows.Window
    account_code: str
    asset: str
    amount_minor: int
    limit_minor: int


def choose(mandates: Sequence[Mandate], facts: Spending, now: datetime, named: UUID | None = None) -> Choice:
    """The mandate named by the caller, else the oldest of the principal's own that passes every check."""
    candidates = sorted(_candidates(mandates, facts, named), key=lambda mandate: mandate.id)
    if not candidates:
        what = "the named mandate is not one" if named else "there is no active mandate"
        return Choice(None, (Check(NO_MANDATE, "fail", f"{what} of this principal for {facts.kind} {facts.currency}"),))
    choices = [Choice(mandate, check(mandate, facts, now)) for mandate in candidates]
    fitting = (choice for choice in choices if not choice.failed)
    return next(fitting, Choice(None, choices[0].checks))


def check(mandate: Mandate, facts: Spending, now: datetime) -> tuple[Check, ...]:
    """Every static rule of a mandate against a payment; whether the day's budget suffices is the ledger's to say."""
    results = tuple(_results(mandate, facts, now))
    if all(results):
        found = mandate.passed
    else:
        named = zip(_rules(mandate), results, strict=True)
        found = tuple(_told(rule, passed, detail) for (rule, detail), passed in named)
    most = mandate.limit_minor(facts.currency, "payment")
    if most is None:
        return found
    asked = display(facts.amount_minor, facts.currency)
    detail = f"at most {display(most, facts.currency)} a payment; this is {asked}"
    return (*found, _told("payment_limit", facts.amount_minor <= most, detail))


def authority_lines(mandate: Mandate, facts: Spending, now: datetime) -> tuple[AuthorityLine, ...]:
    """What the ledger must hold of this mandate's budgets.

    Raises PaymentDeniedError (``mandate_timezone``, ``mandate_currency``) instead of ever returning no budget at all.
    """
    limit_minor = mandate.limit_minor(facts.currency, "day")
    if limit_minor is None:
        raise PaymentDeniedError(f"the mandate has no budget in {facts.currency}", rule="mandate_currency")
    window = windows.day(mandate.timezone, now)
    mandate_text = ids.to_text("mdt", mandate.id)
    return (
        AuthorityLine(
            mandate_id=mandate.id,
            window=window,
            account_code=f"authority/{mandate_text}/{window.key}",
            asset=asset(facts.currency),
            amount_minor=facts.amount_minor,
            limit_minor=limit_minor,
        ),
    )


def exhausted(mandate: Mandate, lines: Sequence[AuthorityLine], currency: str) -> str:
    """What to tell people when the ledger has too little left of these budgets."""
    budgets = ", ".join(
        f"{display(line.limit_minor, currency)} for {line.window.key.removeprefix('day:')}" for line in lines
    )
    return (
        f"too little is left of the mandate's budget of {budgets} (a new day begins at midnight in {mandate.timezone})"
    )


def _candidates(mandates: Sequence[Mandate], facts: Spending, named: UUID | None) -> Iterator[Mandate]:
    for mandate in mandates:
        if mandate.principal_id != facts.principal_id:
            continue
        covers = mandate.status == "active" and facts.kind in mandate.kinds and facts.currency in mandate.currencies
        if mandate.id == named or (named is None and covers):
            yield mandate


def _rules(mandate: Mandate) -> Iterator[tuple[str, str]]:
    """Its static rules, each with a sentence that is true whether it passes or not."""
    yield "principal", "a mandate is its own principal's alone"
    yield "status", f"the mandate is {mandate.status}"
    yield "validity", f"valid from {rfc3339(mandate.valid_from)}{_until(mandate)}"
    yield "kind", f"it is for {', '.join(sorted(mandate.kinds))}"
    yield "currency", f"it has budgets in {', '.join(sorted(mandate.currencies))}"
    yield "payee", _payees(mandate)
    yield "timezone", f"its days are those of {mandate.timezone}"


def _results(mandate: Mandate, facts: Spending, now: datetime) -> Iterator[bool]:
    """Whether a payment passes them, in their order."""
    yield mandate.principal_id == facts.principal_id
    yield mandate.status == "active"
    yield _valid(mandate, now)
    yield facts.kind in mandate.kinds
    yield facts.currency in mandate.currencies
    yield mandate.payees is None or facts.counterparty in mandate.payees
    yield _zone_known(mandate)


def _told(rule: str, passed: bool, detail: str) -> Check:
    return Check(f"mandate_{rule}", "pass" if passed else "fail", detail)


def _valid(mandate: Mandate, now: datetime) -> bool:
    return mandate.valid_from <= now and (mandate.valid_until is None or now < mandate.valid_until)


def _until(mandate: Mandate) -> str:
    return f" until {rfc3339(mandate.valid_until)}" if mandate.valid_until else ""


def _payees(mandate: Mandate) -> str:
    return "it is for any counterparty" if mandate.payees is None else "it is for named counterparties only"


def _zone_known(mandate: Mandate) -> bool:
    try:
        windows.zone(mandate.timezone)
    except PaymentDeniedError:
        return False
    return True
