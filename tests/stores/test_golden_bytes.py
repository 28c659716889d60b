"""
What is stored today, byte by byte.

Sessions outlive a deployment, and while it lasts old and new processes share a store. So whoever
changes one of these formats has to say how the old one is read, and by whom the new one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.core.cache import caches
from django.db import connection

from django_multistore.engine import SessionStore
from django_multistore.models import StoredSession, UserSession
from django_multistore.records import Device, Outcome, SessionRecord, key_of
from django_multistore.rotation.trails import Name, trail_of
from django_multistore.session.keys import HASH_UPGRADE, Secret
from django_multistore.stores import stores
from django_multistore.stores.cache import CacheStore
from django_multistore.stores.memcached import MemcachedStore
from django_multistore.stores.orm import OrmStore
from tests import servers
from tests.settings import OWN_PREFIX
from tests.support.redis_stores import DATABASE, cluster_store, server_store
from tests.support.sessions import at
from tests.support.stores import MEMORY

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SESSION_KEY = "abcdefghijklmnopqrstuvwxyz234567"

ANONYMOUS = SessionRecord(
    id=1,
    key=key_of("anonymous"),
    payload=b"payload",
    version=1,
    user_id=None,
    created_at=NOW,
    authenticated_at=None,
    last_seen_at=NOW + timedelta(seconds=1),
    expires_at=NOW + timedelta(days=36_500),
)
OF_USER = replace(ANONYMOUS, id=2, key=key_of("of user"), user_id="7", authenticated_at=NOW)
TAKEOVER = replace(
    OF_USER,
    id=3,
    key=key_of("takeover"),
    actor_id="8",
    device=Device(ip_address="192.0.2.1", user_agent="Firefox"),
)
MOVED_TO = replace(OF_USER, key=key_of("moved"), version=1)
ENDED = replace(ANONYMOUS, id=4, key=key_of("ended"))

# Microseconds since the epoch, as every format but the table's has times.
CREATED, LAST_SEEN, EXPIRES = "0006475ef6574f35", "0006475ef6669175", "00117b8dae1acf35"
NEVER = "8000000000000000"
NO_NONCE = "0000000000000000"
PAYLOAD = b"payload".hex()


@pytest.fixture(autouse=True)
def _one_secret(settings: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "golden", []
    settings.SESSION_STORES = MEMORY


def live_through_it(store: Any) -> None:
    """Create some sessions, of which one moves and one is ended."""
    for record in (ANONYMOUS, OF_USER, TAKEOVER, ENDED):
        assert store.create(record)
    assert store.rotate(OF_USER.key, MOVED_TO) is Outcome.DONE
    assert store.destroy(ENDED.key)


def test_the_key_of_a_session_key() -> None:
    assert key_of(SESSION_KEY) == "84cb29b2c78b393c0d30a90d5a9f670267d02d9e"


def test_the_session_keys_that_a_rotation_leads_to() -> None:
    for occasion, session_key in (
        ("an occasion", "25qagtszfjyo6dawphyhqwxj3okiw37q"),
        (HASH_UPGRADE, "pyo5kdysjcknw3ohhqfbwacpzp7gvryf"),
    ):
        assert Secret(SESSION_KEY).derive(occasion).session_key == session_key


class TestPayloads:
    """A tag, an HMAC of 16 bytes, and what SESSION_SERIALIZER made of the session's data."""

    def test_what_is_sealed(self) -> None:
        session = SessionStore(SESSION_KEY)
        session._session_cache = {"cart": [1, "é"]}
        session.save(must_create=True)
        record = stores["default"].read(key_of(SESSION_KEY))
        assert record is not None
        sealed = bytes.fromhex("01 11814baaa808ed2fed16227ff7b52796")
        assert record.payload == sealed + b'{"cart":[1,"\\u00e9"]}'

    def test_what_was_deflated_is_opened(self) -> None:
        """It is not compared, as releases of zlib deflate differently."""
        deflated = (
            "02 09a6995843b0cee842d86015d3b58553"
            "7801edd4b10900201003c055e4c7701b11acbe12adc4dd9dc2ee9a0c10923bd1db5c5163eccc227460076e80"
            "0212929084242421094948421292908424242109bf4a18f70112c92406"
        )
        record = replace(ANONYMOUS, key=key_of(SESSION_KEY), payload=bytes.fromhex(deflated))
        stores["default"].create(record)
        assert SessionStore(SESSION_KEY).load() == {"cart": "full " * 1000}

    def test_the_trail_of_a_rotation(self) -> None:
        with at(NOW):
            trail = trail_of(Secret(SESSION_KEY), Name(id=2**62, user_id="7"))
        assert trail.key == "66a74fa4a14673e5f66da3d45fbd07078bd2eb79"
        assert trail.payload[:17] == bytes.fromhex("01 7c20673915bece8f34118c6ad1403f55")
        assert trail.payload[17:] == b'{"id": 4611686018427387904, "user_id": "7"}'
        assert (trail.user_id, trail.authenticated_at, trail.version) == (None, NOW, 1)
        assert trail.expires_at == NOW + timedelta(seconds=60)


