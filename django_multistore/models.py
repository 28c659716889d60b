"""The tables: the ORM store's, and the user-id index of stores that can't search."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from .records import KEY_LENGTH, USER_AGENT_MAX_LENGTH, USER_ID_MAX_LENGTH, Device, SessionRecord
from .session import clock

__all__ = ["StoredSession", "UserSession"]

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

    _CharField = models.CharField[str | None, str | None]
    _DateTimeField = models.DateTimeField[Any, Any]
else:
    _CharField, _DateTimeField = models.CharField, models.DateTimeField

STORE_MAX_LENGTH = 100


class ExactCharField(_CharField):
    """
    Text that is equal only if every byte is.

    On MariaDB and MySQL, whose default collations take `bob`, `Bob` and `bob ` for one,
    the column gets a binary collation that doesn't pad with blanks.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters: dict[str, Any] = super().db_parameters(connection)
        if connection.vendor == "mysql":
            is_mariadb = getattr(connection, "mysql_is_mariadb", False)
            parameters["collation"] = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        return parameters


class UtcDateTimeField(_DateTimeField):
    """
    A time that is in UTC for Python and in the database, whatever USE_TZ and TIME_ZONE say.

    The column is that of a DateTimeField. A value without a time zone is taken for the wall clock
    of TIME_ZONE.
    """

    def get_prep_value(self, value: Any) -> Any:
        timestamp = self.to_python(value)
        return clock.to_utc(timestamp) if isinstance(timestamp, datetime) else timestamp

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        timestamp = value if prepared else self.get_prep_value(value)
        return as_stored(timestamp, connection)

    def select_format(self, compiler: SQLCompiler, sql: str, params: Any) -> tuple[str, Any]:
        # Otherwise the driver reads it by the connection's time zone, and drops that.
        is_postgresql = compiler.connection.vendor == "postgresql"
        return f"{sql} AT TIME ZONE 'UTC'" if is_postgresql else sql, params

    def from_db_value(self, value: datetime | None, *args: object) -> datetime | None:
        # If the value has a time zone, the backend has only added that to what it read.
        return None if value is None else value.replace(tzinfo=UTC)


def as_stored(timestamp: datetime | None, connection: BaseDatabaseWrapper) -> Any:
    """Return what a UtcDateTimeField hands to the driver for a time in UTC."""
    if isinstance(timestamp, datetime) and not connection.features.supports_timezones:
        # Such a backend would convert it to a time zone of its own, but leaves what has none.
        timestamp = timestamp.replace(tzinfo=None)
    return connection.ops.adapt_datetimefield_value(timestamp)


class SessionRowQuerySet(models.QuerySet[Any]):
    """The questions to either table."""

    def of_user(self, user_id: str) -> Self:
        """Select the rows of a user, by the primary key as text."""
        return self.filter(user_id=user_id)

    def sessions(self) -> Self:
        """Select sessions, without the trails that rotations leave for a minute: see trails.py."""
        return self.exclude(user_id=None, authenticated_at__isnull=False)

    def latest_first(self) -> Self:
        """Put the session that was seen last first."""
        return self.order_by("-last_seen_at", "-id")

    def live(self, now: datetime) -> Self:
        """Select what has not expired."""
        return self.filter(expires_at__gt=now)

    def expired(self, now: datetime) -> Self:
        """Select what has expired."""
        return self.filter(expires_at__lte=now)


class SessionRow(models.Model):
    """What both tables know of a session. `id` is its public name in either."""

    key = ExactCharField(max_length=KEY_LENGTH)
    # It is no foreign key: sessions outlive users, belong to users of another database, or name a
    # user who never had a row.
    user_id = ExactCharField(max_length=USER_ID_MAX_LENGTH, null=True)
    created_at = UtcDateTimeField()
    authenticated_at = UtcDateTimeField(null=True)
    last_seen_at = UtcDateTimeField()
    expires_at = UtcDateTimeField()
    ip_address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=USER_AGENT_MAX_LENGTH, default="")
    actor_id = ExactCharField(max_length=USER_ID_MAX_LENGTH, null=True)

    objects = SessionRowQuerySet.as_manager()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"session {self.id}"  # type: ignore[attr-defined]

    def record(self) -> SessionRecord:
        """Return the session as a record, without its payload."""
        return SessionRecord(
            id=self.id,  # type: ignore[attr-defined]
            key=self.key or "",
            payload=b"",
            version=getattr(self, "version", None),
            user_id=self.user_id,
            created_at=self.created_at,
            authenticated_at=self.authenticated_at,
            last_seen_at=self.last_seen_at,
            expires_at=self.expires_at,
            device=Device(ip_address=self.ip_address, user_agent=self.user_agent),
            actor_id=self.actor_id,
        )


class StoredSession(SessionRow):
    """
    One session record.

    The primary key is the session's public name, which no rotation changes. Were it `key`,
    a rotation on MariaDB would move the row within the index on user_id, and a DELETE of
    that user's rows which is past the place would miss it.
    """

    id = models.BigIntegerField(primary_key=True)
    payload = models.BinaryField()
    version = models.BigIntegerField()

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        constraints = (
            # On PostgreSQL unique=True would bring a second index, for LIKE.
            models.UniqueConstraint(fields=["key"], name="multistore_session_key"),
        )
        indexes = (
            models.Index(fields=["user_id"], name="multistore_session_user"),
            models.Index(fields=["expires_at", "id"], name="multistore_session_expires"),
        )


class UserSession(SessionRow):
    """
    The entry of one user's session in the index of a store that can't search.

    The session itself is in the store, and only that says whether it lives: expires_at is
    an upper bound. While a session passes from one user to another it has an entry for
    each, so `id` can't be the primary key. No rotation changes what is.
    """

    row_id = models.BigAutoField(primary_key=True)
    id = models.BigIntegerField()
    # The store's alias, then an @ and what stands for the names that the store has in its cache.
    store = ExactCharField(max_length=STORE_MAX_LENGTH)
    # The key until the last rotation, which may have died on its way.
    previous_key = ExactCharField(max_length=KEY_LENGTH, null=True)

    class Meta:
        verbose_name = _("session of a user")
        verbose_name_plural = _("sessions of users")
        constraints = (
            models.UniqueConstraint(
                fields=["key", "user_id", "store"], name="multistore_user_session_key"
            ),
        )
        indexes = (models.Index(fields=["user_id", "store"], name="multistore_user_session_user"),)
