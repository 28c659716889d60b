"""
A process whose children are killed while they use a session; test_kills.py starts it.

Each line that it reads is a JSON list of an act, whether it is one transaction, and a session key
or null: fork, and let the child act and be killed at some moment. Each line that it answers tells
as JSON whether the child was killed, and the session keys that it has drawn.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import time
from contextlib import nullcontext
from typing import IO, Any

import django

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()

from django.conf import settings
from django.contrib.auth import login, user_logged_in
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import connections, transaction

from django_multistore.engine import SessionStore
from tests.races.hesitation import hesitating
from tests.races.victim import tell_keys_to
from tests.support.meeting import alias_of, login_of, request_with, store_setting

READY, DONE = "ready\n", "done\n"
SPARED = 0.2  # of the children


def log_in(session: SessionStore, user: User) -> None:
    login(request_with(session), user)
    session.save()


def create(session: SessionStore, user: User) -> None:
    """Do what a program does that needs no login(): store a session that has its user at once."""
    session.update(login_of(user))
    session.save()


def rotate(session: SessionStore, user: User) -> None:
    session["ours"] = 1
    session.cycle_key()


def save(session: SessionStore, user: User) -> None:
    session["ours"] = 1
    session.save()


def log_out(session: SessionStore, user: User) -> None:
    session.flush()


ACTS = {act.__name__: act for act in (create, log_in, rotate, save, log_out)}


class Executioner:
    """One that knows how long each act takes."""

    def __init__(self, kind: str, user_id: int) -> None:
        self._alias = alias_of(kind)
        self._user_id = user_id
        self._took: dict[str, float] = {}
        self._import_all()

    def _import_all(self) -> None:
        """Use what children will use, so that it takes them no time, and drop the connections."""
        user, session = User.objects.get(pk=self._user_id), SessionStore()
        for act in (log_in, log_out):
            act(session, user)
        connections.close_all()
        for alias in caches:
            caches[alias].close()
            del caches[alias]

    def kill_one(self, act: str, is_atomic: bool, session_key: str | None) -> dict[str, Any]:
        """Let a child act and be killed, and say how it ended."""
        incoming, outgoing = os.pipe()
        if (child := os.fork()) == 0:
            self._act(act, is_atomic, session_key, outgoing)
            os._exit(0)
        os.close(outgoing)
        with os.fdopen(incoming) as said:
            assert said.readline() == READY
            keys = self._end(child, f"{act} {is_atomic}", said)
            _, status = os.waitpid(child, 0)
            keys += [line for line in said if line != DONE]
        status = os.waitstatus_to_exitcode(status)
        return {"status": status, "keys": [key.strip() for key in keys]}

    def _act(self, act: str, is_atomic: bool, session_key: str | None, outgoing: int) -> None:
        tell_keys_to(outgoing)
        user, session = User.objects.get(pk=self._user_id), SessionStore(session_key)
        session.keys()
        os.write(outgoing, READY.encode())
        # So that death comes between any two steps as likely as between any others.
        with (
            hesitating(1, seconds=0.002),
            transaction.atomic(using=self._alias) if is_atomic else nullcontext(),
        ):
            ACTS[act](session, user)
        os.write(outgoing, DONE.encode())
        connections.close_all()

    def _end(self, child: int, what: str, said: IO[str]) -> list[str]:
        """Let a child do all that it has to do, or kill it. Return the keys that were read."""
        began = time.perf_counter()
        if what in self._took and random.random() > SPARED:
            time.sleep(random.uniform(0, self._took[what]))
            os.kill(child, signal.SIGKILL)
            return []
        keys = [*itertools.takewhile(lambda line: line != DONE, said)]
        self._took[what] = time.perf_counter() - began
        return keys


def main(kind: str, user_id: str) -> None:
    settings.SESSION_STORES = store_setting(kind)
    user_logged_in.disconnect(dispatch_uid="update_last_login")  # a write to another database
    executioner = Executioner(kind, int(user_id))
    for line in sys.stdin:
        answer = executioner.kill_one(*json.loads(line))
        print(json.dumps(answer), flush=True)  # noqa: T201 - for the test that started this


if __name__ == "__main__":
    main(*sys.argv[1:])
