"""The types of what comes in: strict, bounded, clean. A wrong value is refused by its field, never converted."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from paywarden.flow.words import MAX_HOLD_SECONDS, MAX_RESERVATION_SECONDS, MAX_WAIT_SECONDS
from paywarden.kit import ids
from paywarden.kit.errors import InvalidFieldError, NotFoundError
from paywarden.kit.money import MAX_AMOUNT_MINOR, exponent
from paywarden.kit.text import MAX_ID_CHARACTERS, MAX_TEXT_CHARACTERS, clean_id, clean_text
from paywarden.kit.trust import TrustTier

_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
# Longer ones than any limit, so that what is too large is told to be too large.
_DIGITS = re.compile(r"[0-9]{1,40}")
MAX_PAGE = 100
MAX_VECTOR = 2_000


class Body(BaseModel):
    """A JSON object that is sent to us: exact types, and no field besides those it has."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


def example(body: dict[str, Any]) -> ConfigDict:
    """A body's ``model_config`` with an example for the OpenAPI document."""
    return ConfigDict(json_schema_extra={"example": body})


def _refused(problem: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{problem}", {"problem": problem})


def _checked(check: Callable[[str], Any]) -> Callable[[str], str]:
    """Turn a refusal of the kit into one of the field that is being validated."""

    def validate(value: str) -> str:
        try:
            check(value)
        except InvalidFieldError as error:
            raise _refused(error.detail.removeprefix(f"{error.param} ")) from error
        return value

    return validate


def _instant(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise _refused("must be an RFC 3339 instant with its zone, for example 2030-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError as error:
        raise _refused("is not an instant that exists") from error


def _ascii_digits(value: Any) -> Any:
    if isinstance(value, int):
        return value
    if not isinstance(value, str) or not _DIGITS.fullmatch(value):
        raise _refused("must be a whole number in the digits 0 to 9")
    return int(value)


def _parsed(prefix: ids.Prefix) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        try:
            return ids.parse(prefix, value if isinstance(value, str) else "")
        except InvalidFieldError as error:
            raise _refused(error.detail.removeprefix(f"{error.param} ")) from error

    return validate


def _captured_at_once(value: bool) -> bool:
    if not value:
        raise _refused("must be true: what is charged is captured at once")
    return value


def _public_id(prefix: ids.Prefix) -> Any:
    schema = {"type": "string", "pattern": f"^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"}
    return Annotated[UUID, BeforeValidator(_parsed(prefix)), WithJsonSchema(schema)]


Identifier = Annotated[
    str, Field(min_length=1, max_length=MAX_ID_CHARACTERS), AfterValidator(_checked(lambda it: clean_id(it, "")))
]
"""A caller's own id, name or reference."""

Text = Annotated[
    str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS), AfterValidator(_checked(lambda it: clean_text(it, "")))
]
"""What a person or an agent wrote."""

AmountMinor = Annotated[int, Field(strict=True, ge=1, le=MAX_AMOUNT_MINOR)]
"""Minor units of the currency beside it."""

QueryAmount = Annotated[int, BeforeValidator(_ascii_digits), Field(ge=1, le=MAX_AMOUNT_MINOR)]
"""An amount in a query: ASCII digits only."""

QuerySeconds = Annotated[int, BeforeValidator(_ascii_digits), Field(ge=1, le=MAX_RESERVATION_SECONDS)]
"""A time in a query, in seconds: ASCII digits only."""

WaitSeconds = Annotated[int, BeforeValidator(_ascii_digits), Field(ge=0, le=MAX_WAIT_SECONDS)]
"""How long an answer may be put off until there is one, in seconds."""

Currency = Annotated[
    str, AfterValidator(_checked(exponent)), Field(json_schema_extra={"pattern": "^[a-z]{3}$", "example": "usd"})
]
"""A lower-case ISO 4217 currency."""

Capture = Annotated[bool, AfterValidator(_captured_at_once), Field(json_schema_extra={"const": True})]

Instant = Annotated[datetime, BeforeValidator(_instant)]
"""An RFC 3339 instant with its zone."""

PageSize = Annotated[int, BeforeValidator(_ascii_digits), Field(ge=1, le=MAX_PAGE)]
FoundLimit = Annotated[int, BeforeValidator(_ascii_digits), Field(ge=1, le=50)]
FoundCount = Annotated[int, Field(strict=True, ge=1, le=50)]
Vector = Annotated[list[float], Field(min_length=1, max_length=MAX_VECTOR)]
Trust = TrustTier
PaymentId = _public_id("pay")
MandateId = _public_id("mdt")
_PRINCIPAL_PREFIXES: tuple[ids.Prefix, ...] = ("agt", "per", "svc")


def _principal(value: Any) -> Any:
    text = value if isinstance(value, str) else ""
    for prefix in _PRINCIPAL_PREFIXES:
        if text.startswith(f"{prefix}_"):
            return _parsed(prefix)(text)
    raise _refused("must be the id of an agent (agt_), a person (per_) or a service (svc_)")


PrincipalId = Annotated[
    UUID,
    BeforeValidator(_principal),
    WithJsonSchema({"type": "string", "pattern": "^(agt|per|svc)_[0-7][0-9a-hjkmnp-tv-z]{25}$"}),
]
PaymentKind = Literal["charge", "refund", "payout"]
HoldSeconds = Annotated[int, Field(strict=True, ge=1, le=MAX_HOLD_SECONDS)]
"""How long a hold is kept, in seconds."""

MemberKey = Annotated[str, Field(min_length=1, max_length=255, pattern="^[!-~]+$")]
"""The idempotency key of one member of a batch: visible ASCII, as in the header."""

MandateKind = Literal["charge", "refund", "payout", "gate"]


def path_id(prefix: ids.Prefix, text: str, absent: str) -> UUID:
    """The id in a path. Raises NotFoundError saying ``absent``: a malformed id names nothing, like an absent one."""
    try:
        return ids.parse(prefix, text)
    except InvalidFieldError as error:
        raise NotFoundError(absent) from error


def path_principal_id(text: str) -> UUID:
    """The id of a principal in a path, whatever its kind. Raises NotFoundError."""
    prefix: ids.Prefix = next((known for known in _PRINCIPAL_PREFIXES if text.startswith(f"{known}_")), "agt")
    return path_id(prefix, text, "There is no such principal.")
