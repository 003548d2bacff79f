"""Instants. Leases, windows and expiries are decided on the database's ``paywarden.clock()``, never on this one.

This module is for what has no database at hand: the sandbox's own books and the age of a signed time stamp.
"""

from datetime import UTC, datetime
from functools import lru_cache

_DIGITS = len("2030-01-31T12:00:00.000")


def utc_now() -> datetime:
    """The present instant, with its zone."""
    return datetime.now(UTC)


# What is committed together carries one instant.
@lru_cache(maxsize=256)
def rfc3339(instant: datetime) -> str:
    """An instant as answers show it: UTC, milliseconds, ``Z``."""
    return f"{instant.astimezone(UTC).isoformat(timespec='milliseconds')[:_DIGITS]}Z"
