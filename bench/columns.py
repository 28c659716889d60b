"""
What is measured: the raw driver and the engines, behind the same four calls.

A call does one operation on many sessions, so that it can be timed as one block.
"""

from __future__ import annotations

import secrets
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import psycopg
from django.contrib.sessions.backends.base import SessionBase
from django.db import connection

from django_multistore.records import key_of, new_id
from django_multistore.session import codec
from django_multistore.session.keys import new_session_key

TABLE = "django_multistore_storedsession"
COLUMNS = (
    "id, key, version, user_id, created_at, authenticated_at, last_seen_at, expires_at, "
    "ip_address, user_agent, payload"
)
SELECT = f"SELECT {COLUMNS} FROM {TABLE} WHERE key = ? AND expires_at > ?"
INSERT = f"INSERT INTO {TABLE} ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
UPDATE = (
    f"UPDATE {TABLE} SET payload = ?, version = version + 1, user_id = ?, authenticated_at = ?, "
    "last_seen_at = ?, expires_at = ?, ip_address = ?, user_agent = ? "
    "WHERE key = ? AND version = ? AND expires_at > ?"
)
DELETE = f"DELETE FROM {TABLE} WHERE key = ?"

PAYLOADS = {"small": 0, "4 KiB": 4096}  # letters beside what a login stores

Data = dict[str, Any]


def data_of(user_id: int | None, letters: int) -> Data:
    """
    Return what a session holds: after a login some 200 bytes, and more.

    Args:
        user_id: the user's primary key, or None before the login.
        letters: how many more.
    """
    data: Data = {"number": -1}
    if user_id is not None:
        data |= {
            "_auth_user_id": str(user_id),
            "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
            "_auth_user_hash": secrets.token_hex(32),
        }
    return data | ({"letters": secrets.token_urlsafe(letters)[:letters]} if letters else {})


class Column(Protocol):
    """Four operations, each on many sessions."""

    def create(self, count: int) -> list[str]:
        """Store new sessions and return what load() finds them by."""

    def load(self, keys: list[str]) -> None: ...

    def save(self, keys: list[str]) -> None:
        """Load each, change a value, save it."""

    def delete(self, keys: list[str]) -> None: ...


class Engine:
    """A session engine, as requests use it: one SessionStore for each session."""

    def __init__(self, store: type[SessionBase], data: Data) -> None:
        self._store = store
        self._data = data

    def create(self, count: int) -> list[str]:
        keys: list[str] = []
        for _ in range(count):
            session = self._store()
            session.update(self._data)
            session.save()
            assert session.session_key
            keys.append(session.session_key)
        return keys

    def load(self, keys: list[str]) -> None:
        for key in keys:
            data = self._store(key).load()
        assert data["_auth_user_id"]

    def save(self, keys: list[str]) -> None:
        for number, key in enumerate(keys):
            session = self._store(key)
            session["number"] = number
            session.save()

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            self._store(key).delete()


class Driver:
    """
    The database's driver at its best, with the statements of OrmStore's engine.

    One connection in autocommit and one cursor; on PostgreSQL every statement is prepared on
    the server. Values are ready beforehand, and the payload is the one that the engine would
    store: the database has the same to do, Python next to nothing.
    """

    def __init__(self, data: Data, serializer: codec.Serializer) -> None:
        now = datetime.now(UTC)
        moments = now, now + timedelta(days=14)
        if connection.vendor == "sqlite":
            raw: Any = sqlite3.connect(
                connection.settings_dict["NAME"], isolation_level=None, timeout=20
            )
            raw.execute("PRAGMA synchronous=NORMAL")
            self._now, self._later = (moment.strftime("%Y-%m-%d %H:%M:%S.%f") for moment in moments)
            placeholder = "?"
        else:
            ours = connection.settings_dict
            raw = psycopg.connect(
                **{name: ours[name.upper()] for name in ("host", "port", "user")},
                dbname=ours["NAME"],
                autocommit=True,
                prepare_threshold=0,
            )
            self._now, self._later = moments
            placeholder = "%s"
        self._cursor = raw.cursor()
        self._select, self._insert, self._update, self._delete = (
            statement.replace("?", placeholder) for statement in (SELECT, INSERT, UPDATE, DELETE)
        )
        self._user_id = data["_auth_user_id"]
        self._payload = codec.seal(serializer.dumps(data), key_of(new_session_key()))

    def create(self, count: int) -> list[str]:
        cursor, now, later = self._cursor, self._now, self._later
        keys = [secrets.token_hex(20) for _ in range(count)]
        user_id, payload = self._user_id, self._payload
        for key in keys:
            cursor.execute(
                self._insert,
                (new_id(), key, 1, user_id, now, now, now, later, None, "", payload),
            )
        return keys

    def load(self, keys: list[str]) -> None:
        cursor, now = self._cursor, self._now
        for key in keys:
            row = cursor.execute(self._select, (key, now)).fetchone()
        assert row

    def save(self, keys: list[str]) -> None:
        cursor, now, later = self._cursor, self._now, self._later
        user_id, payload = self._user_id, self._payload
        for key in keys:
            row = cursor.execute(self._select, (key, now)).fetchone()
            cursor.execute(
                self._update,
                (payload, user_id, now, now, later, None, "", key, row[2], now),
            )
            assert cursor.rowcount == 1

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            self._cursor.execute(self._delete, (key,))
            assert self._cursor.rowcount == 1
