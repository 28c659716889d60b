"""Records as bytes, there and back. What the bytes are is pinned in test_golden_bytes.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from django_multistore.records import Device, SessionRecord, key_of
from django_multistore.stores import record_bytes
from django_multistore.stores.indexed import values as in_cache
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
ANONYMOUS = replace(RECORD, user_id=None, authenticated_at=None, device=Device())


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, actor_id="8"), ANONYMOUS])
def test_a_record(record: SessionRecord) -> None:
    for pack in (record_bytes.pack_record, in_redis.pack):
        value = pack("web", record)
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
    assert value[17:] == record_bytes.pack_record("web", RECORD)
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
