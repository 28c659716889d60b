"""What MemcachedStore asks of its servers, and of the entry in CACHES that names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.checks import CheckMessage, Warning

from ...exceptions import StoreUnavailable
from ..cache.checks import (
    ENDS_EARLY,
    EVICTS,
    SHARED,
    CacheInUse,
    ends_sessions_early,
    is_shared,
    make_message,
)
from ..cache.known_backends.base import Complaint
from ..cache.known_backends.servers import MEMCACHED_EVICTS
from ..sql.clocks import check_clock
from .client import MemcachedClient
from .options import MemcachedOptions

ITEM_SIZE = 2**20  # bytes, which memcached takes for one item by default


def check_memcached(
    alias: str, options: MemcachedOptions, client: MemcachedClient
) -> list[CheckMessage]:
    """Warn of servers that can't keep what the store promises."""
    messages = list(_check_settings(alias, options))
    try:
        servers = client.facts()
    except StoreUnavailable as error:
        cause = error.__cause__
        silence = Warning(
            f"Session store {alias!r} could not ask {options.place} how it is configured "
            f"({type(cause).__name__}: {cause}).",
            hint="Start it, or correct where OPTIONS says it is.",
            id="django_multistore.W062",
        )
        return [*messages, silence]
    for name, facts in servers.items():
        place = f"memcached at {name}"
        messages += [
            make_message(alias, place, id, complaint) for id, complaint in _complain_of(facts)
        ]
        if isinstance(seconds := facts.get(b"time"), int):
            messages += check_clock(alias, place, datetime.fromtimestamp(seconds, UTC))
    # What is true of all of them is told once.
    return list({(message.id, message.msg): message for message in messages}.values())


def _check_settings(alias: str, options: MemcachedOptions) -> Iterator[CheckMessage]:
    max_age = int(options.max_age.total_seconds())
    used = CacheInUse(alias, options.cache or "", max_age=max_age)
    if options.cache is not None and (complaint := is_shared(used)):
        yield make_message(alias, used.place, SHARED, complaint, options.cache)
    if complaint := ends_sessions_early(used):
        yield make_message(alias, options.place, ENDS_EARLY, complaint)


def _complain_of(facts: Mapping[bytes, Any]) -> Iterator[tuple[str, Complaint]]:
    if facts.get(b"cas_enabled") in (b"no", False):
        yield (
            "django_multistore.E037",
            Complaint(
                "which was started without compare-and-set: no session could be saved.",
                "Start it without its option -C.",
            ),
        )
    if facts.get(b"evictions") == b"off":
        yield (
            "django_multistore.W063",
            Complaint(
                "which refuses what is new when its memory is full: nobody could log in or out.",
                "Start it without its option -M, and give it more memory than the sessions will "
                "ever need (memcached -m 1024).",
            ),
        )
    else:
        yield EVICTS, MEMCACHED_EVICTS
    item_size = facts.get(b"item_size_max")
    if isinstance(item_size, int) and item_size < ITEM_SIZE:
        yield (
            "django_multistore.W061",
            Complaint(
                f"which takes no session of more than {item_size} bytes: its save is an error.",
                "Start it with a larger -I (memcached -I 1m, its default).",
            ),
        )
