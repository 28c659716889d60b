"""A row of OrmStore's table, and the record that it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...records import Device, SessionRecord
from ..sql.dialect import build_row


def build_values(alias: str, record: SessionRecord, *, old_key: str) -> dict[str, Any]:
    """Return the values that statements write, of the store with that alias."""
    return build_row(alias, record) | {
        "old_key": old_key,
        "payload": record.payload,
        "version": record.version,
    }


def build_record(row: Sequence[Any]) -> SessionRecord:
    """Return the record of a row, with the columns of LISTED or of READ in statements.py."""
    id, key, version, user_id, actor_id, ip_address, user_agent, *rest = row
    created_at, authenticated_at, last_seen_at, expires_at, *payload = rest
    return SessionRecord(
        id=id,
        key=key,
        payload=bytes(payload[0]) if payload else b"",
        version=version,
        user_id=user_id,
        created_at=created_at,
        authenticated_at=authenticated_at,
        last_seen_at=last_seen_at,
        expires_at=expires_at,
        device=Device(ip_address=ip_address, user_agent=user_agent),
        actor_id=actor_id,
    )
