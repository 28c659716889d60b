"""The statements of OrmStore."""

from __future__ import annotations

from django.db.models import F
from django.db.models.expressions import RawSQL

from ..models import StoredSession
from .statements import Statement, StatementWriter

# In the order in which OrmStore makes a record of a row.
LISTED = (
    "id",
    "key",
    "version",
    "user_id",
    "created_at",
    "authenticated_at",
    "seen_at",
    "expires_at",
    "ip_address",
    "user_agent",
)
READ = (*LISTED, "payload")
ONE = RawSQL("1", ())  # In the text: a 1 would be a parameter without a name.
TOUCHED = ("seen_at", "expires_at", "ip_address", "user_agent")
UPDATED = (*TOUCHED, "payload", "user_id", "authenticated_at")


def write_statements(using: str) -> dict[str, Statement]:
    """
    Have the statements written for one database.

    Args:
        using: its alias in DATABASES.

    Returns:
        The statements by the name of the operation.
    """
    writer = StatementWriter(StoredSession, using)
    parameter = writer.parameter
    live = {"expires_at__gt": parameter("now", "expires_at")}
    at_key = {"key": parameter("old_key", "key"), **live}
    at_version = {**at_key, "version": parameter("version")}
    of_user = {"user_id": parameter("user_id")}
    touch = {column: parameter(column) for column in TOUCHED}
    update = {column: parameter(column) for column in UPDATED} | {"version": F("version") + ONE}
    rotate = update | {"key": parameter("key")}
    return {
        # By the key alone: the store looks at expires_at itself. One more condition is one more
        # value to bind, and one more index for the planner to weigh.
        "read": writer.select(READ, key=parameter("key")),
        "read_for_update": writer.select_for_update(READ, key=parameter("key")),
        "create": writer.insert_ignoring_conflicts(),
        "update": writer.update(update, **at_version),
        "rotate": writer.update(rotate, **at_version),
        "overwrite": writer.update(rotate, **at_key),
        "touch": writer.update(touch, **at_version),
        "destroy": writer.delete(key=parameter("key")),
        "sessions_for_user": writer.select(LISTED, **of_user, **live),
        "destroy_for_user": writer.delete(
            exclude={"key": parameter("except_key", "key")}, **of_user
        ),
        "destroy_session": writer.delete(id=parameter("id"), **of_user),
        "gc": writer.delete(
            id__gt=parameter("after", "id"),
            id__lte=parameter("upto", "id"),
            expires_at__lte=parameter("now", "expires_at"),
        ),
    }
