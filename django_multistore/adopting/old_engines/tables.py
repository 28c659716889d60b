"""Engines that keep sessions in a table, and those that keep a copy in a cache as well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.core import exceptions
from django.core.cache import caches
from django.db import DatabaseError, IntegrityError, connections, router
from django.utils import timezone

from ...records import Device
from ...session import clock
from ..old_sessions import OldSession
from .base import OldEngine, is_session_key
from .payloads import first_of, open_text, prepare, read_signing_time, user_id_in

BATCH = 500
FAMILIES = ("django.contrib.sessions.backends.", "qsessions.backends.", "user_sessions.backends.")
# Django 6.0 has an error of its own for an UPDATE without a row; before, it is exactly this one.
NOT_UPDATED: Any = getattr(exceptions, "ObjectNotUpdated", ())


class TableEngine(OldEngine):
    """
    Django's db engine: a row for each session.

    Reads go to the database that writes go to. `created_at` is when the row was last written, by
    the signature's time: the session was there by then. When it was last seen is unknown.
    """

    can_scan = True
    finds_users = True
    app = "django.contrib.sessions"
    columns: tuple[str, ...] = ("session_key", "session_data", "expire_date")

    @property
    def model(self) -> Any:
        """The model of the rows, which may be a site's own."""
        return self.store_class.get_model_class()

    def load(self, session_key: str) -> OldSession | None:
        """See OldEngine.load()."""
        if not is_session_key(session_key):
            return None
        row = self._live().filter(session_key=session_key).values(*self.columns).first()
        return None if row is None else self._read(row)

    def save(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """See OldEngine.save()."""
        if not is_session_key(session_key):
            return False
        if device is None:
            device = self._find_device(session_key)
        try:
            self._update(self._fill(session_key, data, device))
        except UpdateError as error:
            # Django's engine raises it for each error of the database, an outage too.
            if error.__context__ is None or is_not_updated(error.__context__):
                return False
            raise error.__context__ from None
        return True

    def create(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """See OldEngine.create()."""
        if not is_session_key(session_key):
            return False
        try:
            self._fill(session_key, data, device or Device()).save(must_create=True)
        except (CreateError, IntegrityError):
            if self._rows().filter(session_key=session_key).exists():
                return False
            # The database's own message may have the session key.
            raise IntegrityError(
                f"SESSION_ADOPT: the table of {self.name} took no new row. Its user may be gone."
            ) from None
        return True

    def delete(self, session_key: str) -> bool:
        """See OldEngine.delete()."""
        if not is_session_key(session_key):
            return False
        rows = self._rows().filter(session_key=session_key)
        if not self._overrides("delete"):
            return bool(rows.delete()[0])
        was_there: bool = rows.exists()
        self._make_store(session_key).delete(session_key)
        return was_there

    def delete_many(self, session_keys: Iterable[str]) -> None:
        """See OldEngine.delete_many()."""
        if self._overrides("delete"):
            super().delete_many(session_keys)
        else:
            self._rows().filter(session_key__in=list(session_keys)).delete()

    def find_present(self, session_keys: Iterable[str]) -> set[str]:
        """See OldEngine.find_present()."""
        rows = self._live().filter(session_key__in=list(session_keys))
        return set(rows.values_list("session_key", flat=True))

    def scan(self, after: str, size: int) -> list[tuple[str, OldSession | None]]:
        """See OldEngine.scan()."""
        return [
            (row["session_key"], self._read(row)) for row in self._page(self._live(), after, size)
        ]

    def count(self) -> int:
        """See OldEngine.count()."""
        return int(self._live().count())

    def keys_of_user(self, user_id: str) -> Iterator[str]:
        """See OldEngine.keys_of_user()."""
        rows, after = self._may_be_of(user_id), ""
        while page := self._page(rows, after, BATCH):
            yield from (row["session_key"] for row in page if self._is_of(row, user_id))
            after = page[-1]["session_key"]

    def is_in_database(self, alias: str) -> bool:
        """See OldEngine.is_in_database()."""
        return self._alias() == alias

    def missing(self) -> str | None:
        """See OldEngine.missing()."""
        try:
            model = self.model
        except (ImportError, RuntimeError):
            return (
                f"SESSION_ADOPT: {self.name} keeps its sessions in a table of {self.app}, which"
                f' is not installed. Leave "{self.app}" in INSTALLED_APPS as long as SESSION_ADOPT'
                " names that engine."
            )
        connection = connections[self._alias()]
        with connection.cursor() as cursor:
            if model._meta.db_table in connection.introspection.table_names(cursor):
                return None
        return (
            f"SESSION_ADOPT: the table {model._meta.db_table} of {self.name} is not in the database"
            f" {connection.alias}. Check DATABASES and DATABASE_ROUTERS, or run:"
            f" manage.py migrate {model._meta.app_label} --database {connection.alias}"
        )

    def _alias(self) -> str:
        return router.db_for_write(self.model)

    def _rows(self) -> Any:
        return self.model.objects.using(self._alias())

    def _live(self) -> Any:
        return self._rows().filter(expire_date__gt=timezone.now())

    def _page(self, rows: Any, after: str, size: int) -> list[dict[str, Any]]:
        ordered = rows.filter(session_key__gt=after).order_by("session_key")
        return list(ordered.values(*self.columns)[:size])

    def _read(self, row: dict[str, Any]) -> OldSession | None:
        data = open_text(self._make_store(row["session_key"]), row["session_data"])
        return None if data is None else self._describe(row, data)

    def _describe(self, row: dict[str, Any], data: dict[str, Any]) -> OldSession:
        return OldSession(
            data=data,
            expires_at=clock.to_utc(row["expire_date"]),
            created_at=first_of(read_signing_time(row["session_data"])),
            last_seen_at=None,
        )

    def _find_device(self, session_key: str) -> Device:
        """Return what the engine knows of the device, for a save that knows nothing of it."""
        return Device()

    def _fill(self, session_key: str, data: dict[str, Any], device: Device) -> Any:
        """Return the engine's own session, ready to be saved."""
        store = self._make_store(session_key)
        store._session_cache = prepare(data)
        return store

    def _update(self, store: Any) -> None:
        """Write a row over the one that is there. UpdateError: there is none."""
        store.save()

    def _may_be_of(self, user_id: str) -> Any:
        """Return the live rows among which all of a user's are."""
        return self._live()

    def _is_of(self, row: dict[str, Any], user_id: str) -> bool:
        session = self._read(row)
        return session is not None and user_id_in(session.data) == user_id

    def _overrides(self, method: str) -> bool:
        return not getattr(self.store_class, method).__module__.startswith(FAMILIES)


class CachedTableEngine(TableEngine):
    """
    Django's cached_db engine: a row for each session, and a copy of its data in a cache.

    The row is the truth. Without it the session has ended, though the old engine goes on serving
    the copy until that expires. The copy is pickled and is never read here.
    """

    def delete(self, session_key: str) -> bool:
        """See OldEngine.delete()."""
        was_there = super().delete(session_key)
        if is_session_key(session_key):
            store = self._make_store(session_key)
            store._cache.delete(store.cache_key_prefix + session_key)
        return was_there

    def delete_many(self, session_keys: Iterable[str]) -> None:
        """See OldEngine.delete_many()."""
        keys = list(session_keys)
        super().delete_many(keys)
        if keys:
            store = self._make_store(keys[0])
            store._cache.delete_many([store.cache_key_prefix + key for key in keys])

    def missing(self) -> str | None:
        """See OldEngine.missing()."""
        return describe_missing_cache(self.name) or super().missing()


def is_not_updated(error: BaseException) -> bool:
    """Say whether an error means that an UPDATE has found no row, and no more than that."""
    return type(error) is DatabaseError or isinstance(error, NOT_UPDATED)


def describe_missing_cache(engine: str) -> str | None:
    """Say that the cache of the old sessions is not in the settings; None if it is."""
    alias = settings.SESSION_CACHE_ALIAS
    if alias in caches:
        return None
    return (
        f"SESSION_ADOPT: {engine} keeps its sessions in the cache {alias!r}, which CACHES doesn't"
        " have. Leave it there, and SESSION_CACHE_ALIAS as it was, as long as SESSION_ADOPT names"
        " that engine."
    )
