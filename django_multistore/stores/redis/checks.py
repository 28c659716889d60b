"""What RedisStore asks of its Redis."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Error, Warning

from ...exceptions import StoreUnavailable
from ..record_bytes import from_timestamp
from ..sql.clocks import check_clock
from .client.base import Client
from .options import RedisOptions

OLDEST = (7, 0)
KEEPS_ALL = "noeviction"


def check_redis(alias: str, options: RedisOptions, client: Client) -> list[CheckMessage]:
    """Warn of a Redis that can't keep what the store promises."""
    messages: list[CheckMessage] = []
    if find_spec("hiredis") is None:
        messages.append(
            Warning(
                f"Session store {alias!r} reads Redis' replies in Python: hiredis isn't installed.",
                hint="Install hiredis.",
                id="django_multistore.W014",
            )
        )
    try:
        servers = client.facts()
    except StoreUnavailable as error:
        silence = Warning(
            f"Session store {alias!r} could not ask {options.address} how it is configured "
            f"({type(error.__cause__).__name__}: {error.__cause__}).",
            hint="Start it, or correct where OPTIONS says it is. Its user needs the command INFO.",
            id="django_multistore.W015",
        )
        return [*messages, silence]
    found = {
        message.id: message for facts in servers for message in _check_server(alias, options, facts)
    }
    return [*messages, *found.values()]


def _check_server(
    alias: str, options: RedisOptions, facts: dict[str, Any]
) -> Iterator[CheckMessage]:
    version = str(facts.get("redis_version", ""))
    if version and _version_of(version) < OLDEST:
        yield Error(
            f"Session store {alias!r} is in {options.address}, which is version {version}.",
            hint=f"Use Redis {'.'.join(map(str, OLDEST))} or newer.",
            id="django_multistore.E008",
        )
    if str(facts.get("cluster_enabled")) == "1" and not options.is_cluster:
        yield Error(
            f"Session store {alias!r} is in {options.address}, which is part of a cluster.",
            hint=f"Set SESSION_STORES[{alias!r}]['OPTIONS']['CLUSTER'] to True, and URL to one of "
            "its nodes.",
            id="django_multistore.E009",
        )
    microseconds = str(facts.get("server_time_usec", ""))
    if microseconds.isdecimal():
        yield from check_clock(alias, options.address, from_timestamp(int(microseconds)))
    policy = facts.get("maxmemory_policy", KEEPS_ALL)
    if policy != KEEPS_ALL:
        yield Warning(
            f"Session store {alias!r} is in {options.address}, which evicts when it is full (its "
            f"maxmemory-policy is {policy!r}): sessions end before their time, and an index may "
            "go whose sessions live, so that nobody can end them.",
            hint="Set maxmemory-policy to noeviction.",
            id="django_multistore.W016",
        )
    if str(facts.get("aof_enabled", "1")) == "0":
        yield Warning(
            f"Session store {alias!r} is in {options.address}, which has no append-only file: what "
            "it wrote last is gone after a crash, and sessions that had been ended may be back.",
            hint="Set appendonly to yes.",
            id="django_multistore.W017",
        )


def _version_of(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
