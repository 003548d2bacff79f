"""The errors of Paywarden: each names a fact and has one code and one HTTP status.

PaywardenError
  InvalidFieldError            400 invalid_field          a value of the caller is not allowed; names the field
  AuthenticationError          401 unauthenticated
  ForbiddenError               403 forbidden              the principal's roles do not allow this
  PaymentDeniedError           403 denied                 policy or a mandate refused; names the rule
  InsufficientFundsError       403 insufficient           authority or funds do not cover it
  PaymentDeclinedError         402 declined               the provider refused, with its own evidence
  NotFoundError                404 not_found
  IdempotencyKeyMissingError   400 idempotency_key_missing
  IdempotencyKeyReusedError    422 idempotency_key_reused  same key, other request
  IdempotencyInProgressError   409 idempotency_in_progress the first call still runs; retry after a moment
  StateConflictError           409 state_conflict         the row is in a state that does not allow this
  AmbiguousJobError            409 ambiguous_job          names the candidates
  NotSettledAtProviderError    409 not_settled_at_provider
  ReviewConflictError          409 review_conflict        digest, expiry or separation of duties
  HoldExpiredError             409 hold_expired
  CaptureTooLargeError         422 capture_too_large
  AuthorityChangedError        409 authority_changed      a mandate, role or switch changed in the meantime
  EmbedderUnavailableError     503 embedder_unavailable   texts cannot be turned into vectors now; no note is lost
  OverloadedError              503 overloaded             retry after the given seconds, with the same key
  InternalError                500 internal_error         our own fault; the log has it under the request id
  ConfigurationError           (start-up only)
"""

from typing import Any, ClassVar


class PaywardenError(Exception):
    """Base of every error that a caller may see. ``detail`` is a sentence for people and holds no secret."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something is wrong"

    def __init__(
        self, detail: str, *, param: str | None = None, retry_after_seconds: int | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        self.extra = extra


class InvalidFieldError(PaywardenError):
    code, status, title = "invalid_field", 400, "A field is not valid"

    def __init__(self, param: str, problem: str) -> None:
        super().__init__(f"{param} {problem}", param=param)


class AuthenticationError(PaywardenError):
    code, status, title = "unauthenticated", 401, "No valid API key"


class ForbiddenError(PaywardenError):
    code, status, title = "forbidden", 403, "Not allowed for this principal"


class PaymentDeniedError(PaywardenError):
    code, status, title = "denied", 403, "Denied by a rule"


class InsufficientFundsError(PaywardenError):
    code, status, title = "insufficient", 403, "Not enough authority or funds"


class PaymentDeclinedError(PaywardenError):
    code, status, title = "declined", 402, "Declined by the provider"


class NotFoundError(PaywardenError):
    code, status, title = "not_found", 404, "Not found"


class IdempotencyKeyMissingError(PaywardenError):
    code, status, title = "idempotency_key_missing", 400, "An Idempotency-Key header is required"


class IdempotencyKeyReusedError(PaywardenError):
    code, status, title = "idempotency_key_reused", 422, "The idempotency key belongs to another request"


class IdempotencyInProgressError(PaywardenError):
    code, status, title = "idempotency_in_progress", 409, "The first request with this key still runs"


class StateConflictError(PaywardenError):
    code, status, title = "state_conflict", 409, "Not possible in this state"


class AmbiguousJobError(PaywardenError):
    code, status, title = "ambiguous_job", 409, "Several jobs could be meant"


class NotSettledAtProviderError(PaywardenError):
    code, status, title = "not_settled_at_provider", 409, "The provider does not say it is paid"


class ReviewConflictError(PaywardenError):
    code, status, title = "review_conflict", 409, "This verdict does not count"


class HoldExpiredError(PaywardenError):
    code, status, title = "hold_expired", 409, "The hold has expired"


class CaptureTooLargeError(PaywardenError):
    code, status, title = "capture_too_large", 422, "More than is held"


class AuthorityChangedError(PaywardenError):
    code, status, title = "authority_changed", 409, "Authority changed in the meantime"


class EmbedderUnavailableError(PaywardenError):
    code, status, title = "embedder_unavailable", 503, "The embedder does not answer"


class OverloadedError(PaywardenError):
    code, status, title = "overloaded", 503, "Please retry with the same key"


class InternalError(PaywardenError):
    code, status, title = "internal_error", 500, "Something went wrong"

    def __init__(self) -> None:
        super().__init__("This is our fault. Whoever runs Paywarden finds it in the log by the request id.")


class ConfigurationError(PaywardenError):
    code, status, title = "configuration", 500, "Paywarden is not configured"
