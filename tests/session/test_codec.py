from __future__ import annotations

import random
import secrets

import pytest
from django.conf import settings

from django_multistore.records import key_of
from django_multistore.session import codec, compression

KEY = key_of("a" * 32)
BODIES = [b"", b"{}", b"x" * compression.ABOVE, b"x" * (compression.ABOVE + 1), bytes(5000)]


@pytest.mark.parametrize("body", BODIES)
def test_a_payload_opens_for_its_key(body: bytes) -> None:
    assert codec.unseal(codec.seal(body, KEY), KEY) == body


@pytest.mark.parametrize("body", BODIES)
def test_a_payload_is_refused_under_another_key(body: bytes) -> None:
    assert codec.unseal(codec.seal(body, KEY), key_of("b" * 32)) is None


def test_a_key_and_a_body_cannot_trade_bytes() -> None:
    assert codec.unseal(codec.seal(b"bc", "a"), "ab") is None
    payload = codec.seal(b"y:z", "x")
    assert codec.unseal(payload[: codec.HEAD_LENGTH] + b"z", "x:y") is None


def test_each_byte_counts() -> None:
    payload = codec.seal(b'{"a":1}', KEY)
    for position in range(len(payload)):
        changed = bytearray(payload)
        changed[position] ^= 1
        assert codec.unseal(bytes(changed), KEY) is None


def test_a_cut_payload_is_refused() -> None:
    for body in BODIES:
        payload = codec.seal(body, KEY)
        for length in range(min(len(payload), 64)):
            assert codec.unseal(payload[:length], KEY) is None


def test_random_bytes_are_refused() -> None:
    source = random.Random(7)
    for length in (0, 1, 16, 17, 18, 500):
        for tag in (b"", *codec.FORMATS, b"\x7f"):
            assert codec.unseal(tag + source.randbytes(length), KEY) is None


def test_large_bodies_are_deflated() -> None:
    assert len(codec.seal(b"x" * 10_000, KEY)) < 200
    assert len(codec.seal(b"x" * 1_000, KEY)) == codec.HEAD_LENGTH + 1_000


def test_bodies_that_are_near_to_random_are_not_deflated() -> None:
    body = b"{" + secrets.token_urlsafe(48_000).encode() + b"}"
    payload = codec.seal(body, KEY)
    assert payload[:1] == b"\x01"
    assert codec.unseal(payload, KEY) == body


def test_fallback_secrets_open_and_the_current_one_seals(settings: settings) -> None:
    old = codec.seal(b"{}", KEY)
    settings.SECRET_KEY = "another secret, which is new and long enough"
    assert codec.unseal(old, KEY) is None
    settings.SECRET_KEY_FALLBACKS = ["unrelated", "not a secret: for tests only"]
    assert codec.unseal(old, KEY) == b"{}"
    new = codec.seal(b"{}", KEY)
    settings.SECRET_KEY_FALLBACKS = []
    assert codec.unseal(new, KEY) == b"{}"


def test_a_secret_may_be_bytes(settings: settings) -> None:
    as_text = codec.seal(b"{}", KEY)
    settings.SECRET_KEY = settings.SECRET_KEY.encode()
    assert codec.unseal(as_text, KEY) == b"{}"
