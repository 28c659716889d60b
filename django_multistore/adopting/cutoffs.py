"""
Users whose sessions of the old engine are refused from now on.

An engine on a cache can't be searched for a user's sessions. So to end them all, a record says that
whatever turns up of that user is not taken over, unless it is known here already.
"""

from __future__ import annotations

from ..records import key_of
from ..stores.base import BaseStore
from ..stores.steps import Steps, call
from .marks import build_mark

BODY = b"cut off"


def cut_off(store: BaseStore, user_id: str) -> Steps[None]:
    """Refuse from now on what turns up of a user, for as long as it may live."""
    record = build_mark(_key(user_id), BODY)
    if not (yield from call(store.create, store.acreate, record)):
        yield from call(store.touch, store.atouch, record)


def is_cut_off(store: BaseStore, user_id: str) -> Steps[bool]:
    """Say whether a user's sessions are refused."""
    return (yield from call(store.read, store.aread, _key(user_id))) is not None


def _key(user_id: str) -> str:
    # No cookie leads here: a blank can't be in a session key.
    return key_of(f"cut-off of {user_id}")
