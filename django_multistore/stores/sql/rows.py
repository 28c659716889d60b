"""A record as the columns that every table of sessions has."""

from __future__ import annotations

from typing import Any

from ...records import USER_AGENT_MAX_LENGTH, USER_ID_MAX_LENGTH, SessionRecord


def build_row(alias: str, record: SessionRecord) -> dict[str, Any]:
    """
    Return the values of a record's row, by column.

    Args:
        alias: the store's, for messages.
        record: what is to be written.

    Raises:
        ValueError: the user id or the user agent doesn't fit.
    """
    # MariaDB's INSERT IGNORE would cut in silence what is too long, and PostgreSQL takes no NUL.
    user_agent = record.device.user_agent
    for user_id in (record.user_id or "", record.actor_id or ""):
        if len(user_id) > USER_ID_MAX_LENGTH or "\0" in user_id:
            raise ValueError(
                f"Session store {alias!r} takes user ids of up to {USER_ID_MAX_LENGTH} "
                f"characters without NUL; this one has {len(user_id)}."
            )
    if len(user_agent) > USER_AGENT_MAX_LENGTH or "\0" in user_agent:
        raise ValueError(
            f"Session store {alias!r} takes user agents of up to {USER_AGENT_MAX_LENGTH} "
            f"characters without NUL; this one has {len(user_agent)}."
        )
    return {
        "id": record.id,
        "key": record.key,
        "user_id": record.user_id,
        "created_at": record.created_at,
        "authenticated_at": record.authenticated_at,
        "last_seen_at": record.last_seen_at,
        "expires_at": record.expires_at,
        "ip_address": record.device.ip_address,
        "user_agent": user_agent,
        "actor_id": record.actor_id,
    }
