"""Many processes at the sessions of one user, which are destroyed again and again."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User

from django_multistore.models import UserSession
from django_multistore.records import key_of
from django_multistore.stores import stores
from django_multistore.stores.indexed import users as cache_users
from tests.races import storm
from tests.races.processes import answers, start
from tests.support.helpers import rounds
from tests.support.meeting import (
    CACHES,
    MEMCACHED,
    REDIS,
    REDIS_CLUSTER,
    WITHOUT_LOCKS,
    alias_of,
    data_of,
    new_user,
    on,
    store_setting,
    with_index_on,
)

AT_A_TIME = 2000  # rounds, so that memcached still has all sessions when they are looked at

INDEX = django_settings.DEFAULT_DB
KINDS = [
    *with_index_on(INDEX, [*CACHES, *WITHOUT_LOCKS, MEMCACHED]),
    *(with_index_on("postgres", [*CACHES, MEMCACHED]) if INDEX != "postgres" else []),
    *REDIS,
]

pytestmark = [
    pytest.mark.stress,
    pytest.mark.parametrize("kind", on(*KINDS, transaction=True)),
]


def blow(kind: str, user: User, count: int) -> tuple[Counter[str], dict[str, int | None]]:
    """
    Let a storm blow for so many destroys.

    Returns:
        What was counted; and of each session key there ever was, how many destroys had begun
        when its login was complete.
    """
    (said,) = answers([start(storm, kind, count, user.pk)], timeout=60 + count / 5)
    counts = Counter[str]()
    since: dict[str, int | None] = {}
    for answer in said:
        counts.update(answer["counts"])
        since |= answer["since"]
    if "MULTISTORE_ROUNDS" in os.environ:
        print(f"{kind}, {count} destroys, {len(since)} keys: {dict(counts)}")  # noqa: T201
    return counts, since


def live_keys_of(session_keys: Any) -> set[str]:
    """Return the keys of those that live and have a user."""
    return {
        key_of(session_key)
        for session_key in session_keys
        if SESSION_KEY in (data_of(session_key) or {})
    }


def indexed_keys(kind: str, user: User) -> set[str]:
    """Return the keys that the index of a user has, by no way that the store offers itself."""
    store: Any = stores["default"]
    if kind in REDIS:
        name = store._protocol.index_name(str(user.pk))
        return {key.hex() for key in store._client.call("ZRANGE", name, 0, -1)}
    entries = UserSession.objects.using(alias_of(kind)).filter(user_id=str(user.pk))
    return set(entries.values_list("key", flat=True))


def test_a_storm(kind: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SESSION_STORES = store_setting(kind)
    # No process is left that could be on its way from the index to the cache.
    monkeypatch.setattr(cache_users, "IN_FLIGHT", timedelta(0))
    user, store = new_user(), stores["default"]
    for done in range(0, rounds(), AT_A_TIME):
        destroys = min(AT_A_TIME, rounds() - done)
        counts, since = blow(kind, user, destroys)
        assert counts["escaped"] == 0
        due = [key for key, begun in since.items() if begun is not None and begun < destroys]
        live = live_keys_of(since)
        assert live_keys_of(due) == set()
        assert {record.key for record in store.sessions_for_user(user.pk)} == live
        store.gc()
        indexed = indexed_keys(kind, user)
        # On a cluster the old keys of sessions that have moved stay there for a while.
        assert indexed >= live if kind == REDIS_CLUSTER else indexed == live
        assert store.destroy_for_user(user.pk) == len(live)
        assert live_keys_of(since) == set()
        assert not indexed_keys(kind, user)
        assert live
        assert counts["destroyed"]
