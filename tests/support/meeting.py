"""
Stores to meet on, sessions to meet with, and threads that have connections of their own.

A kind of store is a database, where OrmStore keeps sessions; or a cache for CacheStore and the
database of its index, as in "memcached+postgres"; or MEMCACHED likewise, for MemcachedStore; or one
of REDIS; or MEMORY.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Self

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.models import StoredSession
from django_multistore.records import key_of
from django_multistore.session import codec
from django_multistore.stores import stores
from django_multistore.stores.memory import MemoryStore
from tests import servers
from tests.settings import OWN_PREFIX
from tests.support import redis_groups

MEMORY = "memory"
BACKEND = "django.contrib.auth.backends.ModelBackend"
PATIENCE = 60  # seconds

# A run on another default database has no SQLite, and leaves the others to the run that has.
DATABASES = (
    ("sqlite", "postgres", "mariadb", "mysql")
    if settings.DEFAULT_DB == "sqlite"
    else (settings.DEFAULT_DB,)
)

# The server of each, and the options of CacheStore.
CACHES: dict[str, tuple[str, dict[str, Any]]] = {
    "memcached": ("memcached", {"CACHE": "memcached"}),
    "redis": ("redis", {"CACHE": "redis"}),
    "django_redis": ("redis", {"CACHE": "django_redis"}),
}
WITHOUT_LOCKS: dict[str, tuple[str, dict[str, Any]]] = {
    "memcached without locks": ("memcached", {"CACHE": "memcached", "EXACT": False}),
}


# What MemcachedStore keeps sessions in.
MEMCACHED = "memcached by cas"

# What RedisStore keeps sessions in.
REDIS_SERVER, REDIS_CLUSTER = "redis-server", "redis-cluster"
REDIS = (REDIS_SERVER, REDIS_CLUSTER)
WITHOUT_DATABASE = (*REDIS, MEMORY)
# One of each kind, and caches with an index on two databases.
ONE_OF_EACH = (
    "sqlite",
    "postgres",
    "mariadb",
    *REDIS,
    MEMORY,
    "redis+sqlite",
    "memcached+postgres",
    f"{MEMCACHED}+sqlite",
)


def with_index_on(database: str, caches: Iterable[str]) -> list[str]:
    """Return the kinds of these caches with that database."""
    return [f"{cache}+{database}" for cache in caches]


def alias_of(kind: str) -> str:
    """Return the alias of the database that holds the sessions, or the index of their users."""
    _, _, database = kind.rpartition("+")
    return "default" if database in (settings.DEFAULT_DB, *WITHOUT_DATABASE) else database


def on(*kinds: str, transaction: bool = False) -> list[Any]:
    """
    Return parameters for the fixture `kind`, each with access to its databases.

    What is run on MariaDB is run on MySQL as well, where there is one. CI has none, and would
    skip every second test.
    """
    with_mysql = dict.fromkeys(also for kind in kinds for also in _with_mysql(kind))
    usable = (*DATABASES, *WITHOUT_DATABASE)
    chosen = [kind for kind in with_mysql if kind.rpartition("+")[2] in usable]
    there = {kind: {"default", alias_of(kind)} & set(connections) for kind in chosen}
    return [
        pytest.param(
            kind, marks=pytest.mark.django_db(transaction=transaction, databases=there[kind])
        )
        for kind in chosen
    ]


def _with_mysql(kind: str) -> list[str]:
    cache, plus, database = kind.rpartition("+")
    if database == "mariadb" and servers.address("mysql"):
        return [kind, f"{cache}{plus}mysql"]
    return [kind]


def store_setting(kind: str) -> dict[str, Any]:
    """Return SESSION_STORES for this kind, or skip the test if its server is missing."""
    if kind == MEMORY:
        return {"default": {"BACKEND": "django_multistore.stores.memory.MemoryStore"}}
    if kind in REDIS:
        return redis_store_on(kind)
    cache, _, database = kind.rpartition("+")
    if alias_of(kind) not in connections:
        servers.require(database)
    if not cache:
        return orm_store_on(alias_of(kind))
    if cache == MEMCACHED:
        return memcached_store_on(alias_of(kind), servers.require("memcached"))
    server, options = (CACHES | WITHOUT_LOCKS)[cache]
    if options["CACHE"] not in caches.settings:
        servers.require(server)
    return cache_store_on(alias_of(kind), **options)


def orm_store_on(alias: str) -> dict[str, Any]:
    backend = "django_multistore.stores.orm.OrmStore"
    return {"default": {"BACKEND": backend, "OPTIONS": {"DATABASE": alias}}}


def cache_store_on(alias: str, **options: Any) -> dict[str, Any]:
    backend = "django_multistore.stores.cache.CacheStore"
    return {"default": {"BACKEND": backend, "OPTIONS": {"DATABASE": alias, **options}}}


def memcached_store_on(alias: str, *addresses: str, **options: Any) -> dict[str, Any]:
    backend = "django_multistore.stores.memcached.MemcachedStore"
    own = {"DATABASE": alias, "SERVERS": [*addresses], "KEY_PREFIX": f"{OWN_PREFIX}:"}
    return {"default": {"BACKEND": backend, "OPTIONS": own | options}}


def redis_store_on(kind: str) -> dict[str, Any]:
    options = (
        {"URL": redis_groups.shared_cluster(), "CLUSTER": True}
        if kind == REDIS_CLUSTER
        else {"URL": f"redis://{servers.require('redis')}/4", "KEY_PREFIX": f"{OWN_PREFIX}:"}
    )
    backend = "django_multistore.stores.redis.RedisStore"
    return {"default": {"BACKEND": backend, "OPTIONS": options}}


def new_user(name: str = "ann") -> User:
    return User.objects.create_user(name, password="correct")


def login_of(user: Any) -> dict[str, str]:
    """Return what a login of this user leaves in the session."""
    return {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: BACKEND,
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }


def saved(**data: Any) -> str:
    """Store a session and return its session key."""
    session = SessionStore()
    session.update(data)
    session.save()
    assert session.session_key is not None
    return session.session_key


def loaded(session_key: str) -> SessionStore:
    session = SessionStore(session_key)
    assert session.keys() is not None
    return session


def data_of(session_key: str | None) -> dict[str, Any] | None:
    """Return the live session under a session key, or None."""
    session = SessionStore(session_key)
    data = session.load()
    return data if session.session_key else None


def request_with(session: SessionStore) -> HttpRequest:
    request = HttpRequest()
    request.session = session
    AuthenticationMiddleware(HttpResponse).process_request(request)
    return request


def stored_sessions() -> list[Any]:
    """Return all sessions that the store holds, by no way that it offers itself."""
    store: Any = stores["default"]
    if isinstance(store, MemoryStore):
        found = list(store._records.values())
    else:
        found = list(StoredSession.objects.using(store.database))
    return [stored for stored in found if not is_trail(stored)]


def is_trail(stored: Any) -> bool:
    """Say whether it is what a rotation leaves for a minute, and no session."""
    return stored.user_id is None and stored.authenticated_at is not None


def live_users() -> list[str]:
    """Return the user of each live session that has one, out of its data."""
    users = []
    for stored in stored_sessions():
        body = codec.unseal(bytes(stored.payload), stored.key)
        if stored.expires_at > timezone.now() and body is not None:
            users.append(json.loads(body).get(SESSION_KEY))
    return [user for user in users if user is not None]


def expire(session_key: str) -> None:
    """Let a session expire in the store, as time would: the version stays."""
    store: Any = stores["default"]
    past = timezone.now() - timedelta(hours=1)
    if isinstance(store, MemoryStore):
        key = key_of(session_key)
        store._records[key] = replace(store._records[key], expires_at=past)
    else:
        rows = StoredSession.objects.using(store.database)
        assert rows.filter(key=key_of(session_key)).update(expires_at=past) == 1


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        # MariaDB shows a list of its transactions that is renewed only if nobody has looked
        # at it for 100 ms. Other workers look at it as well, and must not do so in step.
        time.sleep(random.uniform(0.12, 0.5))


# Of MySQL's views only this one says nothing of the statements' texts.
LOCK_WAITS = {
    "postgresql": "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
    "mariadb": "SELECT 1 FROM information_schema.innodb_trx "
    "WHERE trx_mysql_thread_id = %s AND trx_state = 'LOCK WAIT'",
    "mysql": "SELECT 1 FROM performance_schema.data_lock_waits WHERE requesting_thread_id = "
    "(SELECT thread_id FROM performance_schema.threads WHERE processlist_id = %s)",
}


def server_kind(alias: str) -> str:
    """Return the database's vendor, or "mariadb", which Django takes for a MySQL."""
    connection: Any = connections[alias]
    is_mariadb = connection.vendor == "mysql" and connection.mysql_is_mariadb
    return "mariadb" if is_mariadb else str(connection.vendor)


