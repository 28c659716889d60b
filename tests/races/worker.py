"""
One of the two processes of a race; test_races.py starts them.

The host prepares a round, both act at once, and the host looks at what came of it. They have
inherited a socket to tell each other so, and each prints its counts as JSON at the end.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import django

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()

from django.conf import settings
from django.contrib.auth import SESSION_KEY, login, user_logged_in
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import connections, transaction
from django.utils import timezone

from django_multistore.engine import SessionStore
from django_multistore.exceptions import StoreUnavailable
from django_multistore.records import key_of
from django_multistore.session.keys import new_session_key
from django_multistore.stores import stores
from django_multistore.stores.indexed import users as cache_users
from django_multistore.stores.indexed.store import IndexedStore
from django_multistore.stores.steps import DatabaseCall
from tests.races.hesitation import hesitating
from tests.support.meeting import (
    alias_of,
    data_of,
    loaded,
    login_of,
    request_with,
    saved,
    store_setting,
)

READY = "ready"
FIRST_DELAY = 0.002  # seconds
PATIENCE = 60
TIME_TO_LIVE = timedelta(milliseconds=5)


class Race:
    """One side's way to the other, and what it has counted."""

    def __init__(self, role: str, alias: str, rounds: int, descriptors: list[int], user: User):
        self.alias = alias
        self.rounds = rounds
        self.user = user
        self.counts = Counter[str]()
        self.took = FIRST_DELAY
        self._socket = socket.socket(fileno=descriptors[0])
        self._heard = self._socket.makefile("r")
        self._memory = mmap.mmap(descriptors[1], 0)
        self._mine, self._theirs = (0, 1) if role == "host" else (1, 0)

    def close(self) -> None:
        self._heard.close()
        self._socket.close()
        self._memory.close()

    def tell(self, message: str) -> None:
        self._socket.sendall(f"{message}\n".encode())

    def hear(self) -> str:
        if message := self._heard.readline():
            return message.rstrip("\n")
        raise SystemExit("The other process has gone.")

    def start(self) -> None:
        """
        Begin together, up to as much later as the other's part takes, so that all orders come up.

        Being woken up takes longer than what is raced for, so neither side is put to sleep.
        """
        self.tell(str(self.took))
        delay = random.uniform(0, float(self.hear()))
        self._memory[self._mine] = (self._memory[self._mine] + 1) % 256
        deadline = time.monotonic() + PATIENCE
        while self._memory[self._mine] != self._memory[self._theirs]:
            if time.monotonic() > deadline:
                raise SystemExit("The other process does not come.")
            os.sched_yield()
        until = time.perf_counter() + delay
        while time.perf_counter() < until:
            os.sched_yield()

    def count(self, act: Callable[[], object]) -> bool:
        """Do it, and count how it ended; tell whether it was done."""
        began = time.perf_counter()
        try:
            act()
        except (UpdateError, SessionInterrupted, StoreUnavailable) as error:
            self.counts[type(error).__name__] += 1
            return False
        finally:
            self.took = time.perf_counter() - began
        self.counts["done"] += 1
        return True

    def destroy(self, key: str) -> None:
        self.counts["destroyed"] += stores["default"].destroy(key)

    def destroy_all(self) -> None:
        self.counts["destroyed"] += stores["default"].destroy_for_user(self.user.pk)

    def listed(self) -> set[str]:
        return {record.key for record in stores["default"].sessions_for_user(self.user.pk)}


def host_save(race: Race) -> None:
    for _ in range(race.rounds):
        session = loaded(saved(**login_of(race.user)))
        race.tell(str(session.session_key))
        session["more"] = 1
        race.start()
        race.count(session.save)
        race.hear()
        race.counts["resurrected"] += data_of(session.session_key) is not None


def guest_destroy(race: Race) -> None:
    for _ in range(race.rounds):
        key = key_of(race.hear())
        race.start()
        race.count(partial(race.destroy, key))
        race.tell(READY)


def host_increments(race: Race) -> None:
    session_key = saved(host=0, guest=0)
    race.tell(session_key)
    _increment(race, session_key, "host")
    race.hear()
    race.counts.update(data_of(session_key) or {})


def guest_increments(race: Race) -> None:
    _increment(race, race.hear(), "guest")
    race.tell(READY)


def _increment(race: Race, session_key: str, name: str) -> None:
    race.start()
    for _ in range(race.rounds):
        session = SessionStore(session_key)
        session[name] += 1
        race.count(session.save)


def host_rotate(race: Race) -> None:
    _rotate_each(race, lambda session_key: None)


def host_rotate_again(race: Race) -> None:
    _rotate_each(race, _rotate_half)


def _rotate_half(session_key: str) -> None:
    """Leave of a rotation what a process leaves that dies once it has moved the row."""
    store = stores["default"]
    assert isinstance(store, IndexedStore)
    record = store.read(key_of(session_key))
    assert record is not None
    steps = store._protocol.rotate(record.key, replace(record, key=key_of(new_session_key())))
    step = next(steps)
    while not isinstance(step, DatabaseCall):
        step = steps.send(step.take())
    step.take()
    steps.close()


