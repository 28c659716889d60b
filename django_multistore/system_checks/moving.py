"""Checks of SESSION_ADOPT, by which the sessions of another engine come over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import VALID_KEY_CHARS
from django.core.cache import caches
from django.core.checks import CheckMessage, Error, Warning
from django.db import Error as AnyDatabaseError

from ..adopting.configuration import Adoption, read_adoption
from ..adopting.envelopes import is_following
from ..adopting.old_engines import OldEngine
from ..adopting.old_engines.caches import CacheEngine
from ..adopting.old_engines.files import KEY_LENGTH, FileEngine
from ..adopting.old_engines.payloads import open_text
from ..adopting.old_engines.tables import CachedTableEngine, TableEngine
from ..exceptions import InvalidStore, NotSupported, StoreUnavailable
from ..http.request_subject import find_engine
from ..records import SessionRecord
from ..serializers import BytesSerde, BytesSerializer
from ..session import clock
from ..stores.base import BaseStore
from ..stores.cache.checks import find_backend
from .registering import TAG, register

SAMPLE = 100  # sessions, or files
LONG = timedelta(days=30)
# What the caches' backends call the one that makes bytes of values.
SERIALIZERS = ("serializer", "SERIALIZER", "serde")
FILE_NAME = re.compile(rf"(.+)([{VALID_KEY_CHARS}]{{{KEY_LENGTH}}})")


@register(TAG)
def check_adoption(**kwargs: Any) -> list[CheckMessage]:
    """Check that SESSION_ADOPT can be read, and that this engine is there to look at it."""
    try:
        adoption = read_adoption()
    except InvalidStore as error:
        return [Error(str(error), id="django_multistore.E029")]
    if adoption is None or find_engine() is not None:
        return []
    return [
        Error(
            f"SESSION_ADOPT is set, and SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which "
            "doesn't look at it: no session comes over.",
            hint="Write SESSION_ENGINE = 'django_multistore.engine', or take SESSION_ADOPT away.",
            id="django_multistore.E031",
        )
    ]


@register(TAG)
def check_old_engine(**kwargs: Any) -> list[CheckMessage]:
    """Check that the old engine's app, cache or folder is there, without asking a server."""
    adoption = _find_adoption()
    if adoption is None:
        return []
    return [*_find_missing(adoption.old), *_find_cache_of_bytes(adoption)]


@register(TAG, deploy=True)
def check_move(**kwargs: Any) -> list[CheckMessage]:
    """Check that the old engine's sessions are there and can be read, and that the move goes on."""
    adoption = _find_adoption()
    if adoption is None or _find_missing(adoption.old):
        return []
    hidden = [*_find_hidden_outages(adoption.old)]
    try:
        missing = adoption.old.missing()
        if missing is not None:
            return [*hidden, _build_missing(missing)]
        messages = [*hidden, *_find_unreadable(adoption.old), *_find_other_cookie(adoption.old)]
    except Exception as error:  # noqa: BLE001 - whatever a site's own engine raises
        # Its text may have a session key in it.
        return [
            *hidden,
            Warning(
                f"The engine {adoption.old.name!r} of SESSION_ADOPT could not be asked "
                f"({type(error).__module__}.{type(error).__qualname__}).",
                hint="Run 'manage.py check --deploy' where its database, cache or folder can be "
                "reached.",
                id="django_multistore.W044",
            ),
        ]
    return [*messages, *_find_lasting_phase(adoption)]


def _find_adoption() -> Adoption | None:
    """Return what SESSION_ADOPT says, if that is to be looked at."""
    try:
        return read_adoption() if find_engine() is not None else None
    except InvalidStore:
        return None  # check_adoption() says it.


def _find_missing(old: OldEngine) -> list[CheckMessage]:
    if isinstance(old, TableEngine) and _has_model(old) and not _lacks_cache(old):
        return []  # Whether it has its table, only the database knows.
    missing = old.missing()
    return [] if missing is None else [_build_missing(missing)]


def _has_model(old: TableEngine) -> bool:
    try:
        return old.model is not None
    except (ImportError, RuntimeError):
        return False


def _lacks_cache(old: TableEngine) -> bool:
    return (
        isinstance(old, CachedTableEngine) and settings.SESSION_CACHE_ALIAS not in settings.CACHES
    )


def _build_missing(missing: str) -> CheckMessage:
    return Error(missing, id="django_multistore.E030")


def _find_cache_of_bytes(adoption: Adoption) -> Iterator[CheckMessage]:
    old, alias = adoption.old, settings.SESSION_CACHE_ALIAS
    writes_copies = isinstance(old, CachedTableEngine) and adoption.follows
    if not (isinstance(old, CacheEngine) or writes_copies):
        return
    options = settings.CACHES.get(alias, {}).get("OPTIONS", {})
    if any(_takes_bytes_alone(options.get(name)) for name in SERIALIZERS):
        yield Error(
            f"SESSION_ADOPT: {old.name} keeps pickled sessions in the cache {alias!r}, which "
            "CACHES has with a serializer that takes bytes alone: it finds none of them, and "
            "stores none.",
            hint=f"Leave CACHES[{alias!r}] as it was as long as SESSION_ADOPT names that engine, "
            "and give the store a cache of its own.",
            id="django_multistore.E032",
        )


