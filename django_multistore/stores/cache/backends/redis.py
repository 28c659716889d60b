"""Backends for Redis and Valkey: Django's, django-redis, and django-valkey, which is like that."""

from __future__ import annotations

from typing import Any, ClassVar

from .base import (
    OUTAGE_IS_A_MISS,
    WAITS_FOR_EVER,
    BackendWithSerializer,
    Complaint,
    complain_of_options,
    has_class,
    set_options,
)

QUESTION_TIMEOUT = 1  # seconds
CONNECTION_TIMEOUTS = ("socket_connect_timeout", "socket_timeout")


class Redis(BackendWithSerializer):
    """Django's."""

    serializer_option = '"serializer": "django_multistore.serializers.BytesSerializer"'

    @property
    def pools(self) -> list[Any]:
        """The pools of connections that are written to."""
        return [self.cache._cache.get_client(write=True).connection_pool]

    @property
    def replicated_servers(self) -> list[str]:
        """The URLs of servers that all have the same."""
        servers: list[str] = self.cache._servers
        return servers

    def waits_for_ever(self) -> Complaint | None:
        # Asked of a connection: OPTIONS, the URL, a pool's class and redis-py all have a say.
        connections = [pool.connection_class(**pool.connection_kwargs) for pool in self.pools]
        wanted = {
            self._write_timeout(name): all(getattr(each, name) is not None for each in connections)
            for name in CONNECTION_TIMEOUTS
        }
        return complain_of_options(WAITS_FOR_EVER, wanted)

    def evicts(self) -> Complaint | None:
        policies = {policy for pool in self.pools if (policy := ask_for_policy(pool))}
        evicting = sorted(policies - {"noeviction"})
        if not evicting:
            return None
        return Complaint(
            "and Redis removes sessions when its memory is full: its maxmemory-policy is "
            f"{', '.join(evicting)}.",
            "Write 'maxmemory-policy noeviction' into redis.conf, of a server for sessions alone.",
        )

    def reads_replicas(self) -> Complaint | None:
        if len(self.replicated_servers) < 2:
            return None
        return Complaint(
            "which reads from replicas. They lag: a new session may not be found, and one that "
            "was ended may be.",
            "Set {cache}['LOCATION'] to the primary's URL alone, with Sentinel "
            'to ["redis://SERVICE/0?is_master=1"].',
        )

    def write_and_read(self, value: bytes) -> object:
        return self.read(self.cache._cache._serializer.dumps(value))

    def read(self, data: bytes) -> object:
        return self.cache._cache._serializer.loads(data)

    def _write_timeout(self, name: str) -> str:
        return f'"{name}": 1'


class DjangoRedis(Redis):
    """django-redis'."""

    serializer_option = '"SERIALIZER": "django_multistore.serializers.BytesSerializer"'
    clients: ClassVar[str] = "django_redis.client"

    @property
    def pools(self) -> list[Any]:
        client = self.cache.client
        try:
            if self._is_sharded:
                clients = client._serverdict.values()
            else:
                clients = [client.get_client(write=True)]
            return [each.connection_pool for each in clients]
        except Exception:  # noqa: BLE001 - RedisCluster connects when it is made, and has no pool
            return []

    @property
    def replicated_servers(self) -> list[str]:
        return [] if self._is_sharded else self.cache.client._server

    @property
    def _is_sharded(self) -> bool:
        return has_class(self.cache.client, f"{self.clients}.sharded.ShardClient")

    def hides_outages(self) -> Complaint | None:
        is_raising = not self.cache._ignore_exceptions
        return complain_of_options(OUTAGE_IS_A_MISS, {'"IGNORE_EXCEPTIONS": False': is_raising})

    def has_unfit_client(self) -> Complaint | None:
        if has_class(self.cache.client, f"{self.clients}.herd.HerdClient"):
            flaw = (
                "HerdClient keeps sessions and locks for a minute after their time, and hides "
                "them at random meanwhile."
            )
        elif self._is_sharded:
            flaw = (
                "ShardClient keeps a session and the mark that it has ended on different servers, "
                "and asks them one after the other."
            )
        else:
            return None
        remedy = set_options(f'"CLIENT_CLASS": "{self.clients}.DefaultClient"')
        return Complaint(f"whose client {flaw}", remedy)

    def write_and_read(self, value: bytes) -> object:
        return self.read(self.cache.client.encode(value))

    def read(self, data: bytes) -> object:
        return self.cache.client.decode(data)

    def _write_timeout(self, name: str) -> str:
        return super()._write_timeout(name.upper())


class Valkey(DjangoRedis):
    """django-valkey's."""

    clients = "django_valkey.client"


def ask_for_policy(pool: Any) -> str | None:
    """Return a server's maxmemory-policy, or None if it doesn't tell within a moment."""
    if hasattr(pool, "sentinel_manager"):
        return None  # The sentinels would be asked first, with timeouts of their own.
    quickly = dict.fromkeys(CONNECTION_TIMEOUTS, QUESTION_TIMEOUT) | {"retry": None}
    connection = pool.connection_class(**pool.connection_kwargs | quickly)
    try:
        connection.connect()
        connection.send_command("CONFIG", "GET", "maxmemory-policy")
        reply = connection.read_response()
    except Exception:  # noqa: BLE001 - it is down, or refuses CONFIG, as hosted ones do
        return None
    finally:
        connection.disconnect()
    values = [*reply.values()] if isinstance(reply, dict) else reply[1::2]
    policy = values[0] if values else None
    return policy.decode() if isinstance(policy, bytes) else policy
