"""What a cache of which nothing is known makes of what a store asks of it."""

from __future__ import annotations

import contextlib
import enum
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import caches
from django.db import connections
from django.utils.module_loading import import_string

from ..causes import say_cause
from .replies import has_stored, read_values

PATIENCE = 10  # seconds, for all of it
EXPIRES_WITHIN = 3  # seconds, of what is kept for one
KEPT_FOR = 60  # seconds; what can't be removed goes by itself
LARGE = 2 * 2**20  # bytes; memcached's limit is 1 MiB
OUTAGES = 3  # Some clients raise the first error, and then find nothing for a while.
ONE, OTHER = bytes(range(256)), b"\x01" + bytes(range(255, -1, -1))


class Verdict(enum.Enum):
    UNFIT = enum.auto()  # It does what a store can't live with.
    UNKNOWN = enum.auto()  # It could not be asked, or not to the end.
    DROPS_LARGE = enum.auto()
    HIDES_OUTAGES = enum.auto()


Finding = tuple[Verdict, str]


def probe(alias: str, key_prefix: str) -> list[Finding]:
    """
    Try a cache, under names of its own, and remove them again. It takes no longer than PATIENCE.

    What is wrong is said in words that follow the cache's name and a comma.
    """
    findings: list[Finding] = []
    # In a thread: a client may wait for a server that hangs without an end.
    # Its settings are read here: the thread may outlast them, where it has taken too long.
    entry = dict(settings.CACHES[alias])
    arguments = (alias, entry, key_prefix, findings.append)
    thread = threading.Thread(target=_try, args=arguments, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        text = f"which could not be tried to the end: it has taken more than {PATIENCE} s."
        return [*findings, (Verdict.UNKNOWN, text)]
    return findings


def _try(
    alias: str, entry: dict[str, Any], key_prefix: str, report: Callable[[Finding], None]
) -> None:
    prefix = f"{key_prefix}p:{secrets.token_hex(8)}:"
    try:
        for finding in _at_work(alias, [f"{prefix}{number}" for number in range(5)]):
            report(finding)
    except Exception as error:  # noqa: BLE001 - whatever it raises
        text = f"which could not be tried ({say_cause(error)})."
        report((Verdict.UNKNOWN, text))
    # Afterwards: some clients keep to the first address that they were given.
    if _hides_outages(entry, f"{prefix}5"):
        text = (
            "which reports an outage as a miss: where no server is, it finds nothing, and raises "
            "no error. Visitors would be logged out."
        )
        report((Verdict.HIDES_OUTAGES, text))
    connections.close_all()  # Those of this thread, for a cache in a database.


def _at_work(alias: str, names: Sequence[str]) -> Iterator[Finding]:
    cache = caches.create_connection(alias)
    try:
        yield from _manners(cache, names)
    finally:
        for name in names:
            with contextlib.suppress(Exception):
                cache.delete(name)
        cache.close()


def _manners(cache: Any, names: Sequence[str]) -> Iterator[Finding]:
    """Try what is asked of a cache for each session. The rest says nothing after a failure."""
    first, second, third, passing, large = names

    cache.add(first, ONE, KEPT_FOR)
    if _kept(cache, [first, second]) != {first: ONE}:
        yield Verdict.UNFIT, "which does not give back the bytes that add() stored."
        return
    if cache.add(first, OTHER, KEPT_FOR) or _kept(cache, [first]) != {first: ONE}:
        text = "whose add() stores where something is already: two requests would have one lock."
        yield Verdict.UNFIT, text
        return
    values = {second: ONE, third: OTHER}
    if not has_stored(cache.set_many(values, KEPT_FOR), len(values)):
        yield Verdict.UNFIT, "whose set_many() says that it does not store bytes."
        return
    if _kept(cache, [first, *values]) != {first: ONE, **values}:
        yield Verdict.UNFIT, "whose get_many() does not give back the bytes that set_many() stored."
        return
    cache.delete(first)
    if _kept(cache, [first]):
        yield Verdict.UNFIT, "whose delete() removes nothing: no lock would be free again."
        return
    cache.add(passing, ONE, 1)
    give_up_at = time.monotonic() + EXPIRES_WITHIN
    while _kept(cache, [passing]):
        if time.monotonic() > give_up_at:
            text = "which keeps what was to expire: the lock of a process that died would stay."
            yield Verdict.UNFIT, text
            return
        time.sleep(0.1)
    if _drops(cache, large):
        text = (
            "which drops a value that is too large, without an error: whoever has much in a "
            "session would be logged out."
        )
        yield Verdict.DROPS_LARGE, text


def _drops(cache: Any, name: str) -> bool:
    value = ONE * (LARGE // len(ONE))
    try:
        is_said_to_be_there = has_stored(cache.set_many({name: value}, KEPT_FOR), 1)
    except Exception:  # noqa: BLE001 - as it should be
        return False
    return is_said_to_be_there and _kept(cache, [name]) != {name: value}


def _kept(cache: Any, names: Sequence[str]) -> dict[str, Any]:
    values = read_values(cache.get_many(list(names)))
    return {name: value for name, value in values.items() if value is not None}


# An outage, of a server that isn't there


def _hides_outages(entry: dict[str, Any], name: str) -> bool:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and doesn't listen
        location = _moved(entry.get("LOCATION", ""), f"127.0.0.1:{nobody.getsockname()[1]}")
        if location is None:
            return False
        others = {key: value for key, value in entry.items() if key not in ("BACKEND", "LOCATION")}
        others["OPTIONS"] = dict(entry.get("OPTIONS") or {})
        try:
            cache = import_string(entry["BACKEND"])(location, others)
        except Exception:  # noqa: BLE001 - it connects at once, or takes no such location
            return False
        return any(_finds_nothing(cache, name) for _ in range(OUTAGES))


def _finds_nothing(cache: Any, name: str) -> bool:
    with contextlib.suppress(Exception):
        cache.set_many({name: ONE}, KEPT_FOR)
    try:
        # Found, it is somewhere else than LOCATION says.
        values = _kept(cache, [name])
    except Exception:  # noqa: BLE001 - as it should be
        return False
    if values:
        cache.delete(name)
    return not values


def _moved(location: Any, address: str) -> Any:
    """Return a location with another address, or None for what is no address: a file, a table."""
    if isinstance(location, list | tuple | set):
        moved = [_moved(each, address) for each in location][:1]
        return moved if moved and moved[0] else None
    if not isinstance(location, str):
        return None
    text = re.split("[;,]", location)[0]
    parts = urlsplit(text)
    if parts.netloc:
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}{address}").geturl()
    return address if re.fullmatch(r"[^/\s]+:\d+", text) else None
