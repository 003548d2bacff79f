"""R11: thousands of forged and mutated webhooks against every provider's ``parse_event``; none may be accepted."""

import hashlib
import hmac
import json
import random
from collections.abc import Callable, Iterator

import pytest

from paywarden.providers import rest_events
from paywarden.providers.port import Provider, SignatureError

SECRET = "whsec_of_the_real_provider"
FORGERIES = 5_000
Forgery = tuple[bytes, str | None]


def signature_of(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def genuine(chance: random.Random) -> bytes:
    kind, status = chance.choice(["payment", "refund"]), chance.choice(["succeeded", "failed"])
    data = {
        "id": f"p{chance.randrange(10**9)}",
        "status": status,
        "amount": chance.randrange(1, 10**15),
        "currency": "usd",
        "metadata": {"internal_payment_id": f"pay_{chance.randrange(10**9)}"},
    }
    return json.dumps({"id": f"evt_{chance.randrange(10**9)}", "type": f"{kind}.{status}", "data": data}).encode()


def flip_body(body: bytes, chance: random.Random) -> Forgery:
    changed = bytearray(body)
    changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
    return bytes(changed), signature_of(body)


def flip_signature(body: bytes, chance: random.Random) -> Forgery:
    signature = list(signature_of(body))
    place = chance.randrange(len(signature))
    signature[place] = chance.choice([c for c in "0123456789abcdefABCDEFx é\x00\ud800" if c != signature[place]])
    return body, "".join(signature)


def cut_body(body: bytes, chance: random.Random) -> Forgery:
    return body[: chance.randrange(len(body))], signature_of(body)


def lengthen_body(body: bytes, chance: random.Random) -> Forgery:
    return body + chance.choice([b" ", b"\n", b"\x00", b"{}", b"}"]), signature_of(body)


def wrong_secret(body: bytes, chance: random.Random) -> Forgery:
    secret = chance.choice(["", SECRET[:-1], SECRET + " ", SECRET.upper(), str(chance.randrange(10**9))])
    return body, signature_of(body, secret)


def odd_signature(body: bytes, chance: random.Random) -> Forgery:
    good = signature_of(body)
    odd = [
        None,
        "",
        good[:32],
        good * 2,
        f" {good}",
        f"{good}\n",
        f"sha256={good}",
        good[::-1],
        "\ud800" * 64,
        "é" * 64,
    ]
    return body, chance.choice(odd)


def bigger_amount(body: bytes, chance: random.Random) -> Forgery:
    event = json.loads(body)
    event["data"]["amount"] *= chance.randrange(2, 1000)
    return json.dumps(event).encode(), signature_of(body)


def signature_of_another(body: bytes, chance: random.Random) -> Forgery:
    return body, signature_of(genuine(chance) + b" ")


def noise(body: bytes, chance: random.Random) -> Forgery:
    text = chance.choices([chr(code) for code in (*range(256), 0xD800, 0x1F4B8)], k=chance.randrange(100))
    return chance.randbytes(chance.randrange(300)), "".join(text)


WAYS: list[Callable[[bytes, random.Random], Forgery]] = [
    flip_body, flip_signature, cut_body, lengthen_body, wrong_secret, odd_signature, bigger_amount,
    signature_of_another, noise,
]  # fmt: skip


def forgeries(seed: int) -> Iterator[Forgery]:
    chance = random.Random(seed)
    for number in range(FORGERIES):
        yield WAYS[number % len(WAYS)](genuine(chance), chance)


def accepted(provider: Provider, seed: int = 11) -> int:
    """How many forgeries got through; anything but a SignatureError raises."""
    count = 0
    for body, signature in forgeries(seed):
        try:
            provider.parse_event(body, signature, SECRET)
        except SignatureError:
            continue
        count += 1
    return count


async def test_no_forged_or_mutated_event_is_accepted(provider: Provider) -> None:
    assert accepted(provider) == 0


async def test_genuine_events_are_accepted(provider: Provider) -> None:
    chance = random.Random(12)
    for body in (genuine(chance) for _ in range(500)):
        event = provider.parse_event(body, signature_of(body), SECRET)
        assert event.provider_id == json.loads(body)["data"]["id"]


async def test_without_the_comparison_forgeries_get_through(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: one line less, and the same check counts thousands."""
    monkeypatch.setattr(rest_events, "_verify", lambda body, signature, secret: None)
    assert accepted(provider) > FORGERIES / 3


async def test_comparing_only_a_prefix_is_noticed(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subtler broken twin."""
    monkeypatch.setattr(rest_events.hmac, "compare_digest", lambda expected, given: expected[:16] == given[:16])
    assert accepted(provider) > 0


async def test_hostile_but_signed_bodies_are_read_or_refused_and_never_crash(provider: Provider) -> None:
    """Who holds the secret can still send nonsense: an event or a SignatureError, nothing else."""
    chance = random.Random(13)
    odd = [None, True, 0, -1, 2**63, 2**70, 1.5, 1e308, "", "\ud800", "\x00", [], {}, [[]], "x" * 300, {"object": 1}]
    for _ in range(3_000):
        event = json.loads(genuine(chance))
        place = chance.choice([event, event["data"], event["data"]["metadata"]])
        place[chance.choice([*place, "created", "object", "amount_cents", "currency"])] = chance.choice(odd)
        body = json.dumps(event).encode()
        try:
            parsed = provider.parse_event(body, signature_of(body), SECRET)
        except SignatureError:
            continue
        assert parsed.amount_minor is None or type(parsed.amount_minor) is int
        texts = (parsed.event_key, parsed.event_type, parsed.provider_id, parsed.currency, parsed.our_reference)
        assert all(text is None or "\x00" not in text for text in texts)
        assert all(text is None or text.encode() for text in texts if text)
