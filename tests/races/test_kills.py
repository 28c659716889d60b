"""Processes that are killed while they use a session in a cache, at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections import Counter
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User

from django_multistore.engine import SessionStore
from django_multistore.records import key_of
from django_multistore.stores import stores
from tests.races import casualty
from tests.races.processes import start
from tests.support.helpers import rounds
from tests.support.meeting import (
    CACHES,
    MEMCACHED,
    REDIS,
    WITHOUT_LOCKS,
    loaded,
    login_of,
    new_user,
    on,
    saved,
    store_setting,
    with_index_on,
)

INDEX = django_settings.DEFAULT_DB
KINDS = [
    *with_index_on(INDEX, [*CACHES, *WITHOUT_LOCKS, MEMCACHED]),
    *(with_index_on("postgres", ["memcached"]) if INDEX != "postgres" else []),
    *REDIS,
]

pytestmark = [
    pytest.mark.stress,
    pytest.mark.parametrize("kind", on(*KINDS, transaction=True)),
]


# What is in the session, for acts that don't need it to be a user's. None: there is none.
BEFORE: dict[str, list[dict[str, Any] | None]] = {"create": [None], "log_in": [None, {"cart": [1]}]}


class Fate:
    """What has become of one session, under all the keys that it may have."""

    def __init__(self, user: User, session_keys: list[str]) -> None:
        self._user = user
        self._session_keys = session_keys

    def check(self) -> list[SessionStore]:
        """Return the session if it lives. If it is the user's, it is listed."""
        live = self._live()
        assert len(live) <= 1
        assert self._listed() == self._keys_of_user(live)
        return live

    def destroy(self) -> None:
        stores["default"].destroy_for_user(self._user.pk)
        assert not self._keys_of_user(self._live())
        assert not self._listed()

    def rotate(self, session: SessionStore) -> None:
        session.cycle_key()
        self._session_keys.append(str(session.session_key))

    def _live(self) -> list[SessionStore]:
        sessions = [loaded(session_key) for session_key in self._session_keys]
        return [session for session in sessions if session.session_key]

    def _keys_of_user(self, sessions: list[SessionStore]) -> set[str]:
        return {key_of(str(session.session_key)) for session in sessions if SESSION_KEY in session}

    def _listed(self) -> set[str]:
        return {record.key for record in stores["default"].sessions_for_user(self._user.pk)}


def test_a_process_that_dies_leaves_one_live_key_and_no_unlisted_session(
    kind: str, settings: Any
) -> None:
    settings.SESSION_STORES = store_setting(kind)
    user, counts = new_user(), Counter[str]()
    with start(casualty, kind, user.pk, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # A process costs several times what a round of a race does.
        for _ in range(rounds() // 3):
            act = random.choice([*casualty.ACTS])
            before = random.choice(BEFORE.get(act, [login_of(user)]))
            session_key = None if before is None else saved(**before)
            line = json.dumps([act, random.choice([True, False]), session_key])
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert answer["status"] in (0, -signal.SIGKILL)
            counts[f"{act}: {answer['status']}"] += 1
            fate = Fate(user, [*answer["keys"], *([session_key] if session_key else [])])
            live = fate.check()
            # With locks, the next would wait for LOCK_SECONDS for the one who died.
            if live and not stores["default"].options.get("EXACT"):
                fate.rotate(live[0])
                assert fate.check()
            fate.destroy()
        process.stdin.close()
    if "MULTISTORE_ROUNDS" in os.environ:
        print(f"{kind}, {rounds() // 3} rounds: {dict(counts)}")  # noqa: T201 - for pytest -rP
    for act in casualty.ACTS:
        assert counts[f"{act}: 0"]
        assert counts[f"{act}: {-signal.SIGKILL}"]
