"""Who may use the quick-start routes without a key: a program on this machine, never a web page and never a proxy.

A pure function over a few facts of the request. Whatever is not plainly local is asked for a key.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_HOST = re.compile(r"(localhost|[0-9.]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
_OWN_FETCH_SITES = frozenset({"none", "same-origin"})
_PROXY_HEADERS = frozenset({"forwarded", "via", "x-real-ip"})


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What the gate looks at. Header names are in lower case; ``hosts`` and the like are all values that were sent."""

    switched_on: bool
    bound_to: str
    provider_url: str | None
    client: str | None
    hosts: tuple[str, ...]
    header_names: frozenset[str]
    fetch_sites: tuple[str, ...]
    content_types: tuple[str, ...]
    has_body: bool


def refusal(facts: RequestFacts) -> str | None:
    """Why this request needs a key, as a sentence; None when it may go without."""
    checks = (
        (facts.switched_on, "the quick start without a key is not switched on"),
        (is_loopback(facts.bound_to), "the server is not bound to loopback"),
        (_is_loopback_url(facts.provider_url), "the provider's URL is not loopback"),
        (facts.client is not None and is_loopback(facts.client), "the caller is not on this machine"),
        (_names_loopback(facts.hosts), "the Host header is not loopback"),
        ("origin" not in facts.header_names, "the request carries an Origin header"),
        (not _proxied(facts.header_names), "the request came through a proxy"),
        (_OWN_FETCH_SITES.issuperset(facts.fetch_sites), "the request comes from another web site"),
        (not facts.has_body or _is_json(facts.content_types), "the body is not declared as application/json"),
    )
    return next((reason for passed, reason in checks if not passed), None)


def is_loopback(host: str) -> bool:
    """Whether a bare host name or address is this machine's own: ``localhost``, 127.0.0.0/8 or ``::1``."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _is_loopback_url(url: str | None) -> bool:
    """No URL means the sandbox that ``paywarden up`` starts on loopback."""
    if url is None:
        return True
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)


def _names_loopback(hosts: tuple[str, ...]) -> bool:
    if len(hosts) != 1:
        return False
    found = _HOST.fullmatch(hosts[0])
    return found is not None and is_loopback(found.group(1).strip("[]"))


def _proxied(header_names: frozenset[str]) -> bool:
    return any(name in _PROXY_HEADERS or name.startswith("x-forwarded-") for name in header_names)


def _is_json(content_types: tuple[str, ...]) -> bool:
    if len(content_types) != 1:
        return False
    return content_types[0].partition(";")[0].strip().lower() == "application/json"
