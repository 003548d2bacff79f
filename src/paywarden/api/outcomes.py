"""From a payment's state to an HTTP status: taken, waiting for somebody, denied, declined."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from paywarden.api import preferences
from paywarden.api.hot import JsonAnswer
from paywarden.api.idempotency import REPLAYED
from paywarden.flow.words import INSUFFICIENT, Payment
from paywarden.kit.errors import InsufficientFundsError, PaymentDeclinedError, PaymentDeniedError
from paywarden.kit.states import Status

_WAITING = frozenset({Status.IN_REVIEW, Status.NEEDS_FACTS})


def waits(payment: Payment) -> bool:
    """Whether somebody has to look at it, or facts are missing."""
    return payment.status in _WAITING


def refuse_unhappy(payment: Payment) -> None:
    """Raises PaymentDeniedError or InsufficientFundsError with the rule, PaymentDeclinedError for a failed payment."""
    if payment.status is Status.DENIED:
        rule = (payment.reason or "").partition(":")[0]
        told: dict[str, Any] = {
            "payment": payment.public_id,
            "rule": rule,
            "decided_by": payment.decided_by or None,
        }
        said = payment.reason or "default: no rule permits it"
        refusal = InsufficientFundsError if rule == INSUFFICIENT else PaymentDeniedError
        raise refusal(f"A reviewer {said}." if rule == "rejected" else f"Denied by {said}.", **told)
    if payment.status is Status.FAILED:
        raise PaymentDeclinedError(payment.reason or "The provider declined the payment.", payment=payment.public_id)


def answer(
    shown: Mapping[str, Any], payment: Payment, *, taken: int, replayed: bool = False, early: bool = False
) -> Response:
    """The payment as ``shown`` with the status of its state: ``taken``, or 202 while it waits for somebody.

    202 also for an answer that came ``early``, before what the service does next, because its caller preferred that.
    """
    headers = {**({REPLAYED: "true"} if replayed else {}), **(preferences.APPLIED if early else {})}
    return JsonAnswer(shown, 202 if early or waits(payment) else taken, headers=headers)
