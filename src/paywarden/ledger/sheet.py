"""Intents as the write door reads them: columns instead of rows, accounts and authorities named once.

A column is the text of a PostgreSQL array; what an intent lacks is NULL there, and a column of nothing but NULL is left
out. The columns of accounts, authorities, lines, movements and grants have lengths of their own and point at intents
and accounts by number, from 1 on. A sheet of one tenant names it once, as ``all_of``.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from paywarden.db.columns import NULL, quoted
from paywarden.kit import ids
from paywarden.kit.money import check_amount_minor
from paywarden.ledger.chart import AccountRef
from paywarden.ledger.intents import (
    Authority,
    Book,
    Extend,
    Gate,
    Intent,
    Key,
    Line,
    Post,
    Reserve,
    Void,
    WindowGrant,
)

Row = tuple[str, ...]

_KEY = ("key_principal", "key", "fingerprint")
_GATE = ("gate_principal", "currency", "customer", "mandate", "feature")
_BOOKING = ("operation", "fact_kind", "event_at", "transfer", "fact")
_INTENTS = (
    "tenant", "op", "hold", "payment", "amount", "authority", "of_principal",
    *_KEY, *_GATE, *_BOOKING, "seconds", "final", "status",
)  # fmt: skip
_ACCOUNTS = ("account_tenant", "account_id", "book", "asset", "code", "normal", "floor")
_AUTHORITIES = ("authority_tenant", "authority_principal", "authority_version", "authority_until")
_TENANTS = (_INTENTS[0], _ACCOUNTS[0], _AUTHORITIES[0])
_MANDATES = ("mandate_of", "mandate_id")
_LINES = ("line_of", "line_no", "line_held", "line_debit", "line_credit")
_MOVES = ("move_of", "move_debit", "move_credit", "move_amount")
_GRANTS = (
    "grant_of", "grant_mandate", "grant_window", "grant_currency", "grant_limit", "grant_account", "grant_source",
    "grant_transfer",
)  # fmt: skip

_NO_KEY: Row = (NULL,) * len(_KEY)
_NO_GATE: Row = (NULL,) * len(_GATE)
_NO_BOOKING: Row = (NULL,) * len(_BOOKING)
_encode = msgspec.json.Encoder().encode
# A transfer's id is its intent's, with the number of the line in the last two of 32 digits.
_BASE_DIGITS = 30


class Sheet:
    """A sheet that is being filled, tenant after tenant. A tenant of None is the transaction's own."""

    def __init__(self) -> None:
        self._intents: list[Row] = []
        self._accounts: list[Row] = []
        self._authorities: list[Row] = []
        self._mandates: list[Row] = []
        self._lines: list[Row] = []
        self._moves: list[Row] = []
        self._grants: list[Row] = []
        self._tenants: set[str] = set()
        self._numbers: dict[tuple[str, AccountRef], str] = {}
        self._authority_numbers: dict[tuple[object, ...], str] = {}
        # What was asked last and its number: mostly the next one's, too.
        self._last_authority: tuple[str, Authority | None, str] = ("", None, NULL)

    def add(self, tenant_id: UUID | None, intents: Iterable[Intent]) -> None:
        """Append intents of a tenant.

        Raises InvalidFieldError when an amount is not 1 to 10^15: what can fail on type or range is refused here.
        """
        tenant = _text(tenant_id)
        if tenant_id is not None:
            self._tenants.add(tenant)
        for intent in intents:
            place = str(len(self._intents) + 1)
            match intent:
                case Reserve():
                    self._intents.append(self._reserve(tenant, place, intent))
                case Post():
                    self._intents.append(self._post(tenant, place, intent))
                case Book():
                    asked = (tenant, "book", NULL, _text(intent.payment_id), NULL, NULL, NULL)
                    booking = self._booking(tenant, place, intent)
                    self._intents.append((*asked, *_NO_KEY, *_NO_GATE, *booking, NULL, NULL, NULL))
                case Void() | Extend():
                    self._intents.append(self._change(tenant, intent))

    def as_json(self) -> str:
        """The sheet as the text of a JSON object."""
        parts: dict[str, str] = {}
        left_out: tuple[str, ...] = ()
        if len(self._tenants) == 1:
            (parts["all_of"],) = self._tenants
            left_out = _TENANTS
        for names, rows in (
            (_INTENTS, self._intents),
            (_ACCOUNTS, self._accounts),
            (_AUTHORITIES, self._authorities),
            (_MANDATES, self._mandates),
            (_LINES, self._lines),
            (_MOVES, self._moves),
            (_GRANTS, self._grants),
        ):
            for name, column in zip(names, zip(*rows, strict=True), strict=False):
                if name not in left_out and column.count(NULL) < len(column):
                    parts[name] = f"{{{','.join(column)}}}"
        return _encode(parts).decode()

    def _reserve(self, tenant: str, place: str, intent: Reserve) -> Row:
        self._list_lines(tenant, place, intent.lines)
        if intent.grants:
            self._list_grants(tenant, place, intent.grants)
        return (
            tenant,
            "reserve",
            intent.hold_id.hex,
            _text(intent.payment_id),
            str(check_amount_minor(intent.amount_minor)),
            self._authority(tenant, intent.authority),
            NULL,
            *_key(intent.key),
            *_gate(intent.gate),
            *_NO_BOOKING,
            _number(intent.expires_in_seconds),
            NULL,
            NULL,
        )

    def _post(self, tenant: str, place: str, intent: Post) -> Row:
        return (
            tenant,
            "post",
            _text(intent.hold_id),
            _text(intent.payment_id),
            str(check_amount_minor(intent.amount_minor)),
            self._authority(tenant, intent.authority),
            _text(intent.of_principal_id),
            *_key(intent.key),
            *_NO_GATE,
            *self._booking(tenant, place, intent),
            NULL,
            "t" if intent.final else "f",
            NULL,
        )

    def _change(self, tenant: str, intent: Void | Extend) -> Row:
        if isinstance(intent, Void):
            op, payment, seconds, status = "void", _text(intent.payment_id), NULL, str(intent.status)
        else:
            op, payment, seconds, status = "extend", NULL, str(intent.expires_in_seconds), NULL
        asked = (self._authority(tenant, intent.authority), _text(intent.of_principal_id))
        rest = (*_NO_KEY, *_NO_GATE, *_NO_BOOKING, seconds, NULL, status)
        return (tenant, op, intent.hold_id.hex, payment, NULL, *asked, *rest)

    def _booking(self, tenant: str, place: str, intent: Post | Book) -> Row:
        for each in intent.movements:
            pair = (self._account(tenant, each.debit), self._account(tenant, each.credit))
            self._moves.append((place, *pair, str(check_amount_minor(each.amount_minor))))
        return (
            quoted(intent.operation),
            quoted(intent.fact_kind),
            NULL if intent.event_at is None else quoted(intent.event_at.isoformat()),
            ids.new_hex()[:_BASE_DIGITS],
            "t" if intent.fact else "f",
        )

    def _list_lines(self, tenant: str, place: str, lines: Sequence[Line]) -> None:
        for number, line in enumerate(lines):
            debit, credit = self._account(tenant, line.debit), self._account(tenant, line.credit)
            self._lines.append((place, str(number), debit if line.held == "debit" else credit, debit, credit))

    def _list_grants(self, tenant: str, place: str, grants: Sequence[WindowGrant]) -> None:
        for grant in grants:
            self._grants.append(
                (
                    place,
                    grant.mandate_id.hex,
                    quoted(grant.window_key),
                    quoted(grant.currency),
                    str(check_amount_minor(grant.limit_minor, "limit_minor")),
                    self._account(tenant, grant.window),
                    self._account(tenant, grant.source),
                    ids.new_hex(),
                )
            )

    def _account(self, tenant: str, ref: AccountRef) -> str:
        number = self._numbers.get((tenant, ref))
        if number is None:
            account_id = ids.new_hex()
            named = (ref.book, quoted(ref.asset), quoted(ref.code), ref.normal, _number(ref.floor))
            self._accounts.append((tenant, account_id, *named))
            number = self._numbers[tenant, ref] = str(len(self._accounts))
        return number

    def _authority(self, tenant: str, authority: Authority | None) -> str:
        if authority is None:
            return NULL
        last_tenant, last, number_of_last = self._last_authority
        if authority is last and tenant == last_tenant:
            return number_of_last
        key = (tenant, authority.principal_id, authority.version, authority.valid_until, *authority.mandate_ids)
        number = self._authority_numbers.get(key)
        if number is None:
            until = authority.valid_until
            self._authorities.append(
                (
                    tenant,
                    authority.principal_id.hex,
                    str(authority.version),
                    NULL if until is None else quoted(until.isoformat()),
                )
            )
            number = self._authority_numbers[key] = str(len(self._authorities))
            self._mandates += [(number, mandate_id.hex) for mandate_id in authority.mandate_ids]
        self._last_authority = (tenant, authority, number)
        return number


def _key(key: Key | None) -> Row:
    return _NO_KEY if key is None else (key.principal_id.hex, quoted(key.key), key.fingerprint.hex())


def _gate(gate: Gate | None) -> Row:
    if gate is None:
        return _NO_GATE
    return (
        gate.principal_id.hex,
        quoted(gate.currency),
        _optional(gate.customer_id),
        _text(gate.mandate_id),
        _optional(gate.feature),
    )


def _text(value: UUID | None) -> str:
    return NULL if value is None else value.hex


def _number(value: int | None) -> str:
    return NULL if value is None else str(value)


def _optional(value: str | None) -> str:
    return NULL if value is None else quoted(value)