@pytest.mark.skipif(django_settings.DEFAULT_DB != "sqlite", reason="its columns have no types")
@pytest.mark.django_db
def test_the_table() -> None:
    with at(NOW):
        live_through_it(OrmStore())
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {StoredSession._meta.db_table} ORDER BY id")  # noqa: S608
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    anonymous = {
        "id": 1,
        "key": ANONYMOUS.key,
        "payload": b"payload",
        "version": 1,
        "user_id": None,
        "created_at": NOW.replace(tzinfo=None),  # As the wall clock of UTC.
        "authenticated_at": None,
        "last_seen_at": ANONYMOUS.last_seen_at.replace(tzinfo=None),
        "expires_at": ANONYMOUS.expires_at.replace(tzinfo=None),
        "ip_address": None,
        "user_agent": "",
        "actor_id": None,
    }
    login = {"user_id": "7", "authenticated_at": NOW.replace(tzinfo=None)}
    assert rows == [
        anonymous,
        anonymous | login | {"id": 2, "key": MOVED_TO.key, "version": 2},
        anonymous
        | login
        | {"id": 3, "key": TAKEOVER.key, "actor_id": "8"}
        | {"ip_address": "192.0.2.1", "user_agent": "Firefox"},
    ]


# A record as one value. Kind; id, created, version; authenticated, last seen, expires; until when
# Redis' index has it; the lengths of user id, IP address and user agent; these, the actor with its
# length, the payload. The nonce of 8 bytes after the kind is left out: in Redis each write has
# another, and in caches there is none.
RECORDS = {
    ANONYMOUS.key: (
        f"01 0000000000000001 {CREATED} 00000001 {NEVER} {LAST_SEEN} {EXPIRES} 00000000"
        f"ffff ff 0000 {PAYLOAD}"
    ),
    MOVED_TO.key: (
        f"01 0000000000000002 {CREATED} 00000002 {CREATED} {LAST_SEEN} {EXPIRES} 00000000"
        f"0001 ff 0000 37 {PAYLOAD}"
    ),
    TAKEOVER.key: (
        f"04 0000000000000003 {CREATED} 00000001 {CREATED} {LAST_SEEN} {EXPIRES} 00000000"
        f"0001 09 0007 37 3139322e302e322e31 46697265666f78 0001 38 {PAYLOAD}"
    ),
}


