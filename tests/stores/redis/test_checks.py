"""What is wrong with a store's Redis is said, with what to do; what is right is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import redis
from django.core import checks
from django.core.checks import CheckMessage
from django.test import SimpleTestCase, override_settings

import django_multistore
from django_multistore.stores.redis import RedisStore
from django_multistore.stores.redis import checks as redis_checks
from django_multistore.stores.redis.client.server import ServerClient
from tests import servers
from tests.servers import Server
from tests.support import redis_groups
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.elsewhere

REDIS_STORE = "django_multistore.stores.redis.RedisStore"
DJANGO_REDIS = "django_redis.cache.RedisCache"
PASSWORD = "hunter2"
NOWHERE = f"redis://web:{PASSWORD}@127.0.0.1:1/0"  # Nobody listens there.
DOCS = CHECKOUT / "django_multistore" / "system_checks" / "checks.md"
ID = r"django_multistore\.([EW]\d{3})"

EVICTING = ["allkeys-lru", "allkeys-lfu", "allkeys-random"]
EVICTING += ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"]


def checked(**options: Any) -> list[CheckMessage]:
    return RedisStore("web", **options).check(deploy=True)


def ids(messages: list[CheckMessage]) -> list[str]:
    return [str(message.id).removeprefix("django_multistore.") for message in messages]


def hint_of(message: CheckMessage) -> str:
    return message.hint or ""


def alone(messages: list[CheckMessage], wanted: str) -> CheckMessage:
    """Return the one message, once all is seen that each of them has to say."""
    assert ids(messages) == [wanted]
    (message,) = messages
    assert "'web'" in message.msg
    assert hint_of(message)
    assert message.is_serious() == wanted.startswith("E")
    assert PASSWORD not in message.msg + hint_of(message)
    return message


def kept(*arguments: str) -> Server:
    """Return a server with an append-only file."""
    return servers.private("redis", durable=True, arguments=arguments)


def of_a_cluster() -> list[str]:
    # By default it also takes the port that is 10,000 higher, which may be anybody's.
    return ["--cluster-enabled", "yes", "--cluster-port", str(servers._free_port())]


def url_of(server: Server) -> str:
    return f"redis://{server.address}/0"


class ServerCheckTests(SimpleTestCase):
    databases = ("default",)  # A check asks it for rows of Django's own engine.

    def test_what_is_right_is_not_mentioned(self) -> None:
        with kept() as server:
            assert checked(URL=url_of(server)) == []
            sessions = {"default": {"BACKEND": DJANGO_REDIS, "LOCATION": url_of(server)}}
            with override_settings(CACHES=sessions):
                assert checked(CACHE="default") == []

    def test_a_valkey_says_of_which_redis_it_is(self) -> None:
        facts = {
            "server_name": "valkey",
            "redis_version": "7.2.4",
            "valkey_version": "8.1.3",
            "server_mode": "standalone",
            "cluster_enabled": "0",
            "maxmemory_policy": "noeviction",
            "aof_enabled": "1",
        }
        # With and without the version of Redis, which one day it may leave out.
        for known in (facts, {k: v for k, v in facts.items() if k != "redis_version"}):
            with patch.object(ServerClient, "facts", return_value=[known]):
                assert checked(URL="valkey://127.0.0.1:1/0") == []

    def test_only_a_deployment_asks(self) -> None:
        with servers.private("redis") as server, redis.Redis(port=server.port) as client:
            store = RedisStore("web", URL=url_of(server))
            connections = client.info()["total_connections_received"]
            assert store.check() == store.check(deploy=False) == []
            assert client.info()["total_connections_received"] == connections
            assert ids(store.check(deploy=True)) == ["W017"]

    def test_by_djangos_command(self) -> None:
        with servers.private("redis") as server:
            mine = {"BACKEND": REDIS_STORE, "OPTIONS": {"URL": url_of(server)}}
            with override_settings(SESSION_STORES={"default": mine}, SESSION_COOKIE_SECURE=True):
                assert checks.run_checks(tags=["sessions"]) == []
                found = checks.run_checks(tags=["sessions"], include_deployment_checks=True)
        assert ids(found) == ["W017"]

    def test_a_server_that_evicts(self) -> None:
        with kept() as server, redis.Redis(port=server.port) as client:
            for policy in EVICTING:
                client.config_set("maxmemory-policy", policy)
                message = alone(checked(URL=url_of(server)), "W016")
                assert f"Redis at {server.address}," in message.msg
                assert f"maxmemory-policy is '{policy}'" in message.msg
                assert "Set maxmemory-policy to noeviction." in hint_of(message)
            client.config_set("maxmemory-policy", "noeviction")
            assert checked(URL=url_of(server)) == []

    def test_a_server_that_forgets(self) -> None:
        with servers.private("redis") as server, redis.Redis(port=server.port) as client:
            message = alone(checked(URL=url_of(server)), "W017")
            assert "no append-only file" in message.msg
            assert "Set appendonly to yes." in hint_of(message)
            client.config_set("appendonly", "yes")
            assert checked(URL=url_of(server)) == []

    def test_a_member_of_a_cluster(self) -> None:
        with kept(*of_a_cluster()) as server:
            message = alone(checked(URL=url_of(server)), "E009")
            assert "which is part of a cluster" in message.msg
            assert "SESSION_STORES['web']['OPTIONS']['CLUSTER'] to True" in hint_of(message)
            sessions = {"default": {"BACKEND": DJANGO_REDIS, "LOCATION": url_of(server)}}
            with override_settings(CACHES=sessions):
                assert ids(checked(CACHE="default")) == ["E009"]

    def test_a_server_that_is_not_there(self) -> None:
        message = alone(checked(URL=NOWHERE), "W015")
        assert "Redis at 127.0.0.1:1 how" in message.msg
        assert "Connection refused" in message.msg
        assert "Start it, or correct where OPTIONS says it is." in hint_of(message)
        by_sentinel = {"SENTINELS": [("127.0.0.1", 1)], "SERVICE": "mymaster"}
        message = alone(checked(**by_sentinel), "W015")
        assert "the Redis that 127.0.0.1:1 call 'mymaster'" in message.msg

    @pytest.mark.fault
    def test_a_server_that_hangs(self) -> None:
        with kept() as server:
            server.freeze()
            message = alone(checked(URL=url_of(server), CONNECT_TIMEOUT=0.2, TIMEOUT=0.2), "W015")
            assert "TimeoutError" in message.msg

    def test_one_that_does_not_tell(self) -> None:
        with kept() as server, redis.Redis(port=server.port) as client:
            client.acl_setuser("default", enabled=True, categories=["-@dangerous"])
            message = alone(checked(URL=url_of(server)), "W015")
            assert "no permissions" in message.msg

    def test_one_that_wants_a_password(self) -> None:
        with kept() as server, redis.Redis(port=server.port) as client:
            client.config_set("requirepass", "another")
            url = url_of(server).replace("//", f"//:{PASSWORD}@")
            assert "AuthenticationError" in alone(checked(URL=url), "W015").msg

    def test_all_that_is_wrong_at_once(self) -> None:
        arguments = [*of_a_cluster(), "--maxmemory-policy", "allkeys-lru"]
        with servers.private("redis", arguments=arguments) as server:
            assert ids(checked(URL=url_of(server))) == ["E009", "W016", "W017"]

    def test_an_old_server(self) -> None:
        # The oldest that can be had here is 7.0.
        true_facts = ServerClient.facts
        with kept() as server:
            for version, is_old in (
                ("2.8.24", True),
                ("6.2.14", True),
                ("7.0.0", False),
                ("7.0.15", False),
                ("8.0.0", False),
                ("10.0.0", False),
                ("255.255.255", False),
            ):

                def facts(client: ServerClient, version: str = version) -> list[dict[str, Any]]:
                    return [each | {"redis_version": version} for each in true_facts(client)]

                with self.subTest(version), patch.object(ServerClient, "facts", facts):
                    messages = checked(URL=url_of(server))
                    if not is_old:
                        assert messages == []
                        continue
                    message = alone(messages, "E008")
                    assert f"version {version}." in message.msg
                    assert "Use Redis 7.0 or newer." in hint_of(message)

    def test_without_hiredis(self) -> None:
        with kept() as server, patch.object(redis_checks, "find_spec", return_value=None) as find:
            message = alone(checked(URL=url_of(server)), "W014")
            find.assert_called_once_with("hiredis")
            assert "Install hiredis." in hint_of(message)


@pytest.mark.fault
class ClusterCheckTests(SimpleTestCase):
    def test_each_server_is_asked(self) -> None:
        with redis_groups.private_group(redis_groups.ClusterGroup, durable=True) as group:
            options: dict[str, Any] = {"URL": group.url, "CLUSTER": True}
            assert checked(**options) == []
            last = group.masters()[-1]
            last.ask("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
            assert "volatile-ttl" in alone(checked(**options), "W016").msg
            for node in group.masters():
                node.ask("CONFIG", "SET", "appendonly", "no")
            assert sorted(ids(checked(**options))) == ["W016", "W017"]


class NoClusterTests(SimpleTestCase):
    def test_a_cluster_that_is_not_there(self) -> None:
        message = alone(checked(URL=NOWHERE, CLUSTER=True), "W015")
        assert "the Redis Cluster at 127.0.0.1:1 how" in message.msg

    def test_a_server_that_is_no_cluster(self) -> None:
        with kept() as server:
            message = alone(checked(URL=url_of(server), CLUSTER=True), "W015")
            assert "Cluster mode is not enabled" in message.msg


def test_each_check_has_its_place_in_the_docs() -> None:
    in_source = set(re.findall(ID, Path(redis_checks.__file__).read_text()))
    section = DOCS.read_text().partition("\n## RedisStore\n")[2].partition("\n## ")[0]
    anchors = re.findall(r"^\((.+)\)=\n### (.+?): ", section, re.MULTILINE)
    assert all(anchor == name.lower() for anchor, name in anchors)
    assert {name for _, name in anchors} == in_source
    assert len(anchors) == len(in_source)


def test_no_other_module_uses_their_ids() -> None:
    mine = Path(redis_checks.__file__)
    in_mine = set(re.findall(ID, mine.read_text()))
    for path in Path(django_multistore.__path__[0]).rglob("*.py"):
        if path != mine:
            assert in_mine.isdisjoint(re.findall(ID, path.read_text())), path
