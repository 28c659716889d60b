"""Backends with a server: memcached, by the client that they use, and Redis or Valkey."""

from __future__ import annotations

from typing import Any, ClassVar

from .base import (
    OUTAGE_IS_A_MISS,
    PYMEMCACHE,
    WAITS_FOR_EVER,
    Backend,
    BackendWithSerializer,
    Complaint,
    complain_of_options,
    has_class,
    set_options,
)

PICKLE_FLAG = 1  # pymemcache.serde.FLAG_PICKLE
PYMEMCACHE_INSTEAD = (
    f"Set {{cache}}['BACKEND'] to {PYMEMCACHE!r} and {{cache}}['OPTIONS'] to "
    '{"retry_attempts": 0, "dead_timeout": 0, "connect_timeout": 1, "timeout": 1}.'
)
MEMCACHED_EVICTS = Complaint(
    "and memcached removes the sessions that were not used for longest when its memory is "
    "full, and all of them when it restarts.",
    "Give it more memory than the sessions will ever need (memcached -m 1024), then set "
    "SILENCED_SYSTEM_CHECKS = ['{id}'].",
)
QUESTION_TIMEOUT = 1  # seconds
CONNECTION_TIMEOUTS = ("socket_connect_timeout", "socket_timeout")


class Memcached(Backend):
    """What all of them have in common."""

    def evicts(self) -> Complaint | None:
        return MEMCACHED_EVICTS


class PyMemcache(Memcached, BackendWithSerializer):
    """Django's with pymemcache."""

    serializer_option = (
        '"serde": bytes_serde (from django_multistore.serializers import bytes_serde)'
    )

    @property
    def client(self) -> Any:
        """One of the clients, of one server each, over which the cache's client spreads keys."""
        return next(iter(self.cache._cache.clients.values()))

    def reads_no_answers(self) -> Complaint | None:
        text = (
            "which does not read the server's answers: it can't tell whether a session was "
            "stored, nor who has its lock."
        )
        is_reading = not self.client.default_noreply
        return complain_of_options(text, {'"default_noreply": False': is_reading})

    def hides_outages(self) -> Complaint | None:
        # By default a server that has failed is not asked for a second, which looks like a miss,
        # and later another one is asked for a minute. One that is given up at once, for 0 seconds,
        # is asked each time, and each time its failure is raised.
        client = self.cache._cache
        return complain_of_options(
            OUTAGE_IS_A_MISS,
            {
                '"retry_attempts": 0': client.retry_attempts <= 0,
                '"dead_timeout": 0': client.dead_timeout <= 0,
                '"ignore_exc": False': not client.ignore_exc,
            },
        )

    def waits_for_ever(self) -> Complaint | None:
        client = self.client
        return complain_of_options(
            WAITS_FOR_EVER,
            {
                '"connect_timeout": 1': client.connect_timeout is not None,
                '"timeout": 1': client.timeout is not None,
            },
        )

    def write_and_read(self, value: bytes) -> object:
        serde = self.client.serde
        return serde.deserialize("key", *serde.serialize("key", value))

    def read(self, data: bytes) -> object:
        return self.client.serde.deserialize("key", data, PICKLE_FLAG)


class PyLibMC(Memcached):
    """Django's with pylibmc."""

    always_unpickles = True

    def hides_outages(self) -> Complaint | None:
        text = (
            "whose get_many() finds nothing in a server that is down or hangs: visitors would be "
            "logged out."
        )
        return Complaint(text, PYMEMCACHE_INSTEAD)


class BMemcached(Memcached):
    """django-bmemcached's."""

    always_unpickles = True

    def hides_outages(self) -> Complaint | None:
        text = (
            "whose client reports no outage: what it asks of a server that is down is not there, "
            "so that visitors would be logged out."
        )
        return Complaint(text, PYMEMCACHE_INSTEAD)


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
