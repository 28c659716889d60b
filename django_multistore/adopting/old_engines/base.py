"""What an old engine can do, whichever it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, ClassVar, NoReturn

from ...exceptions import NotSupported
from ...records import Device
from ..old_sessions import OldSession

# Django takes no shorter one. A longer one, or one with other characters, is no engine's key; some
# servers refuse it with an error.
KEY_LENGTHS = range(8, 129)


class OldEngine:
    """
    The sessions of the engine that a site comes from.

    All methods are sync: async code calls them in a thread. An outage is an error, and never the
    answer that a session isn't there.

    Attributes:
        name: the engine's path, as in SESSION_ENGINE.
        store_class: its SessionStore.
        can_scan: whether its sessions can be gone through: scan() and count() work.
        finds_users: whether a user's sessions can be found: keys_of_user() works.
        keeps_in_cookies: whether a session is in its cookie, where nobody else can write or end it.
        keeps_any_type: whether values of any type come over, for they were pickled.
        may_revive: whether a save that crosses a delete can bring a session back.
    """

    can_scan: ClassVar[bool] = False
    finds_users: ClassVar[bool] = False
    keeps_in_cookies: ClassVar[bool] = False
    keeps_any_type: ClassVar[bool] = False
    may_revive: ClassVar[bool] = False

    def __init__(self, engine: str) -> None:
        self.name = engine
        self.store_class: Any = import_module(engine).SessionStore

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.name}>"

    def load(self, session_key: str) -> OldSession | None:
        """
        Read a session and change nothing: no row, file or entry is made, renewed or removed.

        Returns:
            None if it isn't there, has expired, or can't be read: then the old engine itself
            serves an empty session in its place.
        """
        raise NotImplementedError

    def save(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """
        Write a session over the one that is there, with the expiry that the old engine gives it.

        Args:
            session_key: the secret in the cookie.
            data: the session.
            device: where it was seen from. None: what is known stays.

        Returns:
            Whether it was there, as far as the engine can tell. If not, nothing was made.
        """
        raise NotImplementedError

    def create(self, session_key: str, data: dict[str, Any], device: Device | None) -> bool:
        """
        Make a session under this very key.

        Args:
            session_key: the secret in the cookie.
            data: the session.
            device: where it was seen from, if that is known.

        Returns:
            False if the key is taken. Then nothing was written.
        """
        raise NotImplementedError

    def delete(self, session_key: str) -> bool:
        """Remove a session and its copies; say whether it was there, as far as one can tell."""
        raise NotImplementedError

    def delete_many(self, session_keys: Iterable[str]) -> None:
        """Remove sessions and their copies, in as few commands as the engine needs."""
        for session_key in session_keys:
            self.delete(session_key)

    def find_present(self, session_keys: Iterable[str]) -> set[str]:
        """Return those session keys under which there is a live session."""
        return {each for each in session_keys if self.load(each) is not None}

    def scan(self, after: str, size: int) -> list[tuple[str, OldSession | None]]:
        """
        Return live sessions by ascending session key.

        Args:
            after: the session key that the last call ended with; "" for the first ones.
            size: how many. Fewer are returned only if there are no more.

        Returns:
            Each with its key. None: it is there and can't be read.

        Raises:
            NotSupported: nobody can go through this engine's sessions; see can_scan.
        """
        self._refuse("gone through")

    def count(self) -> int:
        """Count the live sessions. NotSupported: nobody can; see can_scan."""
        self._refuse("counted")

    def keys_of_user(self, user_id: str) -> Iterator[str]:
        """
        Yield the session keys of a user's live sessions.

        Args:
            user_id: the user's primary key as text.

        Raises:
            NotSupported: nobody can find them; see finds_users.
        """
        self._refuse("found by their user")

    def is_in_database(self, alias: str) -> bool:
        """Say whether a transaction on a database undoes what is written here as well."""
        return False

    def missing(self) -> str | None:
        """Say what the site lacks for this engine, and what to do; None if nothing."""
        return None

    def _make_store(self, session_key: str) -> Any:
        return self.store_class(session_key)

    def _refuse(self, what: str) -> NoReturn:
        raise NotSupported(
            f"SESSION_ADOPT: the sessions of {self.name} can't be {what}. They are taken over when"
            " their visitors come, and what was not seen here by then is unknown."
        )


def is_session_key(session_key: str) -> bool:
    """Say whether a text may be the key of a session that is kept on a server."""
    return (
        len(session_key) in KEY_LENGTHS
        and session_key.isascii()
        and session_key.isprintable()
        and " " not in session_key
    )