def server_id(alias: str) -> int:
    """Return the number that the database's server gave to this thread's connection."""
    connection: Any = connections[alias]
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        return int(connection.connection.info.backend_pid)
    with connection.cursor() as cursor:  # each driver has another name for it
        cursor.execute("SELECT CONNECTION_ID()")
        return int(cursor.fetchone()[0])


def waits_for_a_lock(alias: str, number: int) -> bool:
    with connections[alias].cursor() as cursor:
        query = LOCK_WAITS[server_kind(alias)]
        cursor.execute(query, [number])
        return cursor.fetchone() is not None


class Actor:
    """A thread with connections of its own, which does one thing after the other."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._pool = self._stack.enter_context(ThreadPoolExecutor(max_workers=1))
        self._stack.callback(lambda: self._pool.submit(connections.close_all).result(PATIENCE))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def starts(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        return self._pool.submit(function, *args, **kwargs)

    def does(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.starts(function, *args, **kwargs).result(PATIENCE)

    def reaches_a_lock(
        self, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """Start something and return once it is done or waits for another transaction."""
        number = self.does(server_id, self.alias)
        future = self.starts(function, *args, **kwargs)
        wait_until(lambda: future.done() or waits_for_a_lock(self.alias, number))
        return future

    def begins(self) -> None:
        self._atomic = transaction.atomic(using=self.alias)
        self.does(self._atomic.__enter__)

    def ends(self, *, commit: bool) -> None:
        if not commit:
            self.does(partial(transaction.set_rollback, True, using=self.alias))
        self.does(self._atomic.__exit__, None, None, None)

    def locks(self, session_key: str) -> None:
        """Begin a transaction and lock a session's row in it."""
        self.begins()
        rows = StoredSession.objects.using(self.alias).filter(key=key_of(session_key))
        assert self.does(lambda: len(rows.select_for_update())) == 1


@contextmanager
def actors(alias: str, count: int) -> Iterator[list[Actor]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Actor(alias)) for _ in range(count)]
