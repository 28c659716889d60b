"""What is wrong with a cache is said, with what to write; what is right is not."""

from __future__ import annotations

import io
import itertools
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.checks import CheckMessage
from django.test import SimpleTestCase, override_settings

import django_multistore
from django_multistore import serializers
from django_multistore.stores.cache.checks import check_cache, check_cache_always
from tests import servers
from tests.servers import Server
from tests.support.paths import CHECKOUT

DUMMY = "django.core.cache.backends.dummy.DummyCache"
LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
FILES = "django.core.cache.backends.filebased.FileBasedCache"
DATABASE = "django.core.cache.backends.db.DatabaseCache"
PYMEMCACHE = "django.core.cache.backends.memcached.PyMemcacheCache"
REDIS = "django.core.cache.backends.redis.RedisCache"
DJANGO_REDIS = "django_redis.cache.RedisCache"
HERE = __name__

MONTH = 60 * 60 * 24 * 30
DOCS = CHECKOUT / "django_multistore" / "system_checks" / "checks.md"
BYTES = "django_multistore.serializers.BytesSerializer"

# Nobody listens there. Each use has a URL of its own: django-redis keeps a pool for each URL, with
# the options of its first use.
nowhere = (f"redis://127.0.0.1:1/{number}" for number in itertools.count())