class TestCaches:
    # A cache that can't keep a value for long has the session expire after 30 days.
    SOON, INDEX_HOLDS_UNTIL = "000649ba75a3d175", "000649ba87857475"
    # Before the record: whether the index has a row, when that was written, until when it holds.
    LISTINGS = {
        ANONYMOUS.key: "10 0000000000000000 0000000000000000",
        MOVED_TO.key: f"12 {LAST_SEEN} {INDEX_HOLDS_UNTIL}",
        TAKEOVER.key: f"12 {LAST_SEEN} {INDEX_HOLDS_UNTIL}",
    }
    DEAD = (f"s:{OF_USER.key}", f"s:{ENDED.key}", f"t:{ENDED.key}")

    def values(self) -> dict[str, bytes]:
        values = dict.fromkeys(self.DEAD, b"dead")
        for key, listing in self.LISTINGS.items():
            record = RECORDS[key].replace(EXPIRES, self.SOON)
            values[f"s:{key}"] = bytes.fromhex(f"{listing} {record[:2]} {NO_NONCE} {record[2:]}")
        return values

    @pytest.fixture(autouse=True)
    def _stored(self, db: None) -> None:
        caches["locmem"].clear()
        with at(NOW):
            live_through_it(CacheStore("web", CACHE="locmem"))

    def test_values(self) -> None:
        names = [name.removeprefix(":1:") for name in caches["locmem"]._cache]
        found = {name: caches["locmem"].get(name) for name in names}
        moved = found.pop(f"t:{OF_USER.key}")
        assert found == self.values()
        # Whoever moves a session knows its own tombstone by that.
        assert len(moved) == 8

    def test_values_of_before_are_sessions(self) -> None:
        caches["locmem"].clear()
        for name, value in self.values().items():
            caches["locmem"].set(name, value)
        store = CacheStore("web", CACHE="locmem")
        with at(NOW):
            soon = NOW + timedelta(days=30, seconds=1)
            for record in (ANONYMOUS, replace(MOVED_TO, version=2), TAKEOVER):
                assert store.read(record.key) == replace(record, expires_at=soon)
            assert store.read(OF_USER.key) is None

    def test_the_index(self) -> None:
        times = {
            "created_at": NOW,
            "authenticated_at": NOW,
            "last_seen_at": NOW + timedelta(seconds=1),
            "expires_at": NOW + timedelta(days=30, minutes=5, seconds=1),
        }
        row = times | {
            "id": 2,
            "store": "web@84948cd6f26f781b",
            "key": MOVED_TO.key,
            "previous_key": OF_USER.key,
            "user_id": "7",
            "ip_address": None,
            "user_agent": "",
            "actor_id": None,
        }
        of_takeover = {"id": 3, "key": TAKEOVER.key, "previous_key": None, "actor_id": "8"}
        device = {"ip_address": "192.0.2.1", "user_agent": "Firefox"}
        found = UserSession.objects.order_by("id").values()
        assert [{name: each[name] for name in row} for each in found] == [
            row,
            row | of_takeover | device,
        ]


class TestMemcached:
    """The values of a cache, each with a nonce of its write; a tombstone is under the same name."""

    @pytest.fixture
    def store(self, db: None) -> MemcachedStore:
        address = servers.require("memcached")
        return MemcachedStore("web", SERVERS=address, KEY_PREFIX=f"{OWN_PREFIX}{id(self)}:")

    def values(self) -> dict[str, bytes]:
        found = {}
        for key, listing in TestCaches.LISTINGS.items():
            record = RECORDS[key].replace(EXPIRES, TestCaches.SOON)
            found[key] = bytes.fromhex(f"{listing} {record[:2]} {NO_NONCE} {record[2:]}")
        return found

    def test_values(self, store: MemcachedStore) -> None:
        with at(NOW):
            live_through_it(store)
        found = {key: store._client.gets(store._cells.name(key)).value for key in RECORDS}
        nonces = slice(18, 26)
        for key, value in self.values().items():
            stored = bytes(found[key] or b"")
            assert stored[: nonces.start] + bytes(8) + stored[nonces.stop :] == value
            assert stored[nonces] != bytes(8)
        for key in (OF_USER.key, ENDED.key):
            tombstone = store._client.gets(store._cells.name(key)).value or b""
            assert (tombstone[:4], len(tombstone)) == (b"dead", 12)
        assert {row.store for row in UserSession.objects.all()} == {store._index.place}

    def test_values_of_before_are_sessions(self, store: MemcachedStore) -> None:
        with at(NOW):
            live_through_it(store)  # It leaves the rows of these in the index.
        for key, value in self.values().items():
            store._client.set_many({store._cells.name(key): value}, 60)
        store._client.set_many({store._cells.name(OF_USER.key): b"dead12345678"}, 60)
        with at(NOW):
            soon = NOW + timedelta(days=30, seconds=1)
            for record in (ANONYMOUS, replace(MOVED_TO, version=2), TAKEOVER):
                assert store.read(record.key) == replace(record, expires_at=soon)
            assert store.read(OF_USER.key) is None


