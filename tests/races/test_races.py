"""Two processes at one session: each race is run MULTISTORE_ROUNDS times."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
from django.conf import settings as django_settings
from pymemcache import Client

from tests import servers
from tests.races import worker
from tests.races.processes import answers, start
from tests.support.helpers import rounds
from tests.support.meeting import (
    CACHES,
    MEMCACHED,
    REDIS,
    WITHOUT_LOCKS,
    new_user,
    on,
    store_setting,
    with_index_on,
)

pytestmark = pytest.mark.stress

INDEX = django_settings.DEFAULT_DB
IN_DATABASES = on("sqlite", "postgres", "mariadb", transaction=True)
IN_CACHES = on(*with_index_on(INDEX, CACHES), transaction=True)
IN_MEMCACHED = on(*with_index_on(INDEX, [MEMCACHED]), transaction=True)
IN_CACHES_WITHOUT_LOCKS = on(*with_index_on(INDEX, WITHOUT_LOCKS), transaction=True)
IN_REDIS = on(*REDIS, transaction=True)
EVERYWHERE = [
    *IN_DATABASES,
    *IN_CACHES,
    *IN_CACHES_WITHOUT_LOCKS,
    *IN_MEMCACHED,
    *IN_REDIS,
]


def run(name: str, kind: str, settings: Any) -> tuple[Counter[str], Counter[str]]:
    """Run a race and return what its host and its guest have counted."""
    settings.SESSION_STORES = store_setting(kind)
    arguments = [kind, rounds(), new_user().pk]
    with ExitStack() as stack:
        memory = stack.enter_context(tempfile.TemporaryFile())
        memory.truncate(2)
        processes = []
        for role, line in zip(("host", "guest"), socket.socketpair(), strict=True):
            with line:
                descriptors = [line.fileno(), memory.fileno()]
                processes.append(start(worker, name, role, *arguments, descriptors=descriptors))
        said = answers(processes, timeout=60 + rounds() / 10)
    host, guest = map(Counter[str], said)
    assert not host["StoreUnavailable"] + guest["StoreUnavailable"], (host, guest)
    if "MULTISTORE_ROUNDS" in os.environ:
        counts = f"host {dict(host)}, guest {dict(guest)}"
        print(f"{name} on {kind}, {rounds()} rounds: {counts}")  # noqa: T201 - for pytest -rP
    return host, guest


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_no_save_brings_a_destroyed_session_back(kind: str, settings: Any) -> None:
    saver, destroyer = run("save-destroy", kind, settings)
    assert saver["resurrected"] == 0
    assert destroyer["destroyed"] == rounds()
    assert saver["done"]
    assert saver["UpdateError"]


@contextmanager
def full_all_the_time(server: servers.Server) -> Iterator[None]:
    """Fill a memcached again and again with items of the size of sessions, so that it evicts."""
    client, is_over = Client(server.address, default_noreply=True), threading.Event()

    def fill() -> None:
        while not is_over.wait(0.005):
            client.set_many({secrets.token_hex(20): bytes(300) for _ in range(500)})

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield
        with closing(Client(server.address)) as asking:
            assert asking.stats()[b"evictions"] > 1000
    finally:
        is_over.set()
        thread.join()
        client.close()


@pytest.mark.parametrize("kind", IN_MEMCACHED)
def test_no_save_brings_one_back_while_memcached_evicts(
    kind: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with servers.private("memcached", arguments=["-m", "8"]) as server, full_all_the_time(server):
        monkeypatch.setenv("MULTISTORE_MEMCACHED", server.address)
        saver, _ = run("save-destroy", kind, settings)
    assert saver["resurrected"] == 0
    assert saver["done"]
    assert saver["UpdateError"]


@pytest.mark.parametrize("kind", [*IN_DATABASES, *IN_CACHES, *IN_MEMCACHED, *IN_REDIS])
def test_no_increment_is_lost(kind: str, settings: Any) -> None:
    host, guest = run("increments", kind, settings)
    assert (host["host"], host["guest"]) == (rounds(), rounds())
    assert (host["done"], guest["done"]) == (rounds(), rounds())


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_no_rotation_escapes_a_destroy_for_user(kind: str, settings: Any) -> None:
    rotator, destroyer = run("rotate-destroy", kind, settings)
    assert rotator["alive"] == 0
    # In a cache a session is under no key for a moment, and isn't counted then.
    assert destroyer["destroyed"] == rounds() or ("+" in kind and destroyer["destroyed"])
    assert rotator["done"]
    assert rotator["SessionInterrupted"]


# The lock of the rotation that died would be in the way of the next for LOCK_SECONDS.
@pytest.mark.parametrize("kind", [*IN_CACHES_WITHOUT_LOCKS, *IN_MEMCACHED])
def test_no_rotation_after_one_that_died_escapes_a_destroy_for_user(
    kind: str, settings: Any
) -> None:
    rotator, _ = run("rotate-again-destroy", kind, settings)
    assert rotator["alive"] == 0
    assert rotator["done"]
    assert rotator["SessionInterrupted"]


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_no_login_escapes_the_list_and_the_next_destroy(kind: str, settings: Any) -> None:
    visitor, destroyer = run("login-destroy", kind, settings)
    assert (visitor["not listed"], visitor["alive"]) == (0, 0)
    assert visitor["destroyed"]
    assert destroyer["destroyed"]


@pytest.mark.parametrize("kind", IN_DATABASES)
def test_gc_removes_no_renewed_session(kind: str, settings: Any) -> None:
    visitor, collector = run("renew-gc", kind, settings)
    assert visitor["lost"] == 0
    assert visitor["done"]
    assert visitor["UpdateError"]
    assert collector["collected"]


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_of_two_rotations_one_wins(kind: str, settings: Any) -> None:
    host, guest = run("rotate-rotate", kind, settings)
    assert host["done"] + guest["done"] == rounds()
    assert host["live"] == host["destroyed"] == rounds()
    assert host["done"]
    assert guest["done"]


@pytest.mark.parametrize("kind", [*IN_CACHES, *IN_CACHES_WITHOUT_LOCKS, *IN_MEMCACHED])
def test_gc_leaves_no_live_session_unlisted(kind: str, settings: Any) -> None:
    visitor, collector = run("enter-gc", kind, settings)
    assert (visitor["not listed"], visitor["alive"]) == (0, 0)
    assert visitor["done"]
    assert collector["collected"]
