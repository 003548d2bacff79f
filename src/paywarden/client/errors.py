"""What a call can end with besides its answer.

PaywardenClientError
  PaywardenUsageError          the call itself is wrong (a ValueError too); nothing was sent
  PaywardenApiError            the service answered with a problem: ``code``, ``status``, ``detail``, ``param``
  PaywardenUnreachableError    no usable answer came; a request for money may still have been taken
"""

from collections.abc import Mapping
from typing import Any


class PaywardenClientError(Exception):
    """Base of what this client raises. ``detail`` is a sentence for people and holds no secret."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class PaywardenUsageError(PaywardenClientError, ValueError):
    """The call itself is wrong; ``param`` names what. Nothing was sent, and asking again changes nothing."""

    def __init__(self, param: str, problem: str) -> None:
        super().__init__(f"The {param} {problem}. Nothing was sent.")
        self.param = param


class PaywardenApiError(PaywardenClientError):
    """A problem of the service. ``param`` names the field at fault, ``extra`` holds what else the problem says.

    A denied or declined payment is such a problem; its id stands in ``extra["payment"]``.
    """

    def __init__(
        self,
        code: str,
        status: int,
        detail: str,
        *,
        param: str | None = None,
        request_id: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status
        self.param = param
        self.request_id = request_id
        self.extra = dict(extra or {})


class PaywardenUnreachableError(PaywardenClientError):
    """Nobody answered. For a request for money: ask again with the same ``idempotency_key`` and pay only once."""

    def __init__(self, detail: str, *, idempotency_key: str | None = None) -> None:
        super().__init__(detail)
        self.idempotency_key = idempotency_key