# What is under which name, by how a site's Redis is used. A tombstone has no more than the user id,
# and the next key.
ON_A_CLUSTER = {
    ANONYMOUS.key: RECORDS[ANONYMOUS.key],
    MOVED_TO.key: RECORDS[MOVED_TO.key].replace(f"{EXPIRES} 00000000", f"{EXPIRES} ffffffff"),
    TAKEOVER.key: RECORDS[TAKEOVER.key].replace(f"{EXPIRES} 00000000", f"{EXPIRES} ffffffff"),
    OF_USER.key: (
        f"03 0000000000000002 {CREATED} 00000001 {CREATED} {LAST_SEEN} {EXPIRES} ffffffff"
        f"0001 ff 0000 37 {MOVED_TO.key}"
    ),
    ENDED.key: (
        f"02 0000000000000004 {CREATED} 00000001 {NEVER} {LAST_SEEN} {EXPIRES} 00000000ffff ff 0000"
    ),
}
MADE = {"server": (server_store, RECORDS), "cluster": (cluster_store, ON_A_CLUSTER)}


@pytest.fixture
def client() -> Iterator[Any]:
    def clear() -> None:
        for name in client.scan_iter(match=f"{OWN_PREFIX}:*"):
            client.unlink(name)

    with redis.Redis.from_url(f"redis://{servers.require('redis')}/{DATABASE}") as client:
        clear()
        yield client
        clear()


@pytest.mark.parametrize("way", MADE)
class TestRedis:
    def test_sessions(self, way: str, client: Any) -> None:
        make_store, values = MADE[way]
        with at(NOW):
            live_through_it(make_store())
        prefix = f"{OWN_PREFIX}:s:".encode()
        found = {
            name.removeprefix(prefix).hex(): client.get(name)
            for name in client.scan_iter(match=f"{OWN_PREFIX}:s:*")
        }
        without_nonce = {key: value[:1] + value[9:] for key, value in found.items()}
        assert without_nonce == {key: bytes.fromhex(value) for key, value in values.items()}

    def test_sessions_of_before_are_sessions(self, way: str, client: Any) -> None:
        make_store, values = MADE[way]
        for key, value in values.items():
            stored = bytes.fromhex(value)
            name = f"{OWN_PREFIX}:s:".encode() + bytes.fromhex(key)
            client.set(name, stored[:1] + b"a nonce." + stored[1:])
        store = make_store()
        for record in (ANONYMOUS, replace(MOVED_TO, version=2), TAKEOVER):
            assert store.read(record.key) == record
        assert store.read(OF_USER.key) is store.read(ENDED.key) is None

    def test_the_index(self, way: str, client: Any) -> None:
        """Its scores are when a member goes, by Redis' clock in seconds; .5 is for takeovers."""
        make_store, _ = MADE[way]
        with at(NOW):
            live_through_it(make_store())
        now = time.time()
        found = client.zrange(f"{OWN_PREFIX}:u:7", 0, -1, withscores=True)
        scores = {member.hex(): score for member, score in found}
        life = (ANONYMOUS.expires_at - NOW).total_seconds()
        if way == "server":
            lives = {TAKEOVER.key: life, MOVED_TO.key: life}
            assert {key: score % 1 for key, score in scores.items()} == {
                TAKEOVER.key: 0.5,
                MOVED_TO.key: 0,
            }
        else:  # A tombstone stays for ten minutes, a session is listed for longer than it lives.
            lives = {TAKEOVER.key: 1.1 * life, MOVED_TO.key: 1.1 * life, OF_USER.key: 600}
        assert {key: score - now for key, score in scores.items()} == pytest.approx(lives, abs=9)
