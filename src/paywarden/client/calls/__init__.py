"""Every call of ``/v1``, once: what is sent, and as what the answer is read.

Amounts are minor units of a lower-case currency. Who moves money may bring an ``idempotency_key``, for instance made
from the case at hand: the same key never pays twice. Without one a fresh key is made, which covers the client's own
repeats. All raise PaywardenUsageError, PaywardenApiError and PaywardenUnreachableError.
"""
