"""The ledger, and the provider's book beside it."""

from paywarden.client import objects
from paywarden.client.calls.sending import get, post
from paywarden.client.conversation import Conversation, converse
from paywarden.client.objects import Page


def list_accounts() -> Conversation[Page[objects.Account]]:
    """Every ledger account with its balances."""
    return converse(get("/v1/ledger/accounts"))


def list_transfers(
    *, payment: str | None = None, customer: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Conversation[Page[objects.Transfer]]:
    """Ledger transfers, newest first: all, those of one payment, or those on a customer's credit."""
    return converse(get("/v1/ledger/transfers", payment=payment, customer=customer, limit=limit, cursor=cursor))


def trial_balance() -> Conversation[Page[objects.TrialBalanceLine]]:
    """Debits and credits by book and asset."""
    return converse(get("/v1/ledger/trial-balance"))


def reconcile(*, since: str | None = None, until: str | None = None) -> Conversation[objects.Reconciliation]:
    """Compare the provider's book with the ledger, by default for the last day."""
    return converse(post("/v1/reconciliation/runs", since=since, until=until))


def list_discrepancies(status: str = "open", *, limit: int | None = None) -> Conversation[Page[objects.Discrepancy]]:
    """Differences that somebody must look at, newest first."""
    return converse(get("/v1/reconciliation/discrepancies", status=status, limit=limit))
