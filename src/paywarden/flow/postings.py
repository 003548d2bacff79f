"""The posting table: what each kind of payment holds and books. Source: docs/decisions/0002-chart-of-accounts.md."""

from collections.abc import Sequence

from paywarden.guardrails.mandates import AuthorityLine
from paywarden.ledger import chart
from paywarden.ledger.chart import AccountRef
from paywarden.ledger.intents import Line, Movement, WindowGrant
from paywarden.payments.rows import NewPayment, Payment


def hold_lines(payment: Payment | NewPayment, authority: Sequence[AuthorityLine]) -> list[Line]:
    """Authority for every kind; a payout also holds the funds it is paid from."""
    lines = budget_lines(authority, payment.currency)
    if payment.kind == "payout" and payment.provider and payment.provider_account:
        funds = chart.provider_clearing(payment.provider, payment.provider_account, payment.currency)
        lines.append(Line(_spent_on(payment), funds, held="credit"))
    return lines


def budget_lines(authority: Sequence[AuthorityLine], currency: str) -> list[Line]:
    """What a hold promises of a mandate's budgets."""
    return [
        Line(
            chart.authority_window(line.mandate_id, line.window.key, currency),
            chart.authority_spent(line.mandate_id, currency),
        )
        for line in authority
    ]


def window_grants(authority: Sequence[AuthorityLine], currency: str) -> list[WindowGrant]:
    """The budget windows these lines draw on."""
    return [
        WindowGrant(
            line.mandate_id,
            line.window.key,
            currency,
            line.limit_minor,
            chart.authority_window(line.mandate_id, line.window.key, currency),
            chart.authority_source(currency),
        )
        for line in authority
    ]


def success_movements(payment: Payment) -> list[Movement]:
    """What a provider's success books in money beside the hold's own lines. A manual settlement books nothing."""
    if payment.bare or payment.provider is None or payment.provider_account is None:
        return []
    clearing = chart.provider_clearing(payment.provider, payment.provider_account, payment.currency)
    revenue = chart.revenue(payment.currency)
    match payment.kind:
        case "charge":
            return [Movement(clearing, revenue, payment.amount_minor)]
        case "refund":
            return [Movement(revenue, clearing, payment.amount_minor)]
        case "payout":
            # The hold's second line is this very movement; without a hold the provider's word alone books it.
            if payment.hold_id is not None:
                return []
            return [Movement(_spent_on(payment), clearing, payment.amount_minor)]


def _spent_on(payment: Payment | NewPayment) -> AccountRef:
    return chart.expense(payment.purpose or "payout", payment.currency)
