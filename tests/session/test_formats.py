"""The formats of payloads: which are written, and that each can be read, or says why it can't."""

from __future__ import annotations

import json
import logging
import random
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.core.signing import JSONSerializer
from django.test import override_settings

from django_multistore.auth.unopenable import Search, Verdict
from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import Limit, key_of
from django_multistore.session import codec, compression, pieces
from django_multistore.session.codec import Body
from django_multistore.session.compression import Packing, TooLarge
from django_multistore.session.lazy import LazyData
from django_multistore.session.serialization import read, write
from django_multistore.stores import stores
from tests.support import last_release
from tests.support.stores import MEMORY

SESSION_KEY = "abcdefghijklmnopqrstuvwxyz234567"
KEY = key_of(SESSION_KEY)
SMALL = {"é": [1, "ü\x7f", 1e16, None]}
LARGE = {"cart": "full " * 1000} | SMALL
DJANGOS = JSONSerializer()

# One payload of each format, as it was once written. They must be readable for ever.
GOLDEN = {
    b"\x01": (
        "01 d7f450410f27905e0f7aaf91a0dce4f4"
        "7b225c7530306539223a5b312c225c75303066635c7530303766222c31652b31362c6e756c6c5d7d"
    ),
    b"\x02": (
        "02 dfb6e68e494b8bfb1ed362c68a27cc55"
        "7801edd4310a80301044d1abc8b46e9134067315b5909054c1424c25de5dc533d8fd6659b61c66df"
        "a9b4ee87a24aabb56390013de00da0000991100991100991100991100991100991100991f0570965"
        "9a9b7379549cfcb797f45e4291f9dcfbc1b6a784cb750355792edb"
    ),
    b"\x03": (
        "03 d3b412c94c570adcd094e2d133e1f679"
        "28b52ffd60ba12e5010014037b2263617274223a2266756c6c20222c225c7530306539223a5b3166"
        "635c7530303766222c31652b31362c6e756c6c5d7d02002fc30738e88b12"
    ),
    b"\x04": (
        "04 e5878981fe3df9d77f71461e0fbcba1d7b22c3a9223a5b312c22c3bc7f222c31652b31362c6e756c6c5d7d"
    ),
    b"\x05": (
        "05 6ab6e423dd8ccf51ad6c591f9f61b751"
        "7801ab564a4e2c2a51b2524a2bcdc951182546c360341d8c6683d1a260b4241c2d09474bc2d19270"
        "b4241c2d09474bc2d19270b4241c2d09474bc2d19270b4241c2d09695a122ae9281d5ea964156d08"
        "a4f7d42be918a66a1b9ae9e401d35d6c2d002c9c2cae"
    ),
    b"\x06": (
        "06 d50b3a24522eff0b901e241a996eaf92"
        "28b52ffd60ad129d0100a4027b2263617274223a2266756c6c20222c22c3a9223a5b312c22c3bc7f"
        "222c31652b31362c6e756c6c5d7d01008083be2801"
    ),
}
# What settings write, of a small session, a middle one and a large one.
WRITTEN = {
    ("ascii", "deflate"): (b"\x01", b"\x02", b"\x02"),
    ("ascii", "zstd"): (b"\x01", b"\x01", b"\x03"),
    ("ascii", "none"): (b"\x01", b"\x01", b"\x01"),
    ("utf-8", "deflate"): (b"\x04", b"\x05", b"\x05"),
    ("utf-8", "zstd"): (b"\x04", b"\x04", b"\x06"),
    ("utf-8", "none"): (b"\x04", b"\x04", b"\x04"),
}
HAS_ZSTD = compression.find_zstd() is not None
needs_zstd = pytest.mark.skipif(not HAS_ZSTD, reason="zstd is missing")


@pytest.fixture(autouse=True)
def _one_secret(settings: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "golden", []
    settings.SESSION_STORES = MEMORY


@pytest.fixture(params=[True, False], ids=["msgspec", "without"])
def _with_and_without_msgspec(request: pytest.FixtureRequest, monkeypatch: Any) -> None:
    if request.param and not pieces.IS_FAST:
        pytest.skip("msgspec is missing")
    monkeypatch.setattr(pieces, "IS_FAST", request.param)


@pytest.fixture
def _no_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "find_zstd", lambda: None)


def store_payload(payload: bytes) -> None:
    session = SessionStore(SESSION_KEY)
    session.save(must_create=True)
    stored = stores["default"].read(KEY)
    assert stored is not None
    stores["default"].update(replace(stored, payload=payload))


def seal(data: dict[str, Any]) -> bytes:
    body = write(data, DJANGOS)
    return codec.seal(body.content, KEY, is_utf8=body.is_utf8)


def load(payload: bytes) -> Any:
    body = codec.open_payload(payload, KEY)
    return None if body is None else read(body, DJANGOS)


