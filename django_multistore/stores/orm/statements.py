"""The statements of OrmStore."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Greatest

from ...models import StoredSession
from ..sql.writer import Latest, Statement, StatementWriter

# In the order in which OrmStore makes a record of a row.
LISTED = (
    "id",
    "key",
    "version",
    "user_id",
    "created_at",
    "authenticated_at",
    "last_seen_at",
    "expires_at",
    "ip_address",
    "user_agent",
    "actor_id",
)
READ = (*LISTED, "payload")
ONE = RawSQL("1", ())  # In the text: a 1 would be a parameter without a name.
TOUCHED = ("last_seen_at", "expires_at", "ip_address", "user_agent")
UPDATED = (*TOUCHED, "payload", "user_id", "authenticated_at", "actor_id")


def after(expires_at: Any, id: Any) -> Q:
    """Match what comes after a row in the order of the index on (expires_at, id)."""
    # The first condition follows from the second, and is what the database looks up.
    return Q(expires_at__gte=expires_at) & (
        Q(expires_at__gt=expires_at) | Q(expires_at=expires_at, id__gt=id)
    )


def up_to(expires_at: Any, id: Any) -> Q:
    """Match a row and what comes before it in that order."""
    return Q(expires_at__lte=expires_at) & (
        Q(expires_at__lt=expires_at) | Q(expires_at=expires_at, id__lte=id)
    )


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
    # By the server's clock too: what is dead by that must not count against a user's limit, for
    # which a session that lives would be ended.
    listed = {**live, "expires_at__gt": Latest(parameter("now", "expires_at"))}
    at_key = {"key": parameter("old_key", "key"), **live}
    at_version = {**at_key, "version": parameter("version")}
    of_user = {"user_id": parameter("user_id")}
    touch = {column: parameter(column) for column in TOUCHED} | {
        # An older look than another request's shortens nothing.
        column: Greatest(F(column), parameter(column))
        for column in ("last_seen_at", "expires_at")
    }
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
        "sessions_for_user": writer.select(LISTED, **of_user, **listed),
        "sessions_for_user_locked": writer.select_for_update(LISTED, **of_user, **listed),
        "destroy_for_user": writer.delete(~Q(key=parameter("except_key", "key")), **of_user),
        "destroy_session": writer.delete(id=parameter("id"), **of_user),
        "gc": writer.delete(
            after(parameter("after_expiry", "expires_at"), parameter("after_id", "id")),
            up_to(parameter("last_expiry", "expires_at"), parameter("last_id", "id")),
        ),
    }
