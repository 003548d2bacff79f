"""Addresses of databases: refused early when they cannot be meant, and told to people without their passwords."""

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from paywarden.kit.errors import ConfigurationError

_SCHEMES = ("postgresql://", "postgres://")
_FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_PORTS = re.compile(r"[0-9]{0,5}(,[0-9]{0,5})*")
_WHAT_FAILED = re.compile(r"^.* failed: ")


def check_address(variable: str, address: str) -> dict[str, Any]:
    """The parts of an address of PostgreSQL. Raises ConfigurationError, which shows nothing of it.

    What a library says about an address it cannot read quotes it, with the password; so does a look-up of the wrong
    half of one. Both are refused here, before any library sees them.
    """
    if "://" in address and not address.startswith(_SCHEMES):
        raise ConfigurationError(f"{variable} is not an address of PostgreSQL; allowed is {_FORM}")
    try:
        parts = conninfo_to_dict(address)
    except psycopg.Error:
        raise _unreadable(variable) from None
    if not _PORTS.fullmatch(str(parts.get("port", ""))):
        raise _unreadable(variable)
    if address.startswith(_SCHEMES) and any("@" in str(parts.get(name, "")) for name in ("host", "dbname")):
        raise _unreadable(variable)
    return parts


def try_address(variable: str, address: str, limit_seconds: int = 5) -> None:
    """Log in once. Raises ConfigurationError that names the variable, the host, the port and the reason."""
    parts = check_address(variable, address)
    try:
        psycopg.connect(address, connect_timeout=limit_seconds).close()
    except psycopg.Error as error:
        raise ConfigurationError(f"{variable}: no connection to {place(parts)}: {reason(error)}") from None


def place(parts: Mapping[str, Any]) -> str:
    """Where the parts of an address lead, for people."""
    host = str(parts.get("host") or parts.get("hostaddr") or "the local socket")
    return f"PostgreSQL at {host}, port {parts.get('port') or 5432}"


def reason(error: psycopg.Error) -> str:
    """Why there is no connection: the first line of what the library says, without where that was."""
    said = str(error).strip() or type(error).__name__
    return _WHAT_FAILED.sub("", said.splitlines()[0])


def _unreadable(variable: str) -> ConfigurationError:
    return ConfigurationError(
        f"{variable} cannot be read as an address of PostgreSQL; allowed is {_FORM},"
        " with special characters of the password percent-encoded (@ as %40, / as %2F, # as %23)"
    )