@pytest.mark.usefixtures("_with_and_without_msgspec")
class TestEachFormat:
    @pytest.mark.parametrize("tag", GOLDEN, ids=bytes.hex)
    def test_is_read(self, tag: bytes) -> None:
        packing = codec.FORMATS[tag][1]
        if packing is Packing.ZSTD and not HAS_ZSTD:
            pytest.skip("zstd is missing")
        store_payload(bytes.fromhex(GOLDEN[tag]))
        loaded = SessionStore(SESSION_KEY).load()
        assert isinstance(loaded, LazyData) is pieces.IS_FAST
        assert loaded == (SMALL if packing is Packing.PLAIN else LARGE)

    @pytest.mark.parametrize("tag", [b"\x01", b"\x04"], ids=bytes.hex)
    def test_is_written_as_it_was(self, tag: bytes, settings: Any) -> None:
        """Not so what is packed, since releases of a library pack differently."""
        settings.SESSION_JSON_ENCODING = "utf-8" if codec.FORMATS[tag][0] else "ascii"
        assert seal(SMALL) == bytes.fromhex(GOLDEN[tag])

    @pytest.mark.parametrize("chosen", WRITTEN, ids="-".join)
    def test_is_chosen(self, chosen: tuple[str, str], settings: Any) -> None:
        settings.SESSION_JSON_ENCODING, settings.SESSION_COMPRESSION = chosen
        if chosen[1] == "zstd" and not HAS_ZSTD:
            pytest.skip("zstd is missing")
        for data, tag in zip(
            (SMALL, LARGE, LARGE | {"b": "c" * 9000}), WRITTEN[chosen], strict=True
        ):
            payload = seal(data)
            assert payload[:1] == tag
            assert load(payload) == data

    @pytest.mark.parametrize("after", WRITTEN, ids="-".join)
    def test_follows_from_each_other(self, after: tuple[str, str], settings: Any) -> None:
        """A session of another format is read, and isn't written before it changes."""
        for before in WRITTEN:
            if "zstd" in (before[1], after[1]) and not HAS_ZSTD:
                continue
            settings.SESSION_JSON_ENCODING, settings.SESSION_COMPRESSION = before
            stores["default"].destroy(KEY)
            store_payload(seal(LARGE))
            settings.SESSION_JSON_ENCODING, settings.SESSION_COMPRESSION = after
            session = SessionStore(SESSION_KEY)
            assert session["é"] == LARGE["é"]
            session.save()
            assert session.record is not None
            version = session.record.version
            session["new"] = "ö"
            session.save()
            assert session.record.version == version + 1
            assert session.record.payload[:1] in WRITTEN[after]
            assert SessionStore(SESSION_KEY).load() == LARGE | {"new": "ö"}


def test_there_is_a_golden_payload_of_each_format() -> None:
    assert GOLDEN.keys() == codec.FORMATS.keys()


def test_another_serializer_is_called_as_it_is(settings: Any) -> None:
    settings.SESSION_JSON_ENCODING = "utf-8"
    serializer = Shouting()
    body = write({"a": "é"}, serializer)
    assert body == Body(b'!{"a":"\\u00e9"}', is_utf8=False)
    assert type(read(body, serializer)) is dict
    # What was written in UTF-8 before it was set says of itself what it is.
    assert read(Body('{"a":"é"}'.encode(), is_utf8=True), serializer) == {"a": "é"}


class Shouting(JSONSerializer):
    def dumps(self, obj: Any) -> bytes:
        return b"!" + super().dumps(obj)

    def loads(self, data: bytes) -> Any:
        return super().loads(data[1:])


def test_bytes_beyond_ascii_are_latin_1_as_django_reads_them() -> None:
    body = Body('{"a":"é"}'.encode(), is_utf8=False)
    assert read(body, DJANGOS) == DJANGOS.loads(body.content) == {"a": "Ã©"}


@needs_zstd
@pytest.mark.usefixtures("_no_zstd")
class TestWithoutTheLibrary:
    def test_no_session_is_empty(self, call: Callable[[object], Any]) -> None:
        store_payload(bytes.fromhex(GOLDEN[b"\x06"]))
        session = SessionStore(SESSION_KEY)
        with pytest.raises(StoreUnavailable, match=r"no zstd.*django-multistore\[fast\]"):
            call(session).load()
        assert session.session_key == SESSION_KEY

    def test_an_outage_that_is_tolerated_writes_nothing(
        self, call: Callable[[object], Any]
    ) -> None:
        store_payload(bytes.fromhex(GOLDEN[b"\x06"]))
        session = SessionStore(SESSION_KEY)
        session.tolerates_outage = True
        assert call(session).load() == {}
        assert session.is_unknown
        with pytest.raises(StoreUnavailable):
            call(session).save()

    def test_a_conflict_is_no_loss(self, call: Callable[[object], Any]) -> None:
        session = SessionStore(SESSION_KEY)
        session.save(must_create=True)
        session["mine"] = 1
        stored = stores["default"].read(KEY)
        assert stored is not None
        stores["default"].update(replace(stored, payload=bytes.fromhex(GOLDEN[b"\x06"])))
        with pytest.raises(StoreUnavailable):
            call(session).save()
        stored = stores["default"].read(KEY)
        assert stored is not None
        assert stored.payload == bytes.fromhex(GOLDEN[b"\x06"])

    def test_what_it_can_not_write_is_not_written(self, settings: Any) -> None:
        settings.SESSION_COMPRESSION = "zstd"
        with pytest.raises(StoreUnavailable, match="SESSION_COMPRESSION"):
            seal({"a": "b" * 10_000})

    def test_it_counts_where_users_have_a_limit(self) -> None:
        store_payload(bytes.fromhex(GOLDEN[b"\x06"]))
        session, stored = SessionStore(), stores["default"].read(KEY)
        session.open()
        assert stored is not None
        search = Search(session, stored, Limit(most=1, evicts=False), [])
        assert search.judge(stored) is Verdict.OPENS


