"""The keyless gate: every single deviation from a plain local request needs a key, alone and with every other."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from paywarden.api.quickstart_gate import RequestFacts, is_loopback, refusal

PLAIN = RequestFacts(
    switched_on=True,
    bound_to="127.0.0.1",
    provider_url="http://127.0.0.1:8001",
    client="127.0.0.1",
    hosts=("127.0.0.1:8000",),
    header_names=frozenset({"host", "user-agent", "accept", "content-type", "content-length"}),
    fetch_sites=(),
    content_types=("application/json",),
    has_body=True,
)
LOOPBACK_NAMES = ["127.0.0.1", "127.0.0.2", "127.255.255.254", "localhost", "LOCALHOST", "::1", "::ffff:127.0.0.1"]
FOREIGN_NAMES = [
    "0.0.0.0", "::", "10.0.0.1", "192.168.1.5", "8.8.8.8", "128.0.0.1", "localhost.example.com", "127.0.0.1.nip.io",
    "local host", "127.1", "2130706433", "0x7f.0.0.1", "127.0.0.1%0", "::2", "::ffff:10.0.0.1", "fe80::1", "", " ",
    "example.com", "paywarden", "localhost.", "127.0.0.256", "１２７.0.0.1",
]  # fmt: skip


def with_header(*names: str) -> dict[str, Any]:
    return {"header_names": PLAIN.header_names | set(names)}


DEVIATIONS: dict[str, dict[str, Any]] = {
    "switched off": {"switched_on": False},
    "bound to all": {"bound_to": "0.0.0.0"},
    "provider elsewhere": {"provider_url": "https://api.example.com"},
    "caller elsewhere": {"client": "10.0.0.9"},
    "caller unknown": {"client": None},
    "foreign host": {"hosts": ("evil.example:8000",)},
    "two hosts": {"hosts": ("127.0.0.1", "127.0.0.1")},
    "no host": {"hosts": ()},
    "forwarded": with_header("forwarded"),
    "x-forwarded-for": with_header("x-forwarded-for"),
    "x-forwarded-host": with_header("x-forwarded-host"),
    "x-forwarded-anything": with_header("x-forwarded-whatever"),
    "via": with_header("via"),
    "x-real-ip": with_header("x-real-ip"),
    "origin": with_header("origin"),
    "cross-site": {"fetch_sites": ("cross-site",)},
    "same-site": {"fetch_sites": ("same-site",)},
    "unknown site": {"fetch_sites": ("",)},
    "one own, one foreign site": {"fetch_sites": ("same-origin", "cross-site")},
    "form body": {"content_types": ("application/x-www-form-urlencoded",)},
    "text body": {"content_types": ("text/plain",)},
    "json in disguise": {"content_types": ("text/plain; application/json",)},
    "undeclared body": {"content_types": ()},
    "declared twice": {"content_types": ("application/json", "text/plain")},
}


def test_a_plain_local_request_needs_no_key() -> None:
    assert refusal(PLAIN) is None


@pytest.mark.parametrize("name", DEVIATIONS)
def test_one_deviation_needs_a_key(name: str) -> None:
    reason = refusal(replace(PLAIN, **DEVIATIONS[name]))
    assert reason is not None


def test_two_deviations_never_make_it_good_again() -> None:
    for first, second in combinations(DEVIATIONS.values(), 2):
        assert refusal(replace(replace(PLAIN, **first), **second)) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"hosts": ("localhost",)},
        {"hosts": ("localhost:1",)},
        {"hosts": ("LocalHost:65535",)},
        {"hosts": ("[::1]:8000",)},
        {"hosts": ("[::1]",)},
        {"hosts": ("127.1.2.3:8000",)},
        {"bound_to": "::1", "client": "::1"},
        {"bound_to": "localhost"},
        {"client": "::ffff:127.0.0.1"},
        {"provider_url": None},
        {"provider_url": "http://localhost:9999/base"},
        {"provider_url": "http://[::1]:9999"},
        {"fetch_sites": ("none",)},
        {"fetch_sites": ("same-origin",)},
        {"content_types": ("application/json; charset=utf-8",)},
        {"content_types": ("Application/JSON",)},
        {"content_types": (), "has_body": False},
        {"content_types": ("text/plain",), "has_body": False},
    ],
    ids=repr,
)
def test_what_is_plainly_local_needs_no_key(change: dict[str, Any]) -> None:
    assert refusal(replace(PLAIN, **change)) is None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1.evil.example", "evil.example", "localhost.evil.example:8000", "localhost:8000@evil.example",
        "user@localhost", "localhost:", "localhost:80:80", "localhost:8o", "localhost:123456", "127.0.0.1/", "::1",
        "[::1", "[::1]x", "[::2]:8000", "[127.0.0.1]evil", " localhost", "localhost\n", "localhost\x00", "", "0",
        "127.1", "０.0.0.1", "localhoſt",
    ],
)  # fmt: skip
def test_a_host_that_only_looks_local_needs_a_key(host: str) -> None:
    assert refusal(replace(PLAIN, hosts=(host,))) is not None


@pytest.mark.parametrize(
    "url",
    ["https://api.example.com", "http://127.0.0.1@evil.example", "http://127.0.0.1.nip.io", "//", "", "127.0.0.1",
     "http://[::1", "http://localhost.evil.example"],
)  # fmt: skip
def test_a_provider_elsewhere_needs_a_key(url: str) -> None:
    assert refusal(replace(PLAIN, provider_url=url)) is not None


@pytest.mark.parametrize("name", LOOPBACK_NAMES)
def test_names_of_this_machine(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_other_names(name: str) -> None:
    assert not is_loopback(name)
