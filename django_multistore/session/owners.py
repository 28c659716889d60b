"""Whose a session is: its user, and who acts in place of that."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import SESSION_KEY

from ..records import ACTOR_SESSION_KEY, SessionRecord
from . import namespaces, user_ids
from .lifetimes import ExpiringSession
from .state import State


class OwnedSession(ExpiringSession):
    """Django's session, which knows how its user is told from its data and from its record."""

    _state: State

    @staticmethod
    def get_user_id(data: dict[str, Any]) -> str | None:
        """
        Return the primary key of the user whose session this is, as the database's text.

        It is called at each save. A subclass overrides it if its site logs users in by other means
        than django.contrib.auth.

        Args:
            data: the session.
        """
        user_id = data.get(SESSION_KEY)
        return None if user_id in (None, "") else user_ids.spell(user_id)

    def stored_user_id(self, data: dict[str, Any]) -> str | None:
        """
        Return what stores have as the user of this session: with SESSION_USER_NAMESPACE.

        Args:
            data: the session.
        """
        user_id, stored = self.get_user_id(data), self._state.record
        if user_id is None:
            return None
        return namespaces.qualify(user_id, None if stored is None else stored.user_id)

    def get_actor_id(self, data: dict[str, Any]) -> str | None:
        """
        Return the user who acts in place of the session's own, as stores have users.

        It is called at each save, as get_user_id() is. None: it is the user's own session.

        Args:
            data: the session.
        """
        mark, user_id = data.get(ACTOR_SESSION_KEY), self.stored_user_id(data)
        # The mark names the user as well, so that it is worth nothing in another's session.
        if user_id is None or not isinstance(mark, dict) or mark.get("user_id") != user_id:
            return None
        actor_id = mark.get("actor_id")
        return actor_id if isinstance(actor_id, str) else None

    @classmethod
    def spellings_of(cls, user_id: str) -> tuple[str, ...]:
        """
        Return how sessions may have a user, with the present spelling last.

        Args:
            user_id: as stores have it.
        """
        return namespaces.list_spellings(user_id) if cls._has_users_of_django() else (user_id,)

    @classmethod
    def _respell(cls, user_id: str) -> str:
        return namespaces.respell(user_id) if cls._has_users_of_django() else user_id

    def _is_of(self, stored: SessionRecord, user_id: str) -> bool:
        """Say whether a session is a user's, who may have been spelled otherwise in it."""
        theirs = stored.user_id
        return theirs is not None and user_id in (theirs, self._respell(theirs))

    @classmethod
    def _has_users_of_django(cls) -> bool:
        return cls.get_user_id is OwnedSession.get_user_id
