"""The bytes that stores keep, pinned: a deployment reads what the one before has written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from django_multistore.records import Device, SessionRecord, key_of
from django_multistore.stores import record_bytes
from django_multistore.stores.cache import values as in_cache
from django_multistore.stores.redis import layout as in_redis

KEY = key_of("key")
BORN = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
RECORD = SessionRecord(
    id=7,
    key=KEY,
    payload=b"payload",
    version=3,
    user_id="42",
    created_at=BORN,
    authenticated_at=BORN + timedelta(seconds=1),
    last_seen_at=BORN + timedelta(seconds=2),
    expires_at=BORN + timedelta(days=14),
    device=Device(ip_address="192.0.2.7", user_agent="Firefox"),
)
AFTER_NONCE = bytes.fromhex(
    "0000000000000007"  # id
    "0006475ef64cf346"  # created_at
    "00000003"  # version
    "0006475ef65c3586"  # authenticated_at
    "0006475ef66b77c6"  # last_seen_at
    "0006487898143346"  # expires_at
    "00000000"  # listed_until
    "0002"
    "09"
    "0007"  # lengths
)
TEXTS = b"42192.0.2.7Firefox"
ANONYMOUS = replace(RECORD, user_id=None, authenticated_at=None, device=Device())
ANONYMOUS_AFTER_NONCE = bytes.fromhex(
    "0000000000000007"
    "0006475ef64cf346"
    "00000003"
    "8000000000000000"
    "0006475ef66b77c6"
    "0006487898143346"
    "00000000"
    "ffff"
    "ff"
    "0000"
)


@pytest.mark.parametrize(
    ("record", "kind", "after_nonce"),
    [
        (RECORD, 1, AFTER_NONCE + TEXTS + b"payload"),
        (replace(RECORD, actor_id="8"), 4, AFTER_NONCE + TEXTS + b"\0\x018" + b"payload"),
        (ANONYMOUS, 1, ANONYMOUS_AFTER_NONCE + b"payload"),
    ],
)
def test_a_record(record: SessionRecord, kind: int, after_nonce: bytes) -> None:
    for pack in (record_bytes.pack_record, in_redis.pack):
        value = pack("web", record)
        assert (value[0], value[record_bytes.SPANS["id"].start :]) == (kind, after_nonce)
        assert record_bytes.unpack_record(KEY, value) == record
        assert record_bytes.unpack_record(KEY, b"before" + value, start=6) == record


@pytest.mark.parametrize(
    ("listing", "head"),
    [
        (None, "10" + 32 * "0"),
        (in_cache.Listing(BORN, BORN), "11" + 2 * "0006475ef64cf346"),
        (in_cache.Listing(BORN, BORN, is_tentative=True), "12" + 2 * "0006475ef64cf346"),
    ],
)
def test_an_entry_of_a_cache(listing: in_cache.Listing | None, head: str) -> None:
    value = in_cache.pack("web", in_cache.Entry(RECORD, listing))
    assert value[:17].hex() == head
    assert value[17:18] + value[26:] == b"\x01" + AFTER_NONCE + TEXTS + b"payload"
    assert in_cache.unpack(KEY, value) == (RECORD, listing)


def test_named_offsets() -> None:
    value = record_bytes.pack_record("web", replace(RECORD, version=0x01020304))
    spans = record_bytes.SPANS
    assert value[spans["version"]] == b"\1\2\3\4"
    assert value[spans["listed_until"]] == bytes(4)
    assert value[spans["user_length"].start : record_bytes.HEAD.size] == b"\0\2\x09\0\7"
    assert value[spans["id"]] == (7).to_bytes(8)
    value = record_bytes.pack_record("web", RECORD, b"12345678")
    assert value[spans["nonce"]] == b"12345678"


@pytest.mark.parametrize("kind", range(256))
def test_bytes_of_another_kind_are_no_entry(kind: int) -> None:
    value = in_cache.pack("web", in_cache.Entry(RECORD, None))
    entry = in_cache.unpack(KEY, bytes([kind]) + value[1:])
    assert (entry is not None) == (16 <= kind <= 18)
