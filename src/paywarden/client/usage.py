"""What a caller can get wrong, refused before anything is sent: no money can have moved."""

import re
from urllib.parse import urlsplit

from paywarden.client.errors import PaywardenUsageError

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_MOST_KEY_CHARACTERS = 255
# A word of the command line that is no UTF-8 arrives as such a text.
NOT_UTF8 = "must be text that can be written as UTF-8"


def checked_idempotency_key(key: str) -> str:
    """The same key. An empty one is refused: a fresh key in its place would let a retry pay a second time."""
    if len(key) > _MOST_KEY_CHARACTERS or not _VISIBLE.fullmatch(key):
        raise PaywardenUsageError(
            "idempotency_key", f"must have 1 to {_MOST_KEY_CHARACTERS} visible ASCII characters and no blanks"
        )
    return key


def checked_api_key(key: str | None) -> str | None:
    """The same key, or None. It is refused and not trimmed: a key with more around it was cut or pasted wrong."""
    if key is not None and not _VISIBLE.fullmatch(key):
        raise PaywardenUsageError(
            "API key", "must be given as it was shown: visible ASCII, no blank or line end in it or around it"
        )
    return key


def checked_url(url: str) -> str:
    """The same address."""
    if not _names_a_service(url):
        raise PaywardenUsageError(
            "URL", "must start with http:// or https:// and name a host, for example http://127.0.0.1:8000"
        )
    return url


def _names_a_service(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if port == 0 or not _VISIBLE.fullmatch(url):
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def checked_id(of_what: str, identifier: str) -> str:
    """The same id. An empty one would name the whole list, and dots another place in the path."""
    if not identifier.strip() or identifier in {".", ".."}:
        raise PaywardenUsageError(f"id of the {of_what}", "must not be empty")
    try:
        identifier.encode()
    except UnicodeEncodeError:
        raise PaywardenUsageError(f"id of the {of_what}", NOT_UTF8) from None
    return identifier
