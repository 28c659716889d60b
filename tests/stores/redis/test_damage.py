"""
What is damaged in Redis is nothing, and a line in the log: no error, no wall before the others.

Whoever ends it, or all of its user's sessions, removes it.
"""

from __future__ import annotations

import logging
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_multistore.records import Device, Limit, Outcome, SessionRecord, key_of, new_id
from django_multistore.session import clock, codec
from django_multistore.stores import record_bytes
from django_multistore.stores.indexed import values as packing
from django_multistore.stores.redis import RedisStore, layout
from django_multistore.testing import Calls, make_record
from tests.support.helpers import rounds
from tests.support.redis_groups import ClusterGroup, private_group
from tests.support.redis_stores import cluster_store, new_key, of_user, server_store

pytestmark = pytest.mark.elsewhere

LOGGER = "django.security.SuspiciousSession"
KEY = key_of("a" * 32)
DEFLATED = b"\x02"
PARSED = 50  # inputs of the parsers, for one round of a stress test
PARSED_BRIEFLY = 5_000
IN_REDIS_BRIEFLY = 150


class Lines(logging.Handler):
    """Counts lines of the log, and looks whether one tells a key."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        assert KEY not in record.getMessage()


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger(LOGGER)
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    yield handler
    logger.propagate = before
    logger.removeHandler(handler)


def source_of_chance() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed: {seed}")  # noqa: T201 - pytest shows it when the test fails
    return random.Random(seed)


# Bytes that anybody may have written.


def records() -> list[SessionRecord]:
    record = make_record(key=KEY, user_id="7", authenticated_at=clock.now(), payload=b"p" * 40)
    long = Device(ip_address="2001:db8::1", user_agent="agent \N{SNOWMAN}" * 60)
    return [
        record,
        make_record(key=KEY),
        replace(record, user_id="\N{GRINNING FACE}" * 255, device=long),
        replace(record, device=Device(), payload=bytes(2000), version=2**32 - 1),
        replace(record, actor_id="8"),
        replace(record, device=long, actor_id="\N{GRINNING FACE}" * 255),
        make_record(key=KEY, actor_id=""),
    ]


def in_redis() -> list[bytes]:
    """Return sessions and the tombstones of some."""
    sessions = [layout.pack("web", record) for record in records()]
    heads = [record_bytes.HEAD.size + len(layout.user_of(each) or b"") for each in sessions]
    nonce, successor = b"n" * record_bytes.NONCE_LENGTH, b"s" * layout.KEY_LENGTH
    identities = [each[9:end] for each, end in zip(sessions, heads, strict=True)]
    moved = [b"\3" + nonce + identity + successor for identity in identities]
    ended = [b"\2" + nonce + identity for identity in identities]
    return [*sessions, *moved, *ended, b"\2" + nonce]


def in_caches() -> list[bytes]:
    now = clock.now()
    listing = packing.Listing(written_at=now, valid_until=now + timedelta(days=1))
    return [
        packing.pack("web", packing.Entry(record, None if record.user_id is None else listing))
        for record in records()
    ]


def mutated(chance: random.Random, sound: list[bytes], lengths: tuple[int, int]) -> bytes:
    """
    Return what may have become of one of these.

    Args:
        chance: what decides.
        sound: values that are as they should be.
        lengths: where the fields for lengths begin and end.
    """
    value = bytearray(chance.choice(sound))
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        place = chance.randrange(len(value)) if value else 0
        match chance.randrange(8):
            case 0:
                value = bytearray(chance.randbytes(chance.randrange(200)))
            case 1 if value:
                value[place] ^= 1 << chance.randrange(8)
            case 2:
                del value[place:]
            case 3:
                value = value[:place] + chance.choice(sound)[chance.randrange(100) :]
            case 4:
                field = chance.choice((b"\0", b"\xff", b"\x80", chance.randbytes(1)))
                begin, end = lengths
                value[begin:end] = field * (end - begin)
            case 5:
                # Times and counts, of which the widest numbers are the worst.
                field = chance.choice((b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7))
                value[place : place + 8] = field
            case 6:
                value += chance.randbytes(chance.randrange(50))
            case 7 if value:
                value[0] = chance.choice((0, 1, 2, 3, 4, 16, 17, 18))
    return bytes(value)


def parse_what_redis_has(chance: random.Random, count: int, lines: Lines) -> None:
    sound = in_redis()
    for _ in range(count):
        value = mutated(chance, sound, (57, 62))
        lines.count = 0
        record = layout.unpack(KEY, value)
        is_tombstone = value[:1] in layout.TOMBSTONES
        assert lines.count == (record is None and not is_tombstone)
        if record is not None:
            look_at(record)
            # What is read can be written again.
            assert layout.unpack(KEY, layout.pack("web", record)) == record
        head = layout.head_alone(value[: layout.MOST_OF_A_HEAD])
        assert isinstance(layout.is_cut(head), bool)
        assert isinstance(layout.user_of(head), bytes | None)
        assert len(layout.successor_of(value) or KEY) == len(KEY)
        layout.unpack(KEY, layout.head_alone(value[: record_bytes.LONGEST_HEAD]))


def parse_what_caches_have(chance: random.Random, count: int) -> None:
    sound = in_caches()
    for _ in range(count):
        entry = packing.unpack(KEY, mutated(chance, sound, (74, 79)))
        if entry is not None:
            look_at(entry.record)
            again = packing.unpack(KEY, packing.pack("web", entry))
            assert again is not None
            assert again.record == entry.record
    for value in (None, 7, "text", [], memoryview(sound[0]), bytearray(sound[0])):
        assert packing.unpack(KEY, value) is None


def look_at(record: SessionRecord) -> None:
    """Use a record as those do who read it."""
    assert record.id >= 0
    assert record.expires_at - clock.now() < timedelta.max
    assert record.last_seen_at > record.created_at or record.last_seen_at <= record.created_at
    assert isinstance(record.user_id, str | None)


def open_payloads(chance: random.Random, count: int) -> None:
    bodies = [b"{}", b'{"a": 1}', bytes(5000)]
    sound = [codec.seal(body, KEY) for body in bodies]
    for _ in range(count):
        opened = codec.unseal(mutated(chance, sound, (0, 17)), KEY)
        assert opened is None or opened in bodies


def open_what_was_damaged_before_it_was_sealed(chance: random.Random, count: int) -> None:
    sound = [zlib.compress(chance.randbytes(size)) for size in (10, 2000)]
    for _ in range(count):
        body = mutated(chance, sound, (0, 2))
        mac = codec._compute_mac("not a secret: for tests only", DEFLATED, KEY, body)
        opened = codec.unseal(DEFLATED + mac + body, KEY)
        assert isinstance(opened, bytes | None)


def parse_all(chance: random.Random, count: int, lines: Lines) -> None:
    parse_what_redis_has(chance, count, lines)
    parse_what_caches_have(chance, count)
    open_payloads(chance, count)
    open_what_was_damaged_before_it_was_sealed(chance, count // 10)


@pytest.mark.parametrize("use_tz", [True, False])
def test_damaged_bytes_are_nothing(settings: Any, lines: Lines, use_tz: bool) -> None:
    settings.USE_TZ = use_tz
    settings.SECRET_KEY = "not a secret: for tests only"
    parse_all(source_of_chance(), PARSED_BRIEFLY, lines)


@pytest.mark.stress
def test_a_million_damaged_values_are_nothing(settings: Any, lines: Lines) -> None:
    settings.SECRET_KEY = "not a secret: for tests only"
    parse_all(source_of_chance(), rounds() * PARSED, lines)


def test_each_length_of_a_value(lines: Lines) -> None:
    for value in in_redis():
        for length in range(record_bytes.LONGEST_HEAD):
            cut = value[:length]
            assert isinstance(layout.unpack(KEY, cut), SessionRecord | None)
            assert layout.successor_of(cut) in (None, (b"s" * 20).hex())


def test_times_beyond_all_years(lines: Lines) -> None:
    for place in (17, 29, 37, 45):  # created_at, authenticated_at, last_seen_at, expires_at
        for number in (2**63 - 1, -(2**63) + 1, 10**18):
            value = bytearray(layout.pack("web", records()[0]))
            value[place : place + 8] = struct.pack(">q", number)
            lines.count = 0
            assert layout.unpack(KEY, bytes(value)) is None
            assert lines.count == 1


# The same in Redis.


@pytest.fixture(scope="module")
def group() -> Iterator[ClusterGroup]:
    with private_group(ClusterGroup) as started:
        yield started


@pytest.fixture(
    params=[
        pytest.param(server_store, id="server"),
        pytest.param(cluster_store, id="steps"),
        pytest.param(None, id="cluster", marks=pytest.mark.fault),
    ]
)
def store(request: pytest.FixtureRequest) -> RedisStore:
    if request.param is None:
        found: ClusterGroup = request.getfixturevalue("group")
        return RedisStore("mine", URL=f"{found.url}?protocol=3", CLUSTER=True)
    made: RedisStore = request.param()
    return made


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    found: bool = request.param
    return found


class Damaged:
    """A user with a sound session, and one of which only what a test puts there is left."""

    def __init__(self, store: RedisStore, *, is_async: bool) -> None:
        self.store = store
        self.calls = Calls(store, is_async=is_async)
        self.user_id = str(new_id())
        self.sound = replace(of_user(), user_id=self.user_id)
        self.record = replace(of_user(), user_id=self.user_id)
        for record in (self.sound, self.record):
            assert self.calls.create(record)
        self.name = store._protocol.session_name(self.record.key)
        self.index = store._protocol.index_name(self.user_id)

    def ask(self, *command: Any) -> Any:
        return self.store._client.call(*command)

    def becomes(self, value: bytes) -> None:
        self.ask("SET", self.name, value, "PX", 3_600_000)

    def is_hidden(self) -> bool:
        """Say whether the damaged session is in no list, where the sound one has to be."""
        listed = {record.key for record in self.calls.sessions_for_user(self.user_id)}
        page = self.calls.page_for_user(self.user_id, start=0, size=10)
        assert listed == {record.key for record in page.records}
        assert self.sound.key in listed
        return self.record.key not in listed

    def is_gone(self) -> bool:
        """Say whether there is nothing, or only what says that the session has ended."""
        if not self.ask("EXISTS", self.name):
            return True
        value: bytes = self.ask("GET", self.name)
        return value[:1] == b"\2"

    def members(self) -> list[bytes]:
        found: list[bytes] = self.ask("ZRANGE", self.index, 0, -1)
        return found


def other_types(damaged: Damaged) -> list[Callable[[bytes], Any]]:
    return [
        lambda name: damaged.ask("RPUSH", name, "x"),
        lambda name: damaged.ask("HSET", name, "x", "y"),
        lambda name: damaged.ask("SADD", name, "x"),
        lambda name: damaged.ask("XADD", name, "*", "x", "y"),
    ]


CUT = [0, 1, 8, 9, 30, 57, 58, 61, 62, 63, 70]


@pytest.mark.parametrize("length", CUT)
def test_a_session_that_was_cut(
    store: RedisStore, is_async: bool, length: int, lines: Lines
) -> None:
    for end in ("destroy", "destroy_for_user"):
        damaged = Damaged(store, is_async=is_async)
        damaged.becomes(layout.pack("web", damaged.record)[:length])
        assert_damaged(damaged, lines)
        assert_ends(damaged, end)


@pytest.mark.parametrize("end", ["destroy", "destroy_for_user"])
def test_a_session_of_another_type(
    store: RedisStore, is_async: bool, end: str, lines: Lines
) -> None:
    for place in range(4):
        damaged = Damaged(store, is_async=is_async)
        damaged.ask("UNLINK", damaged.name)
        other_types(damaged)[place](damaged.name)
        assert_damaged(damaged, lines)
        assert_ends(damaged, end)


@pytest.mark.parametrize(
    ("begin", "field"),
    [
        (0, b"\7"),
        (57, b"\xff\xfe"),
        (57, b"\x10\x00"),
        (59, b"\xfe"),
        (60, b"\xff\xff"),
        (62, b"\xc3\x28"),
        (17, b"\x7f" + b"\xff" * 7),
    ],
)
def test_a_session_of_which_a_field_is_wrong(
    store: RedisStore, is_async: bool, begin: int, field: bytes, lines: Lines
) -> None:
    for end in ("destroy", "destroy_for_user"):
        damaged = Damaged(store, is_async=is_async)
        value = bytearray(layout.pack("web", damaged.record))
        value[begin : begin + len(field)] = field
        damaged.becomes(bytes(value))
        lines.count = 0
        assert damaged.calls.read(damaged.record.key) is None
        assert lines.count == 1
        assert damaged.is_hidden()
        if begin == 62 and end == "destroy_for_user" and is_on_cluster(store):
            continue  # The user id itself: it is another's.
        assert_ends(damaged, end)


def is_on_cluster(store: RedisStore) -> bool:
    return type(store._protocol).__name__ == "ClusterProtocol"


def assert_damaged(damaged: Damaged, lines: Lines) -> None:
    calls, record = damaged.calls, damaged.record
    lines.count = 0
    assert calls.read(record.key) is None
    assert lines.count == 1
    assert calls.update(record) is Outcome.GONE
    assert calls.touch(record) is False
    assert calls.rotate(record.key, replace(record, key=new_key())) is Outcome.GONE
    assert calls.modify(record.key, lambda found: found) is Outcome.GONE
    assert calls.create(replace(record, payload=b"rival")) is False
    assert calls.destroy_session(damaged.user_id, record.id) is False
    limit = Limit(most=9, evicts=True)
    assert calls.admit(record.key, record, limit).outcome is Outcome.GONE
    assert damaged.is_hidden()


def assert_ends(damaged: Damaged, end: str) -> None:
    calls = damaged.calls
    if end == "destroy":
        calls.destroy(damaged.record.key)
        assert damaged.is_gone()
        assert damaged.is_hidden()
    assert calls.destroy_for_user(damaged.user_id) >= 1
    assert damaged.is_gone()
    assert damaged.members() == []
    assert calls.sessions_for_user(damaged.user_id) == []


def test_a_destroyed_session_leaves_its_index_if_that_can_be_read(store: RedisStore) -> None:
    damaged = Damaged(store, is_async=False)
    damaged.becomes(b"\7" + layout.pack("web", damaged.record)[1:])
    assert damaged.calls.destroy(damaged.record.key) is False
    assert damaged.members() == [bytes.fromhex(damaged.sound.key)]


MEMBERS = [b"", b"x", b"x" * 19, b"x" * 21, b"x" * 40, bytes(5000)]
SCORES = ["-inf", "-1", "0", "1e300", "+inf", "4e9"]


@pytest.mark.parametrize("score", SCORES)
def test_an_index_with_members_that_are_no_keys(
    store: RedisStore, is_async: bool, score: str, lines: Lines
) -> None:
    damaged = Damaged(store, is_async=is_async)
    for member in MEMBERS:
        damaged.ask("ZADD", damaged.index, score, member)
    assert not damaged.is_hidden()
    if score != "-inf":  # Else they are not on the page of the last ones.
        assert lines.count
    assert damaged.calls.destroy_session(damaged.user_id, damaged.record.id)
    assert damaged.calls.destroy_for_user(damaged.user_id, except_key=damaged.sound.key) <= 1
    assert damaged.members() == [bytes.fromhex(damaged.sound.key)]
    assert damaged.calls.create(replace(of_user(), user_id=damaged.user_id))
    assert damaged.calls.destroy_for_user(damaged.user_id) == 2
    assert damaged.members() == []


@pytest.mark.parametrize("score", SCORES)
def test_an_index_with_scores_that_are_no_times(
    store: RedisStore, is_async: bool, score: str
) -> None:
    damaged = Damaged(store, is_async=is_async)
    damaged.ask("ZADD", damaged.index, score, bytes.fromhex(damaged.record.key))
    calls, record = damaged.calls, damaged.record
    longer = replace(record, expires_at=record.expires_at + timedelta(days=400))
    assert not damaged.is_hidden()
    assert calls.update(longer) is Outcome.DONE
    assert calls.touch(replace(longer, version=2))
    moved = replace(longer, key=new_key(), version=2)
    assert calls.rotate(record.key, moved) is Outcome.DONE
    assert calls.destroy_session(damaged.user_id, record.id)
    assert calls.destroy_for_user(damaged.user_id) == 1


def test_an_index_of_another_type(store: RedisStore, is_async: bool, lines: Lines) -> None:
    for place in range(4):
        damaged = Damaged(store, is_async=is_async)
        calls, user_id = damaged.calls, damaged.user_id

        def break_it(damaged: Damaged = damaged, place: int = place) -> None:
            damaged.ask("UNLINK", damaged.index)
            other_types(damaged)[place](damaged.index)

        break_it()
        lines.count = 0
        assert calls.sessions_for_user(user_id) == []
        assert calls.page_for_user(user_id, start=0, size=5).total == 0
        assert lines.count == 2
        assert calls.destroy_session(user_id, damaged.sound.id) is False
        assert calls.update(damaged.sound) is Outcome.DONE
        store.gc()
        assert calls.destroy(damaged.record.key)
        break_it()
        assert calls.destroy_for_user(user_id) == 0
        assert damaged.ask("EXISTS", damaged.index) == 0
        # A login is not kept out.
        for limit in (Limit(most=2, evicts=False), Limit(most=2, evicts=True)):
            break_it()
            fresh = replace(of_user(), user_id=user_id)
            assert calls.admit(None, fresh, limit).outcome is Outcome.DONE
            assert [found.id for found in calls.sessions_for_user(user_id)] == [fresh.id]


def test_a_tombstone_that_was_cut(is_async: bool, lines: Lines) -> None:
    store = cluster_store()
    for length in (1, 8, 9, 30, 61, 62, 70, 80, -1):
        damaged = Damaged(store, is_async=is_async)
        moved = replace(damaged.record, key=new_key())
        assert damaged.calls.rotate(damaged.record.key, moved) is Outcome.DONE
        tombstone = damaged.ask("GET", damaged.name)
        damaged.becomes(tombstone[:length])
        assert damaged.calls.read(damaged.record.key) is None
        listed = {record.key for record in damaged.calls.sessions_for_user(damaged.user_id)}
        assert listed == {damaged.sound.key, moved.key}
        assert damaged.calls.destroy(damaged.record.key) is False
        assert damaged.calls.destroy_for_user(damaged.user_id) >= 2
        assert damaged.members() == []


def damage_in_redis(store: RedisStore, chance: random.Random, count: int) -> None:
    for number in range(count):
        damaged = Damaged(store, is_async=number % 20 == 0)
        calls, record = damaged.calls, damaged.record
        sound = [damaged.ask("GET", damaged.name), *in_redis()]
        value = mutated(chance, sound, (57, 62))
        damaged.becomes(value)
        read = calls.read(record.key)
        operations: list[Callable[[], Any]] = [
            lambda calls=calls, record=record: calls.read(record.key),
            lambda calls=calls, record=record: calls.create(record),
            lambda calls=calls, record=record: calls.destroy_session(record.user_id, record.id),
        ]
        writes: list[Callable[[], Any]] = [
            lambda calls=calls, record=record: calls.update(replace(record, version=None)),
            lambda calls=calls, record=record: calls.touch(replace(record, version=None)),
            lambda calls=calls, record=record: calls.rotate(
                record.key, replace(record, key=new_key(), version=None)
            ),
            lambda calls=calls, record=record: calls.modify(record.key, lambda found: found),
            lambda calls=calls, record=record: calls.destroy(record.key),
        ]
        for operation in chance.sample(operations, 2):
            operation()
        damaged.is_hidden()
        if chance.random() < 0.7:
            chance.choice(writes)()
            damaged.is_hidden()
        calls.destroy_for_user(damaged.user_id)
        has_user = layout.user_of(value) == damaged.user_id.encode()
        if not is_on_cluster(store) or (read is None and value[:1] not in layout.TOMBSTONES):
            left = damaged.members()
            assert left == [] or (is_on_cluster(store) and not has_user), value
        assert calls.read(damaged.sound.key) is None
        damaged.ask("UNLINK", damaged.name)
        damaged.ask("UNLINK", damaged.index)


def test_damage_meets_each_script(store: RedisStore, lines: Lines) -> None:
    damage_in_redis(store, source_of_chance(), IN_REDIS_BRIEFLY)


@pytest.mark.stress
def test_much_damage_meets_each_script(store: RedisStore, lines: Lines) -> None:
    damage_in_redis(store, source_of_chance(), rounds())


# What numbers can hold.


LAST_YEAR = [datetime(2106, 2, 7), datetime(2107, 1, 1), datetime(9999, 12, 31, 23, 59)]


@pytest.mark.parametrize("end", LAST_YEAR)
def test_a_session_that_lives_beyond_32_bits(
    store: RedisStore, is_async: bool, end: datetime
) -> None:
    calls, record = Calls(store, is_async=is_async), of_user()
    end = timezone.make_aware(end)
    record = replace(record, expires_at=end)
    assert calls.create(record)
    assert calls.update(record) is Outcome.DONE
    assert calls.touch(replace(record, version=2, device=Device()))
    moved = replace(record, key=new_key(), version=2)
    assert calls.rotate(record.key, moved) is Outcome.DONE
    (found,) = calls.sessions_for_user(record.user_id)
    assert found.id == record.id
    assert abs(found.expires_at - end) < timedelta(days=1)  # The end of 9999 is that of UTC.
    assert calls.modify(moved.key, lambda stored: replace(stored, payload=b"x")) is Outcome.DONE
    name = store._protocol.session_name(moved.key)
    ends_at = store._client.call("PEXPIRETIME", name) / 1000
    assert abs(ends_at - end.timestamp()) < 86_400
    visitor = make_record()
    assert calls.create(visitor)
    login = replace(
        visitor, user_id=record.user_id, authenticated_at=visitor.last_seen_at, expires_at=end
    )
    assert calls.update(login) is Outcome.DONE
    # Shorter again, and longer.
    shorter = replace(login, version=2, expires_at=clock.now() + timedelta(hours=1))
    assert calls.update(shorter) is Outcome.DONE
    assert calls.update(replace(shorter, version=3, expires_at=end)) is Outcome.DONE
    assert len(calls.sessions_for_user(record.user_id)) == 2
    assert calls.destroy_for_user(record.user_id) == 2
    assert calls.sessions_for_user(record.user_id) == []


def test_what_lives_beyond_32_bits_is_raised_in_the_index() -> None:
    """The head can't tell 2107 from 2200, so the index is asked each time."""
    store = cluster_store()
    record = replace(of_user(), expires_at=timezone.make_aware(datetime(2107, 1, 1)))
    assert store.create(record)
    later = timezone.make_aware(datetime(2200, 1, 1))
    assert store.update(replace(record, expires_at=later)) is Outcome.DONE
    index = store._protocol.index_name(str(record.user_id))
    score = store._client.call("ZSCORE", index, bytes.fromhex(record.key))
    assert float(score) >= later.timestamp()
    assert store.destroy_for_user(record.user_id) == 1


