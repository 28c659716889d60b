"""
A storm over one user's sessions; test_storms.py starts it.

Visitors log in, rotate, save and log out, each on sessions of its own and on some that all of
them know, while one process calls destroy_for_user() again and again. No clocks are compared:
they share a board on which the destroys are counted.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import os
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from multiprocessing.connection import Connection
from typing import Any

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

from django_multistore.engine import SessionStore
from django_multistore.session import keys as session_keys
from django_multistore.session.keys import SESSION_KEY_LENGTH
from django_multistore.stores import stores
from tests.races.hesitation import hesitating
from tests.support.meeting import alias_of, loaded, login_of, request_with, saved, store_setting

VISITORS = 4
PATIENCE = 60  # seconds
BETWEEN_DESTROYS = 0.02  # seconds, at the most
AFTERMATH = 0.1  # seconds
OWN = 3  # sessions that a visitor keeps to itself, at the most


class Cell(IntEnum):
    """What the board shows."""

    BEGUN = 0  # destroys
    ENDED = 1
    IS_OVER = 2


class Board:
    """Numbers that all processes see and the destroyer writes."""

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, 8 * len(Cell))).cast("Q")

    def __getitem__(self, cell: Cell) -> int:
        return self._cells[cell]

    def count(self, cell: Cell) -> None:
        self._cells[cell] += 1


@dataclass(frozen=True)
class Held:
    """A session as a visitor knows it."""

    session_key: str
    # How many destroys had begun when its login was complete. The next one must end it.
    since: int


class Pool:
    """Sessions that all visitors know: a queue of messages."""

    def __init__(self) -> None:
        self._entrance, self._exit = socket.socketpair(type=socket.SOCK_DGRAM)
        for end in (self._entrance, self._exit):
            end.setblocking(False)

    def put(self, held: Held) -> None:
        try:
            self._entrance.send(f"{held.session_key}{held.since}".encode())
        except BlockingIOError:
            return  # It is full.

    def take(self) -> Held | None:
        try:
            message = self._exit.recv(100).decode()
        except BlockingIOError:
            return None
        return Held(message[:SESSION_KEY_LENGTH], int(message[SESSION_KEY_LENGTH:]))


class Visitor:
    """Somebody with many devices."""

    def __init__(self, alias: str, user: User, board: Board, pool: Pool) -> None:
        self.counts = Counter[str]()
        self.since_by_session_key: dict[str, int | None] = {}
        self._alias = alias
        self._user = user
        self._board = board
        self._pool = pool
        self._own: list[Held] = []
        self._since: int | None = None
        self._draw = session_keys.new_session_key
        session_keys.new_session_key = self._draw_and_note

    def visit(self) -> None:
        (act,) = random.choices([self._logs_in, self._uses_own, self._uses_shared], [1, 2, 2])
        act()

    def _draw_and_note(self) -> str:
        session_key = self._draw()
        self.since_by_session_key[session_key] = self._since
        return session_key

    def _logs_in(self) -> None:
        self._since = None
        session = random.choice([SessionStore, _new_anonymous, _new_of(self._user)])()

        def log_in() -> None:
            login(request_with(session), self._user)
            session.save()

        if self._does("log in", log_in, may_be_atomic=True):
            held = Held(str(session.session_key), self._board[Cell.BEGUN])
            self.since_by_session_key[held.session_key] = held.since
            self._keep(held)

    def _keep(self, held: Held) -> None:
        if len(self._own) < OWN and random.random() < 0.5:
            self._own.append(held)
        else:
            self._pool.put(held)

    def _uses_own(self) -> None:
        if not self._own:
            return
        held = self._own.pop(random.randrange(len(self._own)))
        session = self._loaded(held)
        if session is not None and self._uses(session, held, may_be_atomic=True):
            self._own.append(replace(held, session_key=str(session.session_key)))

    def _uses_shared(self) -> None:
        held = self._pool.take()
        session = held and self._loaded(held)
        if not held or not session:
            return
        # Others may use it at the same time.
        self._pool.put(held)
        # Not in a transaction: SQLite's would keep those out who hold the session's lock.
        if self._uses(session, held, may_be_atomic=False):
            now = replace(held, session_key=str(session.session_key))
            if now != held:
                self._pool.put(now)

    def _loaded(self, held: Held) -> SessionStore | None:
        ended = self._board[Cell.ENDED]
        session = loaded(held.session_key)
        if session.get(SESSION_KEY) is None:
            return None
        self.counts["escaped"] += held.since < ended
        return session

    def _uses(self, session: SessionStore, held: Held, *, may_be_atomic: bool) -> bool:
        """Do something with a session, and tell whether it lives."""
        self._since = held.since

        def save() -> None:
            session[f"by {os.getpid()}"] = random.random()
            session.save()

        acts = {"rotate": session.cycle_key, "save": save, "log out": session.flush}
        (name,) = random.choices([*acts], [4, 3, 1])
        is_done = self._does(name, acts[name], may_be_atomic=may_be_atomic)
        return is_done and name != "log out"

    def _does(self, name: str, act: Callable[[], object], *, may_be_atomic: bool) -> bool:
        how = random.choice(["in autocommit", "committed", "rolled back"])
        if not may_be_atomic:
            how = "in autocommit"
        try:
            if how == "in autocommit":
                act()
            else:
                with transaction.atomic(using=self._alias):
                    act()
                    transaction.set_rollback(how == "rolled back", using=self._alias)
        except (UpdateError, SessionInterrupted) as error:
            self.counts[f"{name}: {type(error).__name__}"] += 1
            return False
        self.counts[f"{name}: {how}"] += 1
        return how != "rolled back"


def _new_anonymous() -> SessionStore:
    return loaded(saved(cart=[1]))


def _new_of(user: User) -> Callable[[], SessionStore]:
    """Return what a program does that needs no login(): a session that has its user at once."""

    def new() -> SessionStore:
        session = SessionStore()
        session.update(login_of(user))
        return session

    return new


class Storm:
    """What its processes have in common."""

    def __init__(self, kind: str, rounds: int, user_id: int) -> None:
        self._kind = kind
        self._rounds = rounds
        self._user_id = user_id
        self._board = Board()
        self._pool = Pool()
        self._fork = multiprocessing.get_context("fork")
        self._all_are_there = self._fork.Barrier(VISITORS + 1)

    def blow(self) -> list[Any]:
        """Run all processes and return what they say."""
        lines = [self._start(part) for part in [self._visit] * VISITORS + [self._destroy]]
        return [line.recv() for line in lines]

    def _start(self, part: Callable[[User], Any]) -> Connection:
        ours, theirs = self._fork.Pipe(duplex=False)
        self._fork.Process(target=self._take_part, args=(part, theirs), daemon=True).start()
        theirs.close()
        return ours

    def _take_part(self, part: Callable[[User], Any], line: Connection) -> None:
        random.seed()
        user = User.objects.get(pk=self._user_id)
        self._all_are_there.wait(PATIENCE)
        line.send(part(user))
        connections.close_all()

    def _visit(self, user: User) -> dict[str, Any]:
        visitor = Visitor(alias_of(self._kind), user, self._board, self._pool)
        while not self._board[Cell.IS_OVER]:
            visitor.visit()
        return {"counts": visitor.counts, "since": visitor.since_by_session_key}

    def _destroy(self, user: User) -> dict[str, Any]:
        counts = Counter[str]()
        try:
            for _ in range(self._rounds):
                time.sleep(random.uniform(0, BETWEEN_DESTROYS))
                self._board.count(Cell.BEGUN)
                counts["destroyed"] += stores["default"].destroy_for_user(user.pk)
                self._board.count(Cell.ENDED)
            # So that some sessions are there in the end.
            time.sleep(AFTERMATH)
        finally:
            self._board.count(Cell.IS_OVER)
        return {"counts": counts, "since": {}}


def main(kind: str, rounds: str, user_id: str) -> None:
    settings.SESSION_STORES = store_setting(kind)
    user_logged_in.disconnect(dispatch_uid="update_last_login")  # a write to another database
    with hesitating(0.05, seconds=0.003):
        said = Storm(kind, int(rounds), int(user_id)).blow()
    print(json.dumps(said))  # noqa: T201 - for the test that started this


if __name__ == "__main__":
    main(*sys.argv[1:])
