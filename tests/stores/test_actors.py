"""Who acts in a session: what was stored before there was such a field, and the index of caches."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import timezone

from django_multistore.records import Device, key_of, new_id
from django_multistore.stores.cache import CacheStore
from django_multistore.stores.indexed import values as packing
from django_multistore.stores.redis import layout
from django_multistore.testing import make_record

KEY = key_of("key")


def test_what_was_stored_without_the_field_is_read() -> None:
    device = Device(ip_address="192.0.2.7", user_agent="Firefox")
    record = make_record(key=KEY, id=7, user_id="42", device=device, payload=b"payload")
    # The first byte of a record says it. Nothing else has moved.
    in_redis = layout.pack("web", record)
    assert in_redis[0] == 1
    assert in_redis.endswith(b"42192.0.2.7Firefoxpayload")
    assert len(in_redis) == 62 + len("42192.0.2.7Firefoxpayload")
    assert layout.unpack(KEY, in_redis) == record
    listing = packing.Listing(written_at=record.last_seen_at, valid_until=record.expires_at)
    in_cache = packing.pack("web", packing.Entry(record, listing))
    assert in_cache[packing.LISTING.size] == 1
    assert len(in_cache) == packing.LISTING.size + len(in_redis)


@pytest.mark.parametrize("actor_id", ["", "8", "é" * 255, "\N{GRINNING FACE}" * 255])
def test_an_actor_that_is_cut_off_is_no_session(actor_id: str) -> None:
    record = make_record(key=KEY, user_id="42", actor_id=actor_id, payload=b"")
    in_redis = layout.pack("web", record)
    in_cache = packing.pack("web", packing.Entry(record, None))
    for length in (1, 2, 3, len(actor_id.encode()) + 1):
        if length <= len(actor_id.encode()) + 2:
            assert layout.unpack(KEY, in_redis[:-length]) is None
            assert packing.unpack(KEY, in_cache[:-length]) is None
    assert layout.unpack(KEY, in_redis) == record
    assert layout.unpack(KEY, layout.head_alone(in_redis + b"payload")) == record


@pytest.mark.django_db
@pytest.mark.parametrize("actor_id", ["x" * 256, "8\0"])
def test_an_actor_who_fits_no_column_is_refused(actor_id: str) -> None:
    record = make_record(user_id="42", actor_id=actor_id)
    with pytest.raises(ValueError, match="takes user ids of up to 255"):
        CacheStore("mine", CACHE="locmem").create(record)


@pytest.mark.django_db
def test_the_index_of_a_cache_has_who_acts() -> None:
    store = CacheStore("mine", CACHE="locmem")
    user_id = str(new_id())
    record = make_record(user_id=user_id, authenticated_at=timezone.now(), actor_id="8")
    store.create(record)

    def indexed() -> list[str | None]:
        return [row.record().actor_id for row in store.database_index().of_user(user_id)]

    assert indexed() == ["8"]
    # At once, not with the next row that is due.
    store.update(replace(record, actor_id=None))
    assert indexed() == [None]
    store.update(replace(record, actor_id="9", version=2))
    assert indexed() == ["9"]