def _takes_bytes_alone(serializer: object) -> bool:
    if isinstance(serializer, str):
        return serializer == f"{BytesSerializer.__module__}.{BytesSerializer.__qualname__}"
    ours = (BytesSerializer, BytesSerde)
    return isinstance(serializer, ours) or serializer in ours


def _find_hidden_outages(old: OldEngine) -> Iterator[CheckMessage]:
    """Say that an outage looks as if sessions had ended; behind cached_db there is the table."""
    alias = settings.SESSION_CACHE_ALIAS
    complaint = (
        find_backend(caches[alias]).hides_outages() if isinstance(old, CacheEngine) else None
    )
    if complaint is not None:
        yield Warning(
            f"SESSION_ADOPT: {old.name} has its sessions in the cache {alias!r}, {complaint.text} "
            "What isn't there any more has ended, here as well.",
            hint=complaint.remedy.format(cache=f"CACHES[{alias!r}]"),
            id="django_multistore.W045",
        )


def _find_unreadable(old: OldEngine) -> Iterator[CheckMessage]:
    if not old.can_scan:
        return
    sample = old.scan("", SAMPLE)
    unreadable = sum(session is None for _, session in sample)
    if unreadable * 2 > len(sample):
        yield Warning(
            f"SESSION_ADOPT: {unreadable} of {len(sample)} sessions of {old.name} can't be read. "
            "They were made with another SECRET_KEY or SESSION_SERIALIZER, or by a class with "
            "another name or salt, and their visitors will be logged out.",
            hint="Put the SECRET_KEY of before into SECRET_KEY_FALLBACKS, leave SESSION_SERIALIZER "
            "as it was, and have SESSION_ADOPT['ENGINE'] say just what SESSION_ENGINE said.",
            id="django_multistore.W042",
        )


def _find_other_cookie(old: OldEngine) -> Iterator[CheckMessage]:
    """Say that files are there under another cookie's name, and none under this one's."""
    if not isinstance(old, FileEngine) or old.scan("", 1):
        return
    store = old.store_class()
    with_other_names = {
        found[1]
        for path in islice(Path(store.storage_path).iterdir(), SAMPLE)
        if (found := FILE_NAME.fullmatch(path.name)) and found[1] != store.file_prefix
        # Another site's can't be read with this SECRET_KEY.
        if path.is_file() and open_text(store, path.read_text("ascii", "replace")) is not None
    }
    for name in sorted(with_other_names):
        yield Warning(
            f"SESSION_ADOPT: the sessions in {store.storage_path} are those of the cookie "
            f"{name!r}, and SESSION_COOKIE_NAME is {settings.SESSION_COOKIE_NAME!r}: browsers "
            "bring another cookie, and everyone is logged out.",
            hint=f"Write SESSION_COOKIE_NAME = {name!r}.",
            id="django_multistore.W043",
        )


def _find_lasting_phase(adoption: Adoption) -> Iterator[CheckMessage]:
    engine = find_engine()
    if not adoption.follows or engine is None:
        return
    try:
        store = getattr(engine.get_store(), "store", None)
        since = min(LONG, timedelta(seconds=settings.SESSION_COOKIE_AGE) * 0.9)
        records = _iterate_sample(store, since) if isinstance(store, BaseStore) else ()
        lasts = any(_has_followed(record, since) for record in records)
    except (InvalidStore, NotSupported, StoreUnavailable, AnyDatabaseError):
        return  # The checks of the stores say it.
    if lasts:
        yield Warning(
            f"SESSION_ADOPT['PHASE'] has been 'follow' for {since.days} days or longer. A save "
            "costs several times of what it costs without, and what the old engine can lose is "
            "lost here as well.",
            hint="Set it to 'adopt' once no process with the old engine runs any more.",
            id="django_multistore.W041",
        )


def _iterate_sample(store: BaseStore, since: timedelta) -> Iterator[SessionRecord | None]:
    if store.has_database_index:
        rows = store.database_index().filter(authenticated_at__lte=clock.now() - since)
        yield from map(store.read, rows.values_list("key", flat=True)[:SAMPLE])
    elif store.supports_scan:
        yield from store.scan(None, SAMPLE)[0]


def _has_followed(record: SessionRecord | None, since: timedelta) -> bool:
    # What was taken from the old engine has no such time: it is of a login that came later.
    return (
        record is not None
        and record.user_id is not None
        and record.authenticated_at is not None
        and record.authenticated_at <= clock.now() - since
        and is_following(record)
    )