def _rotate_each(race: Race, prepare: Callable[[str], object]) -> None:
    for _ in range(race.rounds):
        session_key = saved(**login_of(race.user))
        prepare(session_key)
        session = loaded(session_key)
        race.start()
        race.count(session.cycle_key)
        race.hear()
        race.counts["alive"] += data_of(session.session_key) is not None
        race.counts["alive"] += len(race.listed())


def host_log_in(race: Race) -> None:
    for number in range(race.rounds):
        session = loaded(saved(cart=[1])) if number % 2 else SessionStore()
        log_in = _log_in_at_once if number % 4 > 1 else _log_in
        race.start()
        race.count(partial(log_in, race, session))
        race.hear()
        _look_at_login(race, session)


def _look_at_login(race: Race, session: SessionStore) -> None:
    if key_of(str(session.session_key)) not in race.listed():
        data = data_of(session.session_key) or {}
        race.counts["not listed"] += data.get(SESSION_KEY) is not None
    race.destroy_all()
    race.counts["alive"] += data_of(session.session_key) is not None


def _log_in(race: Race, session: SessionStore) -> None:
    login(request_with(session), race.user)
    session.save()


def _log_in_at_once(race: Race, session: SessionStore) -> None:
    with transaction.atomic(using=race.alias):
        _log_in(race, session)


def guest_destroy_all(race: Race) -> None:
    for _ in range(race.rounds):
        race.start()
        race.count(race.destroy_all)
        race.tell(READY)


def host_renew(race: Race) -> None:
    for _ in range(race.rounds):
        session = SessionStore()
        session.set_expiry(expiry := timezone.now() + TIME_TO_LIVE)
        session.save()
        session.set_expiry(3600)
        race.tell(expiry.isoformat())
        _wait_for(expiry - random.uniform(0, 2) * timedelta(seconds=race.took))
        is_renewed = race.count(session.save)
        race.hear()
        if is_renewed:
            race.counts["lost"] += data_of(session.session_key) is None
            session.delete()


def guest_collect(race: Race) -> None:
    for _ in range(race.rounds):
        expiry = datetime.fromisoformat(race.hear())
        _wait_for(expiry + random.uniform(-1, 1) * timedelta(seconds=race.took))
        race.count(lambda: race.counts.update(collected=SessionStore.clear_expired()))
        race.tell(READY)


def _wait_for(moment: datetime) -> None:
    time.sleep(max(0, (moment - timezone.now()).total_seconds()))


def host_rotate_too(race: Race) -> None:
    for _ in range(race.rounds):
        session_key = saved(**login_of(race.user))
        race.tell(session_key)
        rotated = _rotate_at_once(race, session_key)
        keys = {session_key, race.hear(), rotated}
        race.counts["live"] += sum(data_of(key) is not None for key in keys)
        race.destroy_all()


def guest_rotate_too(race: Race) -> None:
    for _ in range(race.rounds):
        race.tell(_rotate_at_once(race, race.hear()))


def _rotate_at_once(race: Race, session_key: str) -> str:
    session = loaded(session_key)
    race.start()
    race.count(session.cycle_key)
    return str(session.session_key)


def host_enter(race: Race) -> None:
    """Do what enters a session in an index, whose entry is there before the session is."""
    for number in range(race.rounds):
        enter = (_create, _rotate, _log_in)[number % 3]
        session = loaded(saved(**login_of(race.user))) if enter is _rotate else SessionStore()
        race.start()
        with hesitating(1, seconds=0.004, after=[DatabaseCall]):
            race.count(partial(enter, race, session))
        race.hear()
        _look_at_login(race, session)


def _create(race: Race, session: SessionStore) -> None:
    session.update(login_of(race.user))
    session.save()


def _rotate(race: Race, session: SessionStore) -> None:
    session.cycle_key()


def guest_collect_entries(race: Race) -> None:
    # To this process each entry is old, and its session lost if it isn't there.
    cache_users.IN_FLIGHT = -timedelta(hours=1)
    for _ in range(race.rounds):
        race.start()
        race.count(lambda: race.counts.update(collected=SessionStore.clear_expired()))
        race.tell(READY)


RACES = {
    "save-destroy": (host_save, guest_destroy),
    "increments": (host_increments, guest_increments),
    "rotate-destroy": (host_rotate, guest_destroy_all),
    "rotate-again-destroy": (host_rotate_again, guest_destroy_all),
    "login-destroy": (host_log_in, guest_destroy_all),
    "renew-gc": (host_renew, guest_collect),
    "rotate-rotate": (host_rotate_too, guest_rotate_too),
    "enter-gc": (host_enter, guest_collect_entries),
}


def main(name: str, role: str, kind: str, rounds: str, user: str, *descriptors: str) -> None:
    settings.SESSION_STORES = store_setting(kind)
    user_logged_in.disconnect(dispatch_uid="update_last_login")  # a write to another database
    host, guest = RACES[name]
    descriptor_numbers = [int(descriptor) for descriptor in descriptors]
    race = Race(role, alias_of(kind), int(rounds), descriptor_numbers, User.objects.get(pk=user))
    (host if role == "host" else guest)(race)
    race.close()
    connections.close_all()
    print(json.dumps(race.counts))  # noqa: T201 - for the test that started this


if __name__ == "__main__":
    main(*sys.argv[1:])