def test_the_version_after_the_last(store: RedisStore, is_async: bool) -> None:
    calls, record = Calls(store, is_async=is_async), of_user()
    assert calls.create(record)
    name = store._protocol.session_name(record.key)
    store._client.call("SETRANGE", name, 25, b"\xff" * 4)
    found = calls.read(record.key)
    assert found is not None
    assert calls.update(found) is Outcome.DONE
    again = calls.read(record.key)
    assert again is not None
    assert again.version == 1
    store._client.call("SETRANGE", name, 25, b"\xff" * 4)
    moved = replace(found, key=new_key())
    assert calls.rotate(record.key, moved) is Outcome.DONE
    assert calls.read(moved.key).version == 1
    assert calls.destroy_for_user(record.user_id) == 1
    # Of another store, say.
    assert calls.create(replace(of_user(), version=2**40))


def test_an_id_that_none_can_have(store: RedisStore, is_async: bool) -> None:
    calls, record = Calls(store, is_async=is_async), of_user()
    assert calls.create(record)
    for id in (2**63, 2**200, -(2**63) - 1, -1):
        assert calls.destroy_session(record.user_id, id) is False
    assert calls.destroy_for_user(record.user_id) == 1


@pytest.mark.parametrize("length", [100, 107, 110, 250, 251, 254, 255])
def test_the_longest_user_ids(store: RedisStore, is_async: bool, length: int) -> None:
    calls, tail = Calls(store, is_async=is_async), str(new_id())
    user_id = ("\N{GRINNING FACE}" * length)[: length - len(tail)] + tail
    if length == 255:  # 1,020 bytes, and another such user each time.
        digits = str(new_id()).zfill(19)
        user_id = "".join(chr(0x1F600 + int(digit)) for digit in digits).ljust(255, "\N{DRAGON}")
    record = replace(of_user(), user_id=user_id)
    stays = replace(of_user(), user_id=user_id)
    assert calls.create(record)
    assert calls.create(stays)
    for version in range(1, 4):
        moved = replace(record, key=new_key(), version=version)
        assert calls.rotate(record.key, moved) is Outcome.DONE
        record = moved
    # As if the new key were not listed yet: who would end the session has to follow.
    index = store._protocol.index_name(user_id)
    if is_on_cluster(store):
        store._client.call("ZREM", index, bytes.fromhex(record.key))
    found = {session.key for session in calls.sessions_for_user(user_id)}
    assert found == {record.key, stays.key}
    assert calls.destroy_for_user(user_id, except_key=stays.key) == 1
    assert calls.read(record.key) is None
    assert calls.read(stays.key) is not None
    assert calls.destroy_session(user_id, stays.id)
    assert calls.sessions_for_user(user_id) == []
