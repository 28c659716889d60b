"""Servers that can be lost, addresses of none, and what is then tried there."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import call_command
from django.db import connections

from django_multistore.testing import make_record
from tests import servers
from tests.support.meeting import alias_of


@contextmanager
def redirected(alias: str, **changes: Any) -> Iterator[None]:
    """Let an alias of DATABASES lead elsewhere."""
    configuration = connections[alias].settings_dict
    before = {name: configuration[name] for name in changes}
    connections[alias].close()
    configuration.update(changes)
    try:
        yield
    finally:
        connections[alias].close()
        configuration.update(before)


@contextmanager
def own_server(kind: str) -> Iterator[servers.Server]:
    """Keep the sessions in a server that may be killed."""
    alias = alias_of(kind)
    with servers.private(kind, durable=True) as server:
        host, port = server.address.split(":")
        with redirected(alias, HOST=host, PORT=port, NAME="sessions"):
            with connections[alias]._nodb_cursor() as cursor:
                cursor.execute("CREATE DATABASE sessions")
            call_command("migrate", "django_multistore", database=alias, verbosity=0)
            yield server


def a_closed_port() -> int:
    with socket.socket() as probe:
        probe.bind((servers.HOST, 0))
        return probe.getsockname()[1]


OPERATIONS: dict[str, Callable[[Any], object]] = {
    "read": lambda store: store.read("0" * 40),
    "create": lambda store: store.create(make_record()),
    "update": lambda store: store.update(make_record()),
    "overwrite": lambda store: store.update(make_record(version=None)),
    "write": lambda store: store.write(make_record()),
    "touch": lambda store: store.touch(make_record()),
    "rotate": lambda store: store.rotate("0" * 40, make_record()),
    "modify": lambda store: store.modify("0" * 40, lambda stored: stored),
    "destroy": lambda store: store.destroy("0" * 40),
    "sessions_for_user": lambda store: store.sessions_for_user(1),
    "destroy_for_user": lambda store: store.destroy_for_user(1),
    "destroy_session": lambda store: store.destroy_session(1, 1),
    "gc": lambda store: store.gc(),
    "count for gc": lambda store: store.gc(dry_run=True),
}
