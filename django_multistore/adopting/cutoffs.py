"""
Users whose sessions of the old engine are refused from now on.

An engine on a cache can't be searched for a user's sessions. So to end them all, a record says that
whatever turns up of that user is not taken over, unless it is known here already.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from ..records import SessionRecord, key_of, new_id
from ..session import clock, codec
from ..stores.base import BaseStore
from ..stores.steps import Steps, call

BODY = b"cut off"


def cut_off(store: BaseStore, user_id: str) -> Steps[None]:
    """Refuse from now on what turns up of a user, for as long as it may live."""
    now, key = clock.now(), _key(user_id)
    record = SessionRecord(
        id=new_id(),
        key=key,
        payload=codec.seal(BODY, key),
        version=1,
        user_id=None,
        created_at=now,
        # No anonymous session has a login: so what lists sessions can leave this out.
        authenticated_at=now,
        last_seen_at=now,
        expires_at=now + timedelta(seconds=settings.SESSION_COOKIE_AGE),
    )
    if not (yield from call(store.create, store.acreate, record)):
        yield from call(store.touch, store.atouch, record)


def is_cut_off(store: BaseStore, user_id: str) -> Steps[bool]:
    """Say whether a user's sessions are refused."""
    return (yield from call(store.read, store.aread, _key(user_id))) is not None


def _key(user_id: str) -> str:
    # No cookie leads here: a blank can't be in a session key.
    return key_of(f"cut-off of {user_id}")
