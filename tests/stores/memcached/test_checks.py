"""What `manage.py check` says of MemcachedStore's servers and settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unittest.mock import patch

import pytest

from django_multistore.stores.memcached import MemcachedStore
from django_multistore.stores.memcached.client import MemcachedClient
from django_multistore.stores.trial import check_in_use
from tests import servers
from tests.settings import OWN_PREFIX

pytestmark = [pytest.mark.elsewhere, pytest.mark.django_db(transaction=True)]

EVICTS = "W006"


def ids(messages: Iterable[Any]) -> set[str]:
    """Return what is said of memcached and of the settings; the database has tests of its own."""
    found = {message.id.rpartition(".")[2]: message for message in messages}
    for message in found.values():
        assert "'web'" in message.msg
        assert message.hint
    return {*found} - {"W002"}


def store_at(*addresses: str, **options: Any) -> MemcachedStore:
    return MemcachedStore("web", SERVERS=[*addresses], KEY_PREFIX=f"{OWN_PREFIX}:", **options)


def test_without_deploy_it_asks_nobody() -> None:
    assert store_at("127.0.0.1:1").check() == []


def test_a_server_as_it_is_by_default() -> None:
    store = store_at(servers.require("memcached"))
    found = check_in_use(store)
    assert ids(found) == {EVICTS}
    assert "memcached at 127.0.0.1:" in found[0].msg
    assert "SILENCED_SYSTEM_CHECKS = ['django_multistore.W006']" in str(found[0].hint)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-M"], {"W063"}),
        (["-I", "512k"], {EVICTS, "W061"}),
        (["-I", "4m"], {EVICTS}),
        (["-C"], {EVICTS, "E037"}),
    ],
)
def test_servers_that_were_started_otherwise(arguments: list[str], said: set[str]) -> None:
    with servers.private("memcached", arguments=arguments) as server:
        assert ids(store_at(server.address).check(deploy=True)) == said


def test_a_server_without_compare_and_set_keeps_no_session() -> None:
    with servers.private("memcached", arguments=["-C"]) as server:
        assert "E018" in ids(check_in_use(store_at(server.address)))


def test_each_of_several_is_asked() -> None:
    with servers.private("memcached", arguments=["-M"]) as refusing:
        store = store_at(servers.require("memcached"), refusing.address)
        assert ids(store.check(deploy=True)) == {EVICTS, "W063"}


def test_one_that_can_t_be_asked() -> None:
    found = check_in_use(store_at("127.0.0.1:1"))
    assert ids(found) == {"E019"}
    assert "memcached at 127.0.0.1:1" in found[0].msg
    assert "Start it" in str(found[0].hint)
    assert ids(store_at("127.0.0.1:1").check(deploy=True)) == {"W062"}


def test_a_clock_that_differs() -> None:
    facts = {"192.0.2.1:11211": {b"time": 1_000_000_000, b"evictions": b"on"}}
    with patch.object(MemcachedClient, "facts", return_value=facts):
        assert ids(store_at("192.0.2.1").check(deploy=True)) == {EVICTS, "W028"}


def test_sessions_that_end_early() -> None:
    store = store_at(servers.require("memcached"), MAX_AGE=60)
    assert ids(store.check(deploy=True)) == {EVICTS, "W011"}


def test_a_cache_that_is_for_something_else_as_well(settings: Any) -> None:
    entry = {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": servers.require("memcached"),
    }
    settings.CACHES = {"default": entry, "sessions": entry, "apart": entry | {"LOCATION": "x:1"}}
    for cache, said in (("default", {"W007"}), ("sessions", {"W007"}), ("apart", set())):
        store = MemcachedStore("web", CACHE=cache)
        with patch.object(MemcachedClient, "facts", return_value={}):
            found = store.check(deploy=True)
        assert ids(found) == said
        assert all(f"'{cache}'" in message.msg for message in found if "W007" in str(message.id))
