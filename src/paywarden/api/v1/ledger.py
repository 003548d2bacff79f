"""``/v1/ledger`` and ``/v1/reconciliation``: the books, and whether the provider's book agrees."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from paywarden.api import documented
from paywarden.api.access import TheActor, TheDesk
from paywarden.api.fields import Body, Identifier, Instant, PageSize, example, path_id
from paywarden.api.pages import Page, after, first_of, page, whole
from paywarden.api.render.ledger import (
    AccountObject,
    DiscrepancyObject,
    PaymentReconciliationObject,
    ReconciliationObject,
    TransferObject,
    TrialBalanceObject,
    account_object,
    discrepancy_object,
    payment_reconciliation_object,
    reconciliation_object,
    transfer_object,
    trial_balance_object,
)
from paywarden.api.requests import KeyRoute
from paywarden.flow import reconcile, story
from paywarden.kit import ids

router = APIRouter(route_class=KeyRoute, tags=["ledger"], prefix="/v1")


class NewRun(Body):
    """The period to compare, by default the last day; ``until`` is exclusive."""

    model_config = example({"since": "2030-01-01T00:00:00Z", "until": "2030-01-02T00:00:00Z"})
    since: Instant | None = None
    until: Instant | None = None


@router.get(
    "/ledger/accounts",
    operation_id="listAccounts",
    summary="Every account with its balances",
    response_model=Page[AccountObject],
    responses=documented.READ,
)
async def accounts(desk: TheDesk, actor: TheActor) -> JSONResponse:
    """By book, asset and code."""
    return JSONResponse(whole([account_object(row) for row in await story.accounts(desk, actor)]))


@router.get(
    "/ledger/transfers",
    operation_id="listTransfers",
    summary="Transfers, newest first",
    response_model=Page[TransferObject],
    responses=documented.READ,
)
async def transfers(
    desk: TheDesk,
    actor: TheActor,
    payment: Annotated[str | None, Query()] = None,
    customer: Annotated[Identifier | None, Query()] = None,
    limit: Annotated[PageSize, Query()] = 20,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> JSONResponse:
    """Committed transfers of the tenant: all, those of one payment, or those on a customer's credit."""
    payment_id = None if payment is None else ids.parse("pay", payment, "payment")
    rows = await story.transfers(
        desk, actor, limit=limit + 1, after=after(cursor), payment_id=payment_id, customer_id=customer
    )
    return JSONResponse(page(rows, limit, transfer_object, lambda row: (row["transaction_id"], row["id"])))


@router.get(
    "/ledger/trial-balance",
    operation_id="getTrialBalance",
    summary="Debits and credits by book and asset",
    response_model=Page[TrialBalanceObject],
    responses=documented.READ,
)
async def trial_balance(desk: TheDesk, actor: TheActor) -> JSONResponse:
    """Every difference is zero, or something is badly wrong."""
    return JSONResponse(whole([trial_balance_object(row) for row in await story.trial_balance(desk, actor)]))


@router.post(
    "/reconciliation/runs",
    operation_id="reconcile",
    summary="Compare the provider's book with ours",
    response_model=ReconciliationObject,
    responses=documented.WRITE,
)
async def run(desk: TheDesk, actor: TheActor, body: NewRun | None = None) -> JSONResponse:
    """Every difference stays open as a discrepancy until it is gone."""
    period = body or NewRun()
    return JSONResponse(reconciliation_object(await reconcile.run(desk, actor, period.since, period.until)))


@router.post(
    "/payments/{payment_id}/reconcile",
    operation_id="reconcilePayment",
    summary="Ask the provider about one payment now",
    response_model=PaymentReconciliationObject,
    responses=documented.WRITE,
)
async def run_one(desk: TheDesk, actor: TheActor, payment_id: str) -> JSONResponse:
    """What the provider proves is booked; what does not agree stays open as a discrepancy."""
    found = await reconcile.one(desk, actor, path_id("pay", payment_id, "There is no such payment."))
    return JSONResponse(payment_reconciliation_object(found))


@router.get(
    "/reconciliation/discrepancies",
    operation_id="listDiscrepancies",
    summary="Differences that somebody must look at, newest first",
    response_model=Page[DiscrepancyObject],
    responses=documented.READ,
)
async def discrepancies(
    desk: TheDesk,
    actor: TheActor,
    status: Annotated[Literal["open", "resolved"], Query()] = "open",
    limit: Annotated[PageSize, Query()] = 100,
) -> JSONResponse:
    """Between our books, and between ours and the provider's."""
    rows = await story.list_discrepancies(desk, actor, status=status, limit=limit + 1)
    return JSONResponse(first_of([discrepancy_object(row) for row in rows], limit))
