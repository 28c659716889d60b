"""
What a rotation leaves for requests that come with the old session key a moment later.

It names the session, so that a logout among them ends it. It opens nothing: the new session key
is not in it, and it is a record of its own, under a key that no cookie can have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from ..records import SessionRecord, key_of, new_id
from ..session import clock, codec
from ..session.keys import Secret
from ..stores.base import BaseStore
from ..stores.steps import Steps, call

# A request that was sent before the rotation was answered has come by then.
LIFE = timedelta(seconds=60)


class Name(NamedTuple):
    """What a session keeps over every rotation."""

    id: int
    user_id: str


def trail_of(old: Secret, name: Name) -> SessionRecord:
    """
    Return the record to create before a session is moved.

    Args:
        old: the session key that it is moved from.
        name: of the session.
    """
    key, now = _key(old), clock.now()
    return SessionRecord(
        id=new_id(),
        key=key,
        payload=codec.seal(json.dumps(name._asdict()).encode(), key),
        version=1,
        user_id=None,
        created_at=now,
        # No anonymous session has a login: so what lists sessions can leave this out.
        authenticated_at=now,
        last_seen_at=now,
        expires_at=now + LIFE,
    )


def leave(store: BaseStore, old: Secret, name: Name) -> Steps[bool]:
    """Create the record that trail_of() returns, and say whether it is the first there."""
    return call(store.create, store.acreate, trail_of(old, name))


def find(store: BaseStore, old: Secret) -> Steps[Name | None]:
    """Find out which session had this session key a moment ago."""
    trail = yield from call(store.read, store.aread, _key(old))
    body = None if trail is None else codec.unseal(trail.payload, trail.key)
    return None if body is None else Name(**json.loads(body))


def end(store: BaseStore, name: Name, user_ids: Iterable[str]) -> Steps[bool]:
    """
    End a session under whichever key it is, and say whether it was there.

    Args:
        store: where it is.
        name: which one.
        user_ids: the spellings of its user's id.
    """
    if not store.supports_users:
        return False  # Such a store finds a session under its key only.
    for user_id in user_ids:
        if (yield from call(store.destroy_session, store.adestroy_session, user_id, name.id)):
            return True
    return False


def find_record(
    store: BaseStore, name: Name, user_ids: Iterable[str]
) -> Steps[SessionRecord | None]:
    """
    Return a session under whichever key it is, without its payload.

    Args:
        store: where it is.
        name: which one.
        user_ids: the spellings of its user's id.
    """
    if not store.supports_users:
        return None
    for user_id in user_ids:
        listed = yield from call(store.sessions_for_user, store.asessions_for_user, user_id)
        for each in listed:
            if each.id == name.id:
                return each
    return None


def _key(old: Secret) -> str:
    # No cookie leads here: a blank can't be in a session key.
    return key_of(f"trail of {old.session_key}")
