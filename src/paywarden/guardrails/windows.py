"""Budget windows: which calendar day an instant falls in, in a mandate's own time zone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from paywarden.kit.errors import PaymentDeniedError


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time with its own budget: from ``starts_at`` up to, but not including, ``ends_at`` (both UTC)."""

    key: str
    starts_at: datetime
    ends_at: datetime


def zone(name: str) -> ZoneInfo:
    """The time zone of this IANA name. Raises PaymentDeniedError with the rule ``mandate_timezone`` for any other."""
    try:
        # The machine's own zone is no name: two servers would not agree which day it is.
        found = None if name == "localtime" else ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        found = None
    if found is None:
        raise PaymentDeniedError("the mandate's time zone is not known", rule="mandate_timezone")
    return found


# What is decided together is decided at one moment.
@lru_cache(maxsize=64)
def day(timezone: str, now: datetime) -> Window:
    """The calendar day of ``now``. Days follow each other without gap or overlap, whatever the clocks do."""
    place = zone(timezone)
    today = now.astimezone(place).date()
    while now < _midnight(today, place):
        today -= timedelta(days=1)
    while now >= _midnight(today + timedelta(days=1), place):
        today += timedelta(days=1)
    return Window(f"day:{today.isoformat()}", _midnight(today, place), _midnight(today + timedelta(days=1), place))


def _midnight(today: date, place: ZoneInfo) -> datetime:
    """The first 00:00 of a date; where the clocks skip it, the instant they would have shown it."""
    return datetime(today.year, today.month, today.day, tzinfo=place).astimezone(UTC)
