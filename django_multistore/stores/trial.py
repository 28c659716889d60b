"""Each store is asked to keep a session of the check's own, which nobody can open."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.db import Error as AnyDatabaseError
from django.db import connections

from ..exceptions import InvalidStore, StoreUnavailable
from ..records import Outcome, SessionRecord, key_of, new_id
from ..session import clock
from .base import BaseStore
from .causes import say_cause
from .remedies import START, find_remedy

PATIENCE = 10  # seconds, whatever the store's own time limits are
PATIENCE_WITH_QUESTIONS = 20  # seconds; a trial of a cache takes up to 10
LIFE = timedelta(seconds=60)  # What can't be removed goes by itself.
# What a check says of a server that can't be asked, which the trial says with the reason.
SAID_BY_TRIAL = ("W015", "W022", "W062")
REFUSED, NOT_REACHED = "django_multistore.E018", "django_multistore.E019"


class Unfit(Exception):
    """The store answered, and not what it must."""


def check_in_use(store: BaseStore, **kwargs: Any) -> list[CheckMessage]:
    """
    Try a store out, and have it check what only production needs.

    A server that never answers holds neither up for longer than PATIENCE and
    PATIENCE_WITH_QUESTIONS.
    """
    found: list[CheckMessage] = []
    is_over = _run_in_time(store, PATIENCE, lambda: found.extend(_try_out(store)))
    if not is_over:
        found = [_say_frozen(store)]
    checked: list[CheckMessage] = []
    is_checked = _run_in_time(
        store,
        PATIENCE_WITH_QUESTIONS,
        lambda: checked.extend(store.check(**kwargs, deploy=True)),
    )
    if not is_checked and is_over:
        found.append(
            Warning(
                f"Session store {store.alias!r}: its other checks took more than "
                f"{PATIENCE_WITH_QUESTIONS} s, and were left.",
                hint="Run check --deploy again.",
                id="django_multistore.W040",
            )
        )
    said = SAID_BY_TRIAL if found else ()
    return [*found, *(message for message in checked if not str(message.id).endswith(said))]


def _run_in_time(store: BaseStore, seconds: float, action: Callable[[], object]) -> bool:
    """Run something in a thread, and say whether it came to its end in time."""
    if _needs_this_thread(store):
        action()
        return True
    errors: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - it is raised where it belongs
            errors.append(error)
        finally:
            connections.close_all()  # Those of this thread.

    # A client may wait for a server that hangs without an end, and a daemon ends with the process.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return not thread.is_alive()


def _needs_this_thread(store: BaseStore) -> bool:
    # Another thread has another connection: it doesn't see what is in memory, and waits for a
    # transaction that is open here, as in a site's tests.
    using = getattr(store, "database", None)
    if using is None:
        return False
    connection: Any = connections[using]
    in_memory = getattr(connection, "is_in_memory_db", None)
    return connection.in_atomic_block or (in_memory is not None and in_memory())


def _try_out(store: BaseStore) -> list[CheckMessage]:
    # A store of its own has no connection yet that still works. What a cache remembers of a session
    # that has ended goes soon.
    short = {"MAX_AGE": int(LIFE.total_seconds())} if "MAX_AGE" in store.default_options else {}
    try:
        tried = type(store)(store.alias, **(store.options | short))
        record = _build_record(tried)
        _keep(tried, record)
        tried.try_more(record)
    except Exception as error:  # noqa: BLE001 - whatever a backend's client raises
        return [_say(store, error)]
    return []


def _build_record(store: BaseStore) -> SessionRecord:
    now = clock.now()
    # Where all rows are listed it looks like the trail of a rotation, which no list shows, and else
    # it belongs to a user whom no site has.
    user_id = None if store.has_database_index else f"check|{secrets.token_hex(8)}"
    return SessionRecord(
        id=new_id(),
        key=key_of(secrets.token_hex(16)),
        payload=secrets.token_bytes(64),
        version=1,
        user_id=user_id,
        created_at=now,
        authenticated_at=now,
        last_seen_at=now,
        expires_at=now + LIFE,
    )


def _keep(store: BaseStore, record: SessionRecord) -> None:
    try:
        if not store.create(record):
            raise Unfit("it took a new session for one that it has")
        _require(store.read(record.key), record.payload, "created")
        changed = replace(record, payload=secrets.token_bytes(64))
        if store.update(changed) is not Outcome.DONE:
            raise Unfit("it did not save a session again")
        _require(store.read(record.key), changed.payload, "saved")
        if not store.destroy(record.key) or store.read(record.key) is not None:
            raise Unfit("it still has a session that was to end")
    except BaseException:
        with suppress(Exception):
            store.destroy(record.key)
        raise


def _require(stored: SessionRecord | None, payload: bytes, done: str) -> None:
    if stored is None:
        raise Unfit(f"it doesn't have a session that it has just {done}")
    if stored.payload != payload:
        raise Unfit(f"it has other bytes than those of the session that it has just {done}")


def _say(store: BaseStore, error: Exception) -> CheckMessage:
    if isinstance(error, Unfit):
        return _make(store, REFUSED, str(error), "Use another backend, or look whether it is full.")
    if isinstance(error, InvalidStore):
        return Error(str(error), id=REFUSED)
    # The store's own error says in other words what its cause says.
    is_own = isinstance(error, StoreUnavailable)
    cause = (error.__cause__ if is_own else None) or error
    said = str(cause) if isinstance(cause, StoreUnavailable) else say_cause(cause)
    reason = " ".join(said.split()).removeprefix(f"Session store {store.alias!r}: ")
    remedy = find_remedy(error) or "See the server's log."
    id = NOT_REACHED if remedy.startswith(START) else REFUSED
    is_of_database = isinstance(cause, AnyDatabaseError)
    return _make(store, id, reason, remedy, is_of_database=is_of_database)


def _say_frozen(store: BaseStore) -> CheckMessage:
    return _make(
        store,
        NOT_REACHED,
        f"no answer within {PATIENCE} s",
        "Look whether the server hangs, or a firewall drops what is sent; set timeouts in {where}.",
        is_of_database=store.configured_by.startswith("DATABASES"),
    )


def _make(
    store: BaseStore, id: str, reason: str, remedy: str, *, is_of_database: bool = False
) -> CheckMessage:
    using = getattr(store, "database", None)
    where = f"DATABASES[{using!r}]" if is_of_database and using else store.configured_by
    place = f"the database {using!r}" if is_of_database else store.place or "its backend"
    hint = remedy.replace("{where}", where)
    return Error(
        f"Session store {store.alias!r} ({type(store).__name__}) could not keep a session of this "
        f"check's in {place}: {reason.rstrip('.')}.",
        hint=hint,
        id=id,
    )
