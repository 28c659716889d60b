"""The table of the ORM store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from .records import KEY_LENGTH, USER_AGENT_MAX_LENGTH, USER_ID_MAX_LENGTH

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    _CharField = models.CharField[str | None, str | None]
else:
    _CharField = models.CharField


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


class StoredSession(models.Model):
    """
    One session record.

    The primary key is the session's public name, which no rotation changes. Were it `key`,
    a rotation on MariaDB would move the row within the index on user_id, and a DELETE of
    that user's rows which is past the place would miss it.
    """

    id = models.BigIntegerField(primary_key=True)
    key = ExactCharField(max_length=KEY_LENGTH)
    payload = models.BinaryField()
    version = models.BigIntegerField()
    # No foreign key: sessions outlive users, belong to users of another database, or name
    # a user who never had a row.
    user_id = ExactCharField(max_length=USER_ID_MAX_LENGTH, null=True)
    created_at = models.DateTimeField()
    authenticated_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ip_address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=USER_AGENT_MAX_LENGTH, default="")

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        constraints = (
            # Not unique=True, which on PostgreSQL brings a second index, for LIKE.
            models.UniqueConstraint(fields=["key"], name="multistore_session_key"),
        )
        indexes = (
            models.Index(fields=["user_id"], name="multistore_session_user"),
            models.Index(fields=["expires_at", "id"], name="multistore_session_expires"),
        )

    def __str__(self) -> str:
        return f"session {self.id}"
