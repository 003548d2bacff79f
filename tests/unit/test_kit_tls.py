"""Certificates are spared where none is shown, and nowhere else."""

import ssl

import pytest

from paywarden.client.clients import _settings
from paywarden.kit.tls import trusted_for


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "HTTP://localhost"])
def test_plain_http_on_this_machine_trusts_nobody(url: str) -> None:
    for given in (trusted_for(url), _settings(url, None, 1)["verify"]):
        assert isinstance(given, ssl.SSLContext)
        assert (given.verify_mode, given.get_ca_certs()) == (ssl.CERT_REQUIRED, [])


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:8443", "https://desk.example", "http://desk.example", "HTTPS://[::1]"]
)
def test_tls_and_what_may_go_through_a_proxy_are_verified_as_ever(url: str) -> None:
    """A proxy of the environment may itself be spoken to over TLS."""
    assert _settings(url, None, 1)["verify"] is True
