"""The stored request: the same order gives the same bytes, and they are what the contract says."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paywarden.kit.errors import InvalidFieldError
from paywarden.providers.port import Order, PreparedRequest, Provider, ProviderFacts
from paywarden.providers.rest import RestProvider

PROVIDER = RestProvider("http://127.0.0.1:1", "key")
ORDER = Order("submit", "pay_1", 2500, "usd", "user_42", "an order", "agt_1")


def test_a_submit_says_everything() -> None:
    assert PROVIDER.prepare(ORDER, "key-1") == PreparedRequest(
        "POST",
        "/v1/payments",
        b'{"amount":2500,"amount_cents":2500,"confirm":true,"currency":"usd","customer_id":"user_42",'
        b'"description":"an order","metadata":{"agent_id":"agt_1","internal_payment_id":"pay_1"}}',
        "key-1",
    )
    assert b'"confirm":false' in PROVIDER.prepare(replace(ORDER, confirm=False), "key-1").body


def test_a_confirm_and_a_refund_name_the_payment_in_the_path() -> None:
    confirm = PROVIDER.prepare(replace(ORDER, kind="confirm", provider_payment_id="a/../b?c#d%2F é"), "k")
    assert (confirm.path, confirm.body) == ("/v1/payments/a%2F..%2Fb%3Fc%23d%252F%20%C3%A9/confirm", b"{}")
    refund = PROVIDER.prepare(replace(ORDER, kind="refund", provider_payment_id="p1", our_reference="pay_2"), "k")
    assert refund == PreparedRequest(
        "POST",
        "/v1/payments/p1/refunds",
        b'{"amount_cents":2500,"metadata":{"agent_id":"agt_1","internal_payment_id":"pay_2"}}',
        "k",
    )


def test_a_payout_says_who_is_paid_and_needs_a_payee() -> None:
    payout = replace(ORDER, kind="payout", payee="iban-1", description="claim 7")
    assert PROVIDER.prepare(payout, "k") == PreparedRequest(
        "POST",
        "/v1/payouts",
        b'{"amount":2500,"amount_cents":2500,"currency":"usd","description":"claim 7",'
        b'"metadata":{"agent_id":"agt_1","internal_payment_id":"pay_1"},"payee":"iban-1"}',
        "k",
    )
    with pytest.raises(ValueError, match="must name its payee"):
        PROVIDER.prepare(replace(payout, payee=None), "k")


@pytest.mark.parametrize("provider_id", [None, "", ".", "..", "a\nb", "\ud800", "x" * 256])
@pytest.mark.parametrize("kind", ["confirm", "refund"])
def test_an_id_that_would_lead_elsewhere_is_refused(kind: str, provider_id: str | None) -> None:
    with pytest.raises(ValueError, match="id is missing or odd"):
        PROVIDER.prepare(replace(ORDER, kind=kind, provider_payment_id=provider_id), "k")  # type: ignore[arg-type]


def test_what_json_cannot_carry_is_refused() -> None:
    with pytest.raises(InvalidFieldError):
        PROVIDER.prepare(replace(ORDER, description="\ud800"), "k")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 10**15), st.booleans())
def test_the_same_order_gives_the_same_bytes(text: str, amount_minor: int, confirm: bool) -> None:
    order = replace(ORDER, description=text, customer=text, amount_minor=amount_minor, confirm=confirm)
    again = replace(ORDER, confirm=confirm, customer=text, amount_minor=amount_minor, description=text)
    assert PROVIDER.prepare(order, "k") == PROVIDER.prepare(again, "k")


def test_it_is_a_provider_with_these_facts() -> None:
    provider: Provider = PROVIDER
    assert provider.facts == ProviderFacts(
        name="rest",
        key_window=timedelta(hours=24),
        compares_body=True,
        saves_errors=False,
        idempotent_submit=True,
        capabilities=frozenset({"confirm", "refund", "statement"}),
    )


def test_a_provider_pays_out_only_when_it_is_said_to() -> None:
    assert "payout" in RestProvider("http://127.0.0.1:1", "key", payouts=True).facts.capabilities