class TestLimit:
    """What unpacks to more than SESSION_MAX_BYTES isn't unpacked."""

    @pytest.fixture(params=["deflate", "zstd", "none"])
    def _each(self, request: pytest.FixtureRequest, settings: Any) -> None:
        if request.param == "zstd" and not HAS_ZSTD:
            pytest.skip("zstd is missing")
        settings.SESSION_COMPRESSION = request.param

    @pytest.mark.usefixtures("_each")
    def test_is_for_reading(self, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
        payload = seal({"a": "b" * 99_992})
        store_payload(payload)
        for limit in (None, 100_000, 10**12):
            settings.SESSION_MAX_BYTES = limit
            assert len(SessionStore(SESSION_KEY)["a"]) == 99_992
        settings.SESSION_MAX_BYTES = 99_999
        with pytest.raises(TooLarge):
            codec.open_payload(payload, KEY)
        assert codec.unseal(payload, KEY) is None
        session = SessionStore(SESSION_KEY)
        with caplog.at_level(logging.WARNING):
            assert session.load() == {}
        assert "larger than SESSION_MAX_BYTES" in caplog.text
        assert SESSION_KEY not in caplog.text
        assert session.session_key is None

    def test_what_is_beyond_is_never_unpacked(self, settings: Any) -> None:
        settings.SESSION_MAX_BYTES = limit = 1_000_000
        bomb = bytes(100 * limit)
        packed = {Packing.DEFLATED: zlib.compress(bomb)}
        if HAS_ZSTD:
            packed[Packing.ZSTD] = compression.find_zstd().compress(bomb)
        del bomb
        for packing, body in packed.items():
            tracemalloc.start()
            try:
                with pytest.raises(TooLarge):
                    compression.unpack(packing, body)
                assert tracemalloc.get_traced_memory()[1] < 5 * limit
            finally:
                tracemalloc.stop()

    def test_is_for_writing(self, settings: Any) -> None:
        settings.SESSION_MAX_BYTES = 100
        assert write({"a": "b" * 92}, DJANGOS)
        with pytest.raises(ValueError, match="101 bytes, and SESSION_MAX_BYTES allows 100"):
            write({"a": "b" * 93}, DJANGOS)

    @pytest.mark.usefixtures("_each")
    def test_damage_is_no_error(self) -> None:
        content = b"x" * 100_000
        for packing in (Packing.DEFLATED, *([Packing.ZSTD] if HAS_ZSTD else [])):
            packed = (
                zlib.compress(content)
                if packing is Packing.DEFLATED
                else compression.find_zstd().compress(content)
            )
            for limit in (None, 200_000):
                with override_settings(SESSION_MAX_BYTES=limit):
                    assert compression.unpack(packing, packed) == content
                    assert compression.unpack(packing, packed[:-3]) is None
                    assert compression.unpack(packing, b"no" + packed) is None


@pytest.mark.usefixtures("_with_and_without_msgspec")
def test_the_last_release_and_this_one_share_sessions() -> None:
    """By default each reads what the other writes, and takes nothing for changed that isn't."""
    chance, expected = random.Random(8), {"_auth_user_id": "7", "cart": [{"name": "é"}] * 200}
    payload = last_release.dump(expected, KEY)
    for step in range(200):
        is_old = chance.random() < 0.5
        data = last_release.load(payload, KEY) if is_old else load(payload)
        assert data == expected
        assert data["_auth_user_id"] == "7"
        again = last_release.dump(data, KEY) if is_old else seal(data)
        assert again == payload
        key = f"key {chance.randrange(5)}"
        for changed in (data, expected):
            changed[key] = None
            changed["step"] = [step, "\x7f", 1e16, "\u20ac"]
        payload = last_release.dump(data, KEY) if is_old else seal(data)
    assert json.loads(json.dumps(load(payload))) == expected
