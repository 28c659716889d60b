"""What a cache for sessions makes of their bytes."""

from __future__ import annotations

import os
import pickle
import secrets
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import BaseCache, caches
from django.test import override_settings

from django_multistore.serializers import BytesSerializer, bytes_serde
from tests import servers

SERIALIZER = "django_multistore.serializers.BytesSerializer"
CACHES: dict[str, dict[str, Any]] = {
    "redis": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://{}/0",
        "OPTIONS": {"serializer": SERIALIZER},
    },
    "django_redis": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "redis://{}/0",
        "OPTIONS": {"SERIALIZER": SERIALIZER},
    },
    "django_redis, compressed": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "redis://{}/0",
        "OPTIONS": {
            "SERIALIZER": SERIALIZER,
            "COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor",
        },
    },
    "memcached": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": "{}",
        "OPTIONS": {"serde": bytes_serde},
    },
}
VALUES = {
    "empty": b"",
    "not text": b"\x00\xff",
    "a number": b"12",
    "a number with blanks": b" 1_2\n",
    "its mark": b"=",
    "long": bytes(range(256)) * 100,
}


@pytest.fixture(params=CACHES)
def cache(request: pytest.FixtureRequest) -> Iterator[BaseCache]:
    entry = CACHES[request.param]
    address = servers.require("memcached" if request.param == "memcached" else "redis")
    entry = entry | {
        "LOCATION": entry["LOCATION"].format(address),
        "KEY_PREFIX": f"{settings.RUN.name}{secrets.token_hex(4)}",
    }
    with override_settings(CACHES={"default": entry}):
        yield caches["default"]
        caches["default"].delete_many([name.replace(" ", "-") for name in VALUES])
        caches["default"].close()


def test_bytes_come_back_as_they_were(cache: BaseCache) -> None:
    values = {name.replace(" ", "-"): value for name, value in VALUES.items()}
    assert not cache.set_many(values, 60)
    assert cache.get_many(values) == values
    for name, value in values.items():
        assert cache.get(name) == value
        assert not cache.add(name, b"other", 60)
        assert cache.delete(name)
        assert cache.add(name, value, 60)
        assert cache.get(name) == value


def test_nothing_but_bytes_is_taken(cache: BaseCache) -> None:
    for value in (None, "text", bytearray(b"x"), {"a": 1}, True):
        with pytest.raises(TypeError, match="for sessions only and takes bytes, not "):
            cache.set("its-mark", value, 60)
    assert cache.get("its-mark") is None


def test_pickles_stay_closed() -> None:
    pickled = pickle.dumps(pytest.fail)
    assert BytesSerializer().loads(pickled) == pickled
    assert bytes_serde.deserialize("key", pickled, 1) == pickled


def test_memcached_keeps_its_sessions_over_the_change_of_serde() -> None:
    address = servers.require("memcached")
    prefix = f"{settings.RUN.name}{secrets.token_hex(4)}"
    entry = CACHES["memcached"] | {"LOCATION": address, "KEY_PREFIX": prefix}
    with override_settings(CACHES={"default": entry | {"OPTIONS": {}}, "sessions": entry}):
        by_pickle, by_bytes = caches["default"], caches["sessions"]
        by_pickle.set("a", b"\x00\xff", 60)
        assert by_bytes.get("a") == b"\x00\xff"
        by_bytes.set("a", b"\xff", 60)
        assert by_pickle.get("a") == b"\xff"
        by_bytes.delete("a")
        by_pickle.close()
        by_bytes.close()


def test_settings_may_import_it_before_there_are_any() -> None:
    code = "import sys, django_multistore.serializers; sys.exit('django.conf' in sys.modules)"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
