"""Tables with a column for the user: django-qsessions and django-user-sessions."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError, router, transaction
from django.db.models import Q

from ...records import Device
from ...session import clock, user_ids
from ..old_sessions import OldSession
from .payloads import first_of, prepare, read_signing_time, user_id_in
from .tables import TableEngine, is_not_updated


class UsersTableEngine(TableEngine):
    """
    A table with columns for the user and for where a session was last seen from.

    Async code leaves the user's column empty in both packages. So a row without a user is decoded,
    and what its data say counts.
    """

    columns = (*TableEngine.columns, "user_id", "user_agent", "ip")

    def _find_device(self, session_key: str) -> Device:
        row = self._rows().filter(session_key=session_key).values("user_agent", "ip").first()
        return Device() if row is None else device_of(row)

    def _fill(self, session_key: str, data: dict[str, Any], device: Device) -> Any:
        # What its middleware tells it. An old process that finds another device than its visitor's
        # saves the session at each read.
        store = self.store_class(session_key, user_agent=device.user_agent, ip=device.ip_address)
        store._session_cache = prepare(data)
        return store

    def _may_be_of(self, user_id: str) -> Any:
        users = self.model._meta.get_field("user").related_model
        primary_key = user_ids.PrimaryKey(users).parse(user_id)
        of_nobody = Q(user_id=None)
        if primary_key is None:
            return self._live().filter(of_nobody)
        return self._live().filter(of_nobody | Q(user_id=primary_key))

    def _is_of(self, row: dict[str, Any], user_id: str) -> bool:
        session = self._read(row)
        if session is not None:
            return user_id_in(session.data) == user_id
        # It can't be read here, but may be elsewhere.
        return row["user_id"] is not None and user_ids.to_text(row["user_id"]) == user_id


class QsessionsEngine(UsersTableEngine):
    """
    django-qsessions: Django's table with more columns, and its data with more keys.

    Has `created_at`, except for rows that are older than that column; these have their last write.
    `last_seen_at` is the last write. Addresses and user agents are those that its middleware saw.
    """

    app = "qsessions"
    columns = (*UsersTableEngine.columns, "created_at", "updated_at")

    def _describe(self, row: dict[str, Any], data: dict[str, Any]) -> OldSession:
        agent_key, address_key = self._own_keys()
        data = dict(data)
        # Its async variants leave the columns empty, and the data as they were.
        known = {"user_agent": data.pop(agent_key, None), "ip": data.pop(address_key, None)}
        known |= {name: row[name] for name in known if row[name]}
        updated_at = clock.to_utc(row["updated_at"])
        created_at = row["created_at"] and clock.to_utc(row["created_at"])
        return OldSession(
            data=data,
            expires_at=clock.to_utc(row["expire_date"]),
            created_at=first_of(created_at, updated_at, read_signing_time(row["session_data"])),
            last_seen_at=updated_at,
            device=device_of(known),
        )

    @staticmethod
    def _own_keys() -> tuple[str, str]:
        package = import_module("qsessions")
        return package.USER_AGENT_SESSION_KEY, package.IP_SESSION_KEY


class UserSessionsEngine(UsersTableEngine):
    """
    django-user-sessions: a table of its own, which has no more than Django's in its data.

    `created_at` and `last_seen_at` are when the row was last written.
    """

    app = "user_sessions"
    columns = (*UsersTableEngine.columns, "last_activity")

    @property
    def model(self) -> Any:
        """The model of the rows: the package has no hook for another one."""
        return import_module("user_sessions.models").Session

    def _describe(self, row: dict[str, Any], data: dict[str, Any]) -> OldSession:
        last_activity = clock.to_utc(row["last_activity"])
        return OldSession(
            data=data,
            expires_at=clock.to_utc(row["expire_date"]),
            created_at=first_of(last_activity, read_signing_time(row["session_data"])),
            last_seen_at=last_activity,
            device=device_of(row),
        )

    def _fill(self, session_key: str, data: dict[str, Any], device: Device) -> Any:
        store = super()._fill(session_key, data, device)
        # The class takes it from an assignment alone, and not from the data.
        store.user_id = data.get(SESSION_KEY)
        return store

    def _update(self, store: Any) -> None:
        # Its save() makes a row where there is none, which brings an ended session back.
        row = self.model(
            session_key=store.session_key,
            session_data=store.encode(store._session_cache),
            expire_date=store.get_expiry_date(),
            user_agent=store.user_agent,
            user_id=store.user_id,
            ip=store.ip,
        )
        using = router.db_for_write(self.model, instance=row)
        try:
            with transaction.atomic(using=using):
                row.save(force_update=True, using=using)
        except DatabaseError as error:
            if is_not_updated(error):
                raise UpdateError from None
            raise


def device_of(row: dict[str, Any]) -> Device:
    """Return where a session was last seen from, by columns that may be empty."""
    return Device(ip_address=row["ip"] or None, user_agent=row["user_agent"] or "")
