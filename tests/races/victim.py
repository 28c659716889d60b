"""
A process whose children die while they rotate a session; tests/stores/orm/test_faults.py starts it.

Each line that it reads is "SESSION_KEY SITUATION WHEN NUMBER": fork, and let the child call
cycle_key() and kill itself before or after its statement of that number. Each line that it answers
tells as JSON whether the child was killed, and the session keys that it has drawn.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import django

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()

from django.conf import settings
from django.db import connections, transaction

from django_multistore.session import keys as session_keys
from tests.support.meeting import loaded, orm_store_on


class Death:
    def __init__(self, when: str, number: int) -> None:
        self._when = when
        self._left = number

    def __call__(self, execute: Any, *arguments: Any) -> Any:
        self._left -= 1
        if self._left == 0 and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = execute(*arguments)
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


def rotate(alias: str, session_key: str, situation: str, when: str, number: str) -> None:
    session = loaded(session_key)
    session["ours"] = 1
    if situation == "conflict":
        other = loaded(session_key)
        other["theirs"] = 1
        other.save()
    with connections[alias].execute_wrapper(Death(when, int(number))):
        if situation == "transaction":
            with transaction.atomic(using=alias):
                session.cycle_key()
        else:
            session.cycle_key()
    connections.close_all()


def tell_keys_to(pipe: int) -> None:
    draw = session_keys.new_session_key

    def draw_and_tell() -> str:
        session_key = draw()
        os.write(pipe, f"{session_key}\n".encode())
        return session_key

    session_keys.new_session_key = draw_and_tell


def main(alias: str) -> None:
    settings.SESSION_STORES = orm_store_on(alias)
    for line in sys.stdin:
        incoming, outgoing = os.pipe()
        if (child := os.fork()) == 0:
            tell_keys_to(outgoing)
            rotate(alias, *line.split())
            os._exit(0)
        os.close(outgoing)
        _, status = os.waitpid(child, 0)
        with os.fdopen(incoming) as said:
            answer = {"status": os.waitstatus_to_exitcode(status), "keys": said.read().split()}
        print(json.dumps(answer), flush=True)  # noqa: T201 - for the test that started this


if __name__ == "__main__":
    main(*sys.argv[1:])
