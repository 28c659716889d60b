"""Backends for memcached, by the client that they use."""

from __future__ import annotations

from typing import Any

from .base import (
    OUTAGE_IS_A_MISS,
    PYMEMCACHE,
    WAITS_FOR_EVER,
    Backend,
    BackendWithSerializer,
    Complaint,
    complain_of_options,
)

PICKLE_FLAG = 1  # pymemcache.serde.FLAG_PICKLE
PYMEMCACHE_INSTEAD = (
    f"Set {{cache}}['BACKEND'] to {PYMEMCACHE!r} and {{cache}}['OPTIONS'] to "
    '{"retry_attempts": 0, "dead_timeout": 0, "connect_timeout": 1, "timeout": 1}.'
)


class Memcached(Backend):
    """What all of them have in common."""

    def evicts(self) -> Complaint | None:
        return Complaint(
            "and memcached removes the sessions that were not used for longest when its memory is "
            "full, and all of them when it restarts.",
            "Give it more memory than the sessions will ever need (memcached -m 1024), then set "
            "SILENCED_SYSTEM_CHECKS = ['{id}'].",
        )


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