GOOD_OPTIONS: dict[str, dict[str, Any]] = {
    REDIS: {"socket_connect_timeout": 1, "socket_timeout": 1, "serializer": BYTES},
    DJANGO_REDIS: {"SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1, "SERIALIZER": BYTES},
    PYMEMCACHE: {
        "connect_timeout": 1,
        "timeout": 1,
        "retry_attempts": 0,
        "dead_timeout": 0,
        "serde": serializers.bytes_serde,
    },
}


class JSONSerializer:
    def dumps(self, value: object) -> bytes:
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> object:
        return json.loads(data)


class JSONSerde:
    def serialize(self, key: object, value: object) -> tuple[bytes, int]:
        return json.dumps(value).encode(), 1

    def deserialize(self, key: object, value: bytes, flags: int) -> object:
        return json.loads(value)


class CarefulSerializer:
    """Unpickle what names no function or class."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            raise pickle.UnpicklingError(name)

    def dumps(self, value: object) -> bytes:
        return pickle.dumps(value)

    def loads(self, data: bytes) -> object:
        return self.Unpickler(io.BytesIO(data)).load()


class NoCache(DummyCache):
    pass


def entry(backend: str, **changed: Any) -> dict[str, Any]:
    location = next(nowhere) if "edis" in backend else "127.0.0.1:1"
    options = GOOD_OPTIONS.get(backend, {}) | changed.pop("options", {})
    good = {"BACKEND": backend, "LOCATION": location, "KEY_PREFIX": "mysite", "OPTIONS": options}
    return good | changed


def checked(
    sessions: dict[str, Any],
    *,
    alias: str = "sessions",
    key_prefix: str = "",
    max_age: int = MONTH,
    **others: dict[str, Any],
) -> list[CheckMessage]:
    default = {"BACKEND": LOCMEM, "LOCATION": "default"}
    with override_settings(CACHES={"default": default} | others | {alias: sessions}):
        return [
            *check_cache_always("web", alias),
            *check_cache("web", alias, key_prefix=key_prefix, max_age=max_age),
        ]


def ids(messages: list[CheckMessage]) -> list[str]:
    return [str(message.id).removeprefix("django_multistore.") for message in messages]


def remedied(sessions: dict[str, Any], message: CheckMessage) -> dict[str, Any]:
    """Return the cache with the options that a hint says to add."""
    found = re.match(
        r"Set (.+?)(?: \(from .+\))? in CACHES\['sessions'\]\['OPTIONS'\]\.", message.hint
    )
    assert found, message.hint
    added = eval(f"{{{found[1]}}}", vars(serializers))  # noqa: S307 - ours
    return entry(sessions["BACKEND"], options=sessions["OPTIONS"] | added)


class CacheCheckTests(SimpleTestCase):
    def assert_remedied(self, sessions: dict[str, Any], wanted: str) -> CheckMessage:
        """Assert that there is this one message, and none after what its hint says."""
        messages = checked(sessions)
        message = messages[ids(messages).index(wanted)]
        assert Counter(ids(messages))[wanted] == 1
        assert "'web'" in message.msg
        assert "'sessions'" in message.msg
        assert message.is_serious() == wanted.startswith("E")
        assert wanted not in ids(checked(remedied(sessions, message)))
        return message

    def test_what_is_right_is_not_mentioned(self) -> None:
        assert checked(entry(REDIS)) == []
        assert checked(entry(DJANGO_REDIS)) == []
        assert ids(checked(entry(PYMEMCACHE))) == ["W006"]  # as always

    def test_a_subclass_is_what_it_inherits_from(self) -> None:
        assert "E005" in ids(checked(entry(f"{HERE}.NoCache")))

    def test_a_cache_that_keeps_nothing(self) -> None:
        assert "E005" in ids(checked(entry(DUMMY)))

    def test_a_serializer_that_keeps_no_bytes(self) -> None:
        for sessions in (
            entry(
                DJANGO_REDIS, options={"SERIALIZER": "django_redis.serializers.json.JSONSerializer"}
            ),
            entry(REDIS, options={"serializer": f"{HERE}.JSONSerializer"}),
            entry(PYMEMCACHE, options={"serde": JSONSerde()}),
        ):
            with self.subTest(sessions["BACKEND"]):
                self.assert_remedied(sessions, "E006")

    def test_serializers_that_keep_bytes(self) -> None:
        zlib = "django_redis.compressors.zlib.ZlibCompressor"
        pickles = "django_redis.serializers.pickle.PickleSerializer"
        for sessions in (
            entry(DJANGO_REDIS, options={"COMPRESSOR": zlib}),
            entry(DJANGO_REDIS, options={"SERIALIZER": pickles, "COMPRESSOR": zlib}),
            entry(REDIS, options={"serializer": None}),
            entry(PYMEMCACHE, options={"serde": None}),
        ):
            with self.subTest(sessions["OPTIONS"]):
                assert "E006" not in ids(checked(sessions))

    def test_a_client_that_reads_no_answers(self) -> None:
        for pooling in (False, True):
            options = {"default_noreply": True, "use_pooling": pooling}
            self.assert_remedied(entry(PYMEMCACHE, options=options), "E007")

    def test_options_that_make_an_outage_a_miss(self) -> None:
        for name, wrong in (
            ("retry_attempts", 2),
            ("dead_timeout", 60),
            ("ignore_exc", True),
        ):
            message = self.assert_remedied(entry(PYMEMCACHE, options={name: wrong}), "W003")
            assert message.hint.count(": ") == 1
            assert f'"{name}": ' in message.hint
        sessions = entry(DJANGO_REDIS, options={"IGNORE_EXCEPTIONS": True})
        self.assert_remedied(sessions, "W003")
        with override_settings(DJANGO_REDIS_IGNORE_EXCEPTIONS=True):
            self.assert_remedied(entry(DJANGO_REDIS), "W003")

    def test_a_database_that_hides_its_errors(self) -> None:
        messages = checked(entry(DATABASE, options={"MAX_ENTRIES": 100_000}))
        assert ids(messages) == ["W003", "W021", "W012"]
        assert "OrmStore" in messages[0].hint

    def test_timeouts(self) -> None:
        for backend, names in (
            (PYMEMCACHE, ("connect_timeout", "timeout")),
            (REDIS, ("socket_timeout",)),
        ):
            for name in names:
                with self.subTest(name):
                    sessions = entry(backend, options={name: None})
                    assert f'"{name}": 1' in self.assert_remedied(sessions, "W004").hint
        # django-redis does not pass None on.
        without = {"CONNECTION_POOL_KWARGS": {"socket_timeout": None}}
        sessions = entry(DJANGO_REDIS, options=without)
        assert '"SOCKET_TIMEOUT": 1' in checked(sessions)[0].hint
        assert ids(checked(sessions)) == ["W004"]

    def test_timeouts_may_be_in_the_url(self) -> None:
        for backend, options in (
            (REDIS, {"socket_timeout": None, "socket_connect_timeout": None}),
            (DJANGO_REDIS, {"CONNECTION_POOL_KWARGS": {"socket_timeout": None}}),
        ):
            url = f"{next(nowhere)}?socket_timeout=1&socket_connect_timeout=1"
            assert checked(entry(backend, LOCATION=url, options=options)) == []

    def test_the_memory_of_one_process(self) -> None:
        messages = checked(entry(LOCMEM, options={"MAX_ENTRIES": 100_000}))
        assert ids(messages) == ["W005"]
        assert REDIS in messages[0].hint

    def test_files(self) -> None:
        place = self.enterContext(tempfile.TemporaryDirectory())
        sessions = entry(FILES, LOCATION=Path(place), options={"MAX_ENTRIES": 100_000})
        assert ids(checked(sessions)) == ["W013", "W012"]

    def test_a_limit_to_the_entries(self) -> None:
        for options in ({}, {"MAX_ENTRIES": 1_000}):
            assert "W006" in ids(checked(entry(LOCMEM, options=options)))
            self.assert_remedied(entry(LOCMEM, options=options), "W006")

    def test_memcached_evicts(self) -> None:
        (message,) = checked(entry(PYMEMCACHE))
        assert message.id == "django_multistore.W006"
        assert "SILENCED_SYSTEM_CHECKS = ['django_multistore.W006']" in message.hint

    def test_redis_is_asked_whether_it_evicts(self) -> None:
        with servers.private("redis", arguments=["--maxmemory-policy", "allkeys-lru"]) as server:
            for backend, options in (
                (REDIS, {"protocol": 2}),
                (REDIS, {"protocol": 3}),
                (REDIS, {"decode_responses": True}),
                (DJANGO_REDIS, {}),
            ):
                with self.subTest(backend, **options):
                    sessions = entry(backend, LOCATION=f"redis://{server.address}/3")
                    sessions["OPTIONS"] = sessions["OPTIONS"] | options
                    (message,) = checked(sessions)
                    assert message.id == "django_multistore.W006"
                    assert "allkeys-lru" in message.msg
                    assert "maxmemory-policy noeviction" in message.hint
        assert checked(sessions) == []  # It is down.

    def test_a_redis_that_keeps_or_does_not_tell(self) -> None:
        tells_not = ["--rename-command", "CONFIG", ""]
        for arguments in ([], ["--maxmemory-policy", "allkeys-lru", *tells_not]):
            with servers.private("redis", arguments=arguments) as server:
                sessions = entry(REDIS, LOCATION=f"redis://{server.address}/3")
                assert checked(sessions) == []

    @pytest.mark.fault
    def test_a_redis_that_hangs_holds_up_nobody_for_long(self) -> None:
        with servers.private("redis") as server:
            server.freeze()
            began = time.monotonic()
            options = {"socket_timeout": 60, "socket_connect_timeout": 60}
            sessions = entry(REDIS, LOCATION=f"redis://{server.address}/3", options=options)
            assert checked(sessions) == []
            assert time.monotonic() - began < 5

    def test_a_cache_that_is_not_for_sessions_alone(self) -> None:
        (message,) = checked(entry(REDIS), alias="default")
        assert message.id == "django_multistore.W007"
        assert "SESSION_STORES['web']['OPTIONS']['CACHE'] to 'sessions'" in message.hint
        url = next(nowhere)
        for location in (url, [url], f"redis://elsewhere,{url}"):
            sessions = entry(REDIS, LOCATION=url)
            (message,) = checked(sessions, pages=entry(DJANGO_REDIS, LOCATION=location))
            assert message.id == "django_multistore.W007"
            assert "'pages'" in message.msg
        without = {"BACKEND": LOCMEM}
        assert "W007" in ids(checked(without, pages=without))
        assert "W007" not in ids(checked(without, pages={"BACKEND": DUMMY}))

    def test_clients_of_django_redis(self) -> None:
        for client in ("HerdClient", "ShardClient"):
            sessions = entry(
                DJANGO_REDIS, options={"CLIENT_CLASS": f"django_redis.client.{client}"}
            )
            assert client in self.assert_remedied(sessions, "W008").msg
            assert ids(checked(sessions)) == ["W008"]

    def test_shards_are_no_replicas(self) -> None:
        options: dict[str, Any] = {"CLIENT_CLASS": "django_redis.client.ShardClient"}
        several = [next(nowhere), next(nowhere)]
        assert ids(checked(entry(DJANGO_REDIS, LOCATION=several, options=options))) == ["W008"]
        several = [next(nowhere), next(nowhere)]
        options["CONNECTION_POOL_KWARGS"] = {"socket_timeout": None}
        found = checked(entry(DJANGO_REDIS, LOCATION=several, options=options))
        assert ids(found) == ["W004", "W008"]

    def test_replicas(self) -> None:
        several = [next(nowhere), next(nowhere)]
        for backend in (REDIS, DJANGO_REDIS):
            for location in (several, ",".join(several)):
                (message,) = checked(entry(backend, LOCATION=location))
                assert message.id == "django_multistore.W009"
                assert "CACHES['sessions']['LOCATION']" in message.hint

    def test_sentinel(self) -> None:
        options = {
            "CLIENT_CLASS": "django_redis.client.SentinelClient",
            "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
            "SENTINELS": [("127.0.0.1", 1)],
        }
        sessions = entry(DJANGO_REDIS, LOCATION="redis://mymaster/0", options=options)
        (message,) = checked(sessions)
        assert message.id == "django_multistore.W009"
        assert '["redis://SERVICE/0?is_master=1"]' in message.hint
        assert checked(sessions | {"LOCATION": ["redis://mymaster/0?is_master=1"]}) == []

    def test_prefixes(self) -> None:
        sessions = entry(REDIS, KEY_PREFIX="")
        (message,) = checked(sessions)
        assert message.id == "django_multistore.W010"
        assert "CACHES['sessions']['KEY_PREFIX'] to 'mysite'" in message.hint
        assert checked(sessions, key_prefix="mysite") == []

    @override_settings(SESSION_COOKIE_AGE=1000)
    def test_sessions_that_end_early(self) -> None:
        (message,) = checked(entry(REDIS), max_age=999)
        assert message.id == "django_multistore.W011"
        assert "SESSION_STORES['web']['OPTIONS']['MAX_AGE'] to 1000" in message.hint
        assert checked(entry(REDIS), max_age=1000) == []

    def test_pickles(self) -> None:
        for backend, option in (
            (REDIS, "serializer"),
            (DJANGO_REDIS, "SERIALIZER"),
            (PYMEMCACHE, "serde"),
        ):
            with self.subTest(backend):
                sessions = entry(backend)
                del sessions["OPTIONS"][option]
                assert f'"{option}": ' in self.assert_remedied(sessions, "W012").hint

    def test_a_serializer_that_runs_nothing(self) -> None:
        sessions = entry(REDIS, options={"serializer": f"{HERE}.CarefulSerializer"})
        assert checked(sessions) == []


@pytest.mark.fault
class OutageTests(SimpleTestCase):
    """What W003 and W004 ask of pymemcache, and what it does without."""

    bounded = {"connect_timeout": 0.3, "timeout": 0.3}
    right = bounded | {"retry_attempts": 0, "dead_timeout": 0}

    def replies(
        self, options: dict[str, Any], how: Callable[[Server], None], others: int
    ) -> set[str]:
        """Return what a cache says, again and again, of a session whose server is gone."""
        with ExitStack() as stack:
            gone, *rest = [
                stack.enter_context(servers.private("memcached")) for _ in range(1 + others)
            ]
            location = [server.address for server in (gone, *rest)]
            sessions = {"BACKEND": PYMEMCACHE, "LOCATION": location, "OPTIONS": options}
            stack.enter_context(override_settings(CACHES={"default": sessions}))
            cache = caches["default"]
            stack.callback(cache.close)
            name = next(
                name
                for name in map(str, itertools.count())
                if cache._cache._get_client(cache.make_key(name)).server[1] == gone.port
            )
            assert cache.set_many({name: b"session"}) == []
            how(gone)
            return {self.reply(cache, name) for _ in range(4)}

    def reply(self, cache: BaseCache, name: str) -> str:
        try:
            found = cache.get_many([name])
            cache.set_many({name: b"session"})
        except Exception:  # noqa: BLE001 - of many kinds
            return "error"
        return "hit" if found else "miss"

    def test_a_server_that_is_down(self) -> None:
        for others in (0, 1):
            with self.subTest(others=others):
                assert "miss" in self.replies(self.bounded, Server.kill, others)
                assert self.replies(self.right, Server.kill, others) == {"error"}

    def test_a_server_that_hangs(self) -> None:
        for others in (0, 1):
            with self.subTest(others=others):
                assert "miss" in self.replies(self.bounded, Server.freeze, others)
                assert self.replies(self.right, Server.freeze, others) == {"error"}

    def test_each_of_the_two_options_is_needed(self) -> None:
        for option in ("retry_attempts", "dead_timeout"):
            with self.subTest(option):
                only = self.bounded | {option: 0}
                assert self.replies(only, Server.kill, others=1) != {"error"}

    def test_it_comes_back_with_the_server(self) -> None:
        def restart(server: Server) -> None:
            server.kill()
            for _ in range(2):
                assert self.reply(caches["default"], "a") == "error"
            server.start()

        assert self.replies(self.right, restart, others=0) == {"miss", "hit"}


def sources() -> dict[str, str]:
    paths = Path(django_multistore.__path__[0]).rglob("*.py")
    return {str(path): path.read_text() for path in paths}


def test_each_check_has_its_place_in_the_docs() -> None:
    in_sources = {
        found
        for text in sources().values()
        for found in re.findall(r"multistore\.([EW]\d{3})", text)
    }
    in_docs = re.findall(r"^\((.+)\)=\n### (.+?): ", DOCS.read_text(), re.MULTILINE)
    assert all(anchor == name.lower() for anchor, name in in_docs)
    assert Counter(name for _, name in in_docs) == Counter(in_sources)


def test_no_id_is_used_in_two_modules() -> None:
    uses = Counter(
        found
        for text in sources().values()
        for found in set(re.findall(r"multistore\.([EW]\d{3})", text))
    )
    assert set(uses.values()) == {1}


def test_the_caches_in_the_docs_are_right() -> None:
    text = DOCS.read_text().partition("## CacheStore")[2].partition("### ")[0]
    blocks = re.findall(r"```python\n(.+?)```", text, re.DOTALL)
    found = []
    for block in blocks:
        defined: dict[str, Any] = {"CACHES": {}}
        exec(block.replace(":6379", ":1"), defined)  # noqa: S102 - ours
        sessions = defined["CACHES"]["sessions"]
        found.append((sessions["BACKEND"], ids(checked(sessions))))
    assert found == [(REDIS, []), (DJANGO_REDIS, []), (PYMEMCACHE, ["W006"])]


def test_nothing_else_needs_to_be_installed() -> None:
    code = """
        import sys
        for name in ("redis", "django_redis", "pymemcache", "pylibmc", "hiredis"):
            sys.modules[name] = None
        import django
        from django.conf import settings
        locmem = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
        settings.configure(CACHES={"default": locmem}, INSTALLED_APPS=["django_multistore"])
        django.setup()
        from django_multistore.stores.cache.checks import check_cache, check_cache_always
        assert check_cache_always("web", "default") == []
        print(*(message.id for message in check_cache("web", "default", max_age=1)))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.count("django_multistore.W") == 5, run.stderr
